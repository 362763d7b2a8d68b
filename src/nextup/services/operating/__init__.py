"""What an operator sees and does while the platform serves."""
