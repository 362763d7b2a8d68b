"""How the SQL tables of one version of Nextup become those of the next, by Alembic.

Each port's tables are a part with a line of revisions of its own, since ports may share a database
or not. `revisions.py` says which there are without loading Alembic; a file in `versions/` is one
step. A step names tables without the tenant's prefix: `tables.py` puts it before them.
"""
