"""Plain folders, by backend."""
