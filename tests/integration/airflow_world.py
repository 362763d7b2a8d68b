"""Run in Airflow's own environment: load the DAGs of a folder, say how they are made, and test one
of them for real. `python airflow_world.py FOLDER [DAG_ID MOMENT]` prints JSON in its last line."""

import json
import sys
from datetime import datetime

sys.path.insert(0, sys.argv[1])

import nextup_dags
from airflow.sdk import DAG

dags = {dag.dag_id: dag for dag in vars(nextup_dags).values() if isinstance(dag, DAG)}
said = {
    name: {
        "tasks": [task.task_id for task in dag.topological_sort()],
        "retries": sorted({task.retries for task in dag.tasks}),
        "timeouts": sorted({task.execution_timeout.total_seconds() for task in dag.tasks}),
        "makes": [asset.uri for task in dag.topological_sort() for asset in task.outlets],
        "catchup": dag.catchup,
        "at_once": dag.max_active_runs,
        "deadlines": len(dag.deadline if isinstance(dag.deadline, list) else [dag.deadline]),
        "schedule": type(dag.schedule).__name__,
    }
    for name, dag in dags.items()
}
if len(sys.argv) > 2:
    dag = dags[sys.argv[2]]
    dag.deadline = None  # Airflow 3.3's `test` cannot read a deadline that it wrote itself
    run = dag.test(logical_date=datetime.fromisoformat(sys.argv[3]))
    said["state"] = str(run.state)
print(json.dumps(said))
