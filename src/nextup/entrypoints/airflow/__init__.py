"""DAGs for Airflow 3, which lives in an environment of its own and calls Nextup by its commands."""
