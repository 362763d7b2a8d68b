"""`nextup model list|promote|rollback|track`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from nextup.entrypoints.cli.context import platform_at
from nextup.entrypoints.cli.output import HERE, Home, Json, Output

if TYPE_CHECKING:
    from nextup.bootstrap import Platform

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
        told = _tell(platform)
    Output(as_json=as_json).result(model, f"{model.model_id} is in service.{told}")


@app.command()
def rollback(home: Home = HERE, as_json: Json = False) -> None:
    """Return to the model that served before."""
    from nextup.services.registry import rollback

    with platform_at(home) as platform:
        model = rollback(platform.control, platform.recommendation_store)
        told = _tell(platform)
    Output(as_json=as_json).result(model, f"{model.model_id} is in service again.{told}")


@app.command()
def track(home: Home = HERE, as_json: Json = False) -> None:
    """Tell the tracker of all models and of the one in service; what it knows stays."""
    from nextup.domain.errors import ConfigurationError
    from nextup.services.tracking import catch_up

    with platform_at(home) as platform:
        settings = platform.settings
        if settings.tracker_url.startswith("null:"):
            raise ConfigurationError(
                "There is no tracker.", cure="Set tracker_url, for one to mlflow://."
            )
        told = catch_up(platform.tracker, platform.control, platform.files, settings.tracking)
    Output(as_json=as_json).result({"models": told}, f"The tracker knows {len(told):,} models.")


def _tell(platform: Platform) -> str:
    """Bring the tracker in step; what goes wrong there is said, and stops nothing."""
    from nextup.services.tracking import follow_at

    wrong = follow_at(platform)
    return f" ({wrong})" if wrong else ""


def _ndcg(metrics: object) -> str:
    """The candidate's deciding figure, where the gate measured one."""
    candidate = metrics.get("candidate", {}) if isinstance(metrics, dict) else {}
    for name, figures in candidate.items():
        if name.startswith("ndcg@"):
            return f"{figures[0]:.4f}"
    return ""
