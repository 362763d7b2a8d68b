"""The revisions of the recipe's own tables, by Alembic. See `tables.py`, which runs them."""
