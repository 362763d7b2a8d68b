#!/bin/bash
# At the first start: databases for Airflow and MLflow beside Nextup's own.
set -eu
for name in airflow mlflow; do
  createdb --username="$POSTGRES_USER" "$name"
done
