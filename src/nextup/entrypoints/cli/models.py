"""`nextup model list|promote|rollback`."""

from __future__ import annotations

from typing import Annotated

import typer

from nextup.entrypoints.cli.context import platform_at
from nextup.entrypoints.cli.output import HERE, Home, Json, Output

app = typer.Typer(no_args_is_help=True, help="Which model serves.")


def register(root: typer.Typer) -> None:
    """Add these commands to the root."""
    root.add_typer(app, name="model")


@app.command("list")
def list_models(home: Home = HERE, as_json: Json = False) -> None:
    """All models, the latest first, with what the gate said of each."""
    with platform_at(home) as platform:
        current = platform.control.current_model()
        models = platform.control.models()
    rows = [
        (
            "->" if model.model_id == current else "",
            model.model_id,
            f"{model.created_at:%Y-%m-%d %H:%M}",
            _ndcg(model.metrics),
            model.verdict,
        )
        for model in models
    ]
    columns = ("", "model", "made", "ndcg", "verdict")
    title = "Models" if rows else "No models yet; `nextup train` makes one."
    document = {"current": current, "models": models}
    Output(as_json=as_json).table(title, columns, rows, document)


@app.command()
def promote(
    model_id: Annotated[str, typer.Argument(help="As `nextup model list` names it.")],
    home: Home = HERE,
    as_json: Json = False,
) -> None:
    """Put a model in service, whatever the gate said."""
    from nextup.services.registry import promote

    with platform_at(home) as platform:
        model = promote(platform.control, platform.recommendation_store, model_id)
    Output(as_json=as_json).result(model, f"{model.model_id} is in service.")


@app.command()
def rollback(home: Home = HERE, as_json: Json = False) -> None:
    """Return to the model that served before."""
    from nextup.services.registry import rollback

    with platform_at(home) as platform:
        model = rollback(platform.control, platform.recommendation_store)
    Output(as_json=as_json).result(model, f"{model.model_id} is in service again.")


def _ndcg(metrics: object) -> str:
    """The candidate's deciding figure, where the gate measured one."""
    candidate = metrics.get("candidate", {}) if isinstance(metrics, dict) else {}
    for name, figures in candidate.items():
        if name.startswith("ndcg@"):
            return f"{figures[0]:.4f}"
    return ""
