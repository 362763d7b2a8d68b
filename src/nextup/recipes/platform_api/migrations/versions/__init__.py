"""One file is one step."""
