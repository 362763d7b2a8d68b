"""How good lists are, and how sure one can be of it."""
