"""Published lists, by backend."""
