"""Data sets that exist in the world, and anybody's own tables, as events and items."""
