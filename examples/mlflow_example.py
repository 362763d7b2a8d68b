"""What MLflow knows about the recipe's models: runs, metrics with intervals, and who serves.

python examples/mlflow_example.py --uri http://localhost:5000
"""

import argparse

from mlflow import MlflowClient


def main() -> None:
    """Prints a line for each training, then the aliases of the registered model."""
    options = argparse.ArgumentParser(description="Look at trainings in MLflow.")
    options.add_argument("--uri", default="http://localhost:5000", help="of server or database")
    options.add_argument("--experiment", default="film-als")
    options.add_argument("--model", default="film-als")
    options.add_argument("--metric", default="candidate.ndcg_at_10")
    given = options.parse_args()

    client = MlflowClient(tracking_uri=given.uri, registry_uri=given.uri)
    experiment = client.get_experiment_by_name(given.experiment)
    if experiment is None:
        raise SystemExit(f"There is no experiment '{given.experiment}': nothing was trained yet.")
    runs = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time DESC"])
    for run in runs:
        metrics = run.data.metrics
        low, mean, high = (metrics.get(given.metric + end) for end in (".low", "", ".high"))
        found = "not evaluated" if mean is None else f"{mean:.4f} ({low:.4f} to {high:.4f})"
        print(f"{run.info.run_name}: {given.metric} {found}; {run.data.tags.get('verdict', '')}")
    registered = client.get_registered_model(given.model)
    for alias, version in sorted(registered.aliases.items()):
        told = client.get_model_version(given.model, version)
        print(f"{alias}: version {version}, {told.tags.get('nextup.model_id')}")
    print(f"{len(runs)} trainings")


if __name__ == "__main__":
    main()
