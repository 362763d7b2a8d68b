"""What must be known about a person right now, by backend."""
