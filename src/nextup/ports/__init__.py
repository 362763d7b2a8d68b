"""What the platform needs from the world outside, one small protocol per file."""
