"""The pipeline from the log to the lists, on the real embedded backends."""

from __future__ import annotations

import gc
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from tests.conftest import DAY, PEOPLE

from nextup.domain.errors import Conflict, InvalidInput
from nextup.domain.events import Event
from nextup.domain.operations import Outcome, Run
from nextup.domain.tables import Table
from nextup.entrypoints.cli.context import context_of
from nextup.services.artifacts import load_artifact
from nextup.services.pipeline import (
    MANY_OBJECTS,
    PIPELINES,
    STEPS,
    choose_steps,
    days,
    end_of_day,
    run_pipeline,
)
from nextup.services.registry import promote, rollback
from nextup.services.steps import Done

if TYPE_CHECKING:
    from nextup.bootstrap import Platform
    from nextup.services.steps import Context


def run(platform: Platform, day: date = DAY, **steps: str) -> Run:
    return run_pipeline(context_of(platform, day), platform.control, **steps)


def hashes(platform: Platform) -> dict[Table, str]:
    return {
        status.table: platform.lake.content_hash(status.table) for status in platform.lake.status()
    }


def lists(platform: Platform) -> dict[str, object]:
    users = ["horror-fan", "classics-reader", "sci-fi-fan"]
    return {user: platform.recommendation_store.read(user) for user in users}


def lists_of(platform: Platform) -> str | None:
    """The model whose lists are in service."""
    current = platform.recommendation_store.current()
    models = {one.generation: one.model_id for one in platform.control.generations()}
    return models.get(current or "")


def like(number: int, user_id: str = "horror-fan", at: datetime | None = None) -> Event:
    at = at or datetime(2026, 3, 31, 12, tzinfo=UTC)
    return Event(f"test-{number}", "like", user_id, "book:dune-1965", at)


def test_a_run_brings_events_into_service(built: Platform) -> None:
    """After one run every event is in silver once, and everybody has a list of the new model."""
    appended = sum(built.event_log.head().values())
    rows = {status.table: status.rows for status in built.lake.status()}
    assert rows[Table.EVENTS] == rows[Table.INTERACTIONS]
    assert 0 < rows[Table.EVENTS] <= appended
    model_id = built.control.current_model()
    assert model_id is not None
    assert lists_of(built) == model_id
    assert built.recommendation_store.count(built.recommendation_store.current()) == PEOPLE
    assert built.online_state.position() == built.event_log.head()


def test_a_second_run_of_a_day_changes_nothing(built: Platform) -> None:
    """Running a day twice leaves every table's rows, the model and the lists as they were."""
    before, listed, model_id = hashes(built), lists(built), built.control.current_model()
    again = run(built)
    assert again.outcome is Outcome.SUCCEEDED
    assert hashes(built) == before
    assert lists(built) == listed
    assert built.control.current_model() == model_id
    assert [model.model_id for model in built.control.models()] == [model_id]


@pytest.mark.parametrize("dies_in", [step.name for step in STEPS])
def test_a_run_that_failed_is_resumed_by_running_again(
    sample: Platform, built: Platform, dies_in: str
) -> None:
    """Whichever step fails, the next run ends with the tables and lists of an undisturbed one."""
    place = [step.name for step in STEPS].index(dies_in)
    run(sample, last=STEPS[place - 1].name) if place else None
    context = context_of(sample, DAY, _explode_late)
    try:
        run_pipeline(context, sample.control, first=dies_in, last=dies_in)
    except RuntimeError:
        assert sample.control.runs(1)[0].outcome is Outcome.FAILED
    run(sample)
    assert hashes(sample)[Table.INTERACTIONS] == hashes(built)[Table.INTERACTIONS]
    assert hashes(sample)[Table.USER_ITEM] == hashes(built)[Table.USER_ITEM]
    assert lists(sample) == lists(built)


def _explode_late(what: str, done: int, total: int) -> None:
    """A progress callback that fails when the work is nearly done."""
    if total and done >= total:
        raise RuntimeError(what)


def test_python_looks_for_cycles_seldom_while_a_step_runs(sample: Platform) -> None:
    """And as before afterwards, however the step ended."""
    usual, within = gc.get_threshold(), []

    def note(context: Context) -> Done:
        within.append(gc.get_threshold()[0])
        raise InvalidInput("on purpose")

    steps = (replace(STEPS[0], run=note),)
    with pytest.raises(InvalidInput, match="on purpose"):
        run_pipeline(
            context_of(sample, DAY), sample.control, pipeline=replace(PIPELINES[0], steps=steps)
        )
    assert within == [MANY_OBJECTS]
    assert gc.get_threshold() == usual


def test_late_events_of_a_day_are_counted_by_running_it_again(built: Platform) -> None:
    """An event that arrives after its day's run is in the tables after the next run of the day."""
    pairs = built.lake.scan(Table.USER_ITEM)
    before = pairs.collect().height
    built.event_log.append([like(1, "somebody-new")])
    run(built, last="features")
    assert built.lake.scan(Table.USER_ITEM).collect().height == before + 1


def test_events_after_the_day_wait_for_their_own(built: Platform) -> None:
    """Features of a day hold nothing that happened after it ended."""
    before = hashes(built)[Table.USER_ITEM]
    built.event_log.append([like(1, at=datetime(2026, 4, 1, 0, 0, 1, tzinfo=UTC))])
    run(built, last="features")
    assert hashes(built)[Table.USER_ITEM] == before
    run(built, DAY + timedelta(days=1), last="features")
    assert hashes(built)[Table.USER_ITEM] != before


def test_two_runs_cannot_collide(built: Platform) -> None:
    """While one run holds the lock a second is refused, naming the holder."""
    with built.control.lock("pipeline"), pytest.raises(Conflict, match="pipeline"):
        run(built)


def test_a_killed_run_is_seen_as_interrupted(built: Platform) -> None:
    """A run that still says `running` when the lock is free died; the next run says so."""
    dead = Run("dead", "2026-03-31", Outcome.RUNNING, datetime(2026, 3, 31, tzinfo=UTC))
    built.control.save_run(dead)
    run(built, last="collect")
    outcomes = {one.run_id: one.outcome for one in built.control.runs()}
    assert outcomes["dead"] is Outcome.INTERRUPTED


def test_a_failed_gate_keeps_what_serves(built: Platform) -> None:
    """A recipe that does not beat popularity is trained and kept, but never put in service."""
    good = built.control.current_model()
    context = _with_blend_of_nothing_but_popularity(context_of(built, DAY))
    done = run_pipeline(context, built.control)
    assert built.control.current_model() == good
    assert lists_of(built) == good
    judged = {model.model_id: model.passed for model in built.control.models()}
    assert sorted(judged.values()) == [False, True]
    assert "gate: failed" in done.steps[-1].message


def test_a_failed_gate_still_renews_the_lists(built: Platform) -> None:
    """The model that stays in service makes lists for people who came since, too."""
    run(built, last="publish")
    built.event_log.append([like(1, "somebody-new")])
    context = _with_blend_of_nothing_but_popularity(context_of(built, DAY))
    run_pipeline(context, built.control)
    assert built.recommendation_store.read("somebody-new") is not None


def test_a_failed_gate_without_a_model_serves_popularity(sample: Platform) -> None:
    """Where nothing has earned to serve, popularity does, under a name that says so."""
    context = _with_blend_of_nothing_but_popularity(context_of(sample, DAY))
    run_pipeline(context, sample.control)
    current = sample.control.current_model()
    assert current is not None
    assert current.endswith("-popular")
    assert list(load_artifact(sample.files, current).components) == ["popularity"]
    listed = sample.recommendation_store.read("horror-fan")
    assert listed is not None
    assert {scored.source for scored in listed.items} == {"popularity"}


def test_warn_lets_pass_and_says_so(sample: Platform) -> None:
    """`gate.mode = "warn"` promotes what failed, with the reason in the verdict."""
    context = _with_blend_of_nothing_but_popularity(context_of(sample, DAY))
    gate = context.settings.gate.model_copy(update={"mode": "warn"})
    settings = context.settings.model_copy(update={"gate": gate})
    run_pipeline(replace(context, settings=settings), sample.control)
    model = sample.control.models()[0]
    assert sample.control.current_model() == model.model_id
    assert model.verdict.startswith("gate (warn): let pass, although")


def _with_blend_of_nothing_but_popularity(context: Context) -> Context:
    blend = dict.fromkeys(context.settings.blend, 0.0) | {"popularity": 1.0}
    settings = context.settings.model_copy(update={"blend": blend})
    return replace(context, settings=settings)


def test_rollback_returns_to_the_model_before(built: Platform) -> None:
    """Promote and roll back switch the model and its lists together, in both directions."""
    first = built.control.current_model()
    run(built, DAY + timedelta(days=1))
    second = built.control.current_model()
    assert second != first
    assert rollback(built.control, built.recommendation_store).model_id == first
    assert lists_of(built) == first
    assert second is not None
    promote(built.control, built.recommendation_store, second)
    assert lists_of(built) == second
    rollback(built.control, built.recommendation_store)
    with pytest.raises(Conflict, match="No model was in service before"):
        rollback(built.control, built.recommendation_store)


def test_steps_are_chosen_by_name() -> None:
    """`--from` and `--to` cut the list; wrong names and orders are refused with the cure."""
    assert [step.name for step in choose_steps("features", "train")] == ["features", "train"]
    with pytest.raises(InvalidInput, match=r"no step 'fly'.*collect"):
        choose_steps("fly", None)
    with pytest.raises(InvalidInput, match="comes after"):
        choose_steps("publish", "collect")


def test_every_step_reads_what_another_wrote() -> None:
    """The list of steps is in order: nothing is read before it is written."""
    written = {"event_log", "catalog"}
    for step in STEPS:
        assert set(step.reads) <= written | set(step.writes), step.name
        written |= set(step.writes)


def test_a_day_ends_where_people_live(built: Platform) -> None:
    """The end of a day is local midnight, across a change of the clocks too."""
    paris = built.settings.model_copy(update={"timezone": "Europe/Paris"})
    assert end_of_day(date(2026, 3, 28), paris) == datetime(2026, 3, 28, 23, tzinfo=UTC)
    assert end_of_day(date(2026, 3, 29), paris) == datetime(2026, 3, 29, 22, tzinfo=UTC)


def test_a_period_has_both_its_ends() -> None:
    """A backfill from a day to itself is one day; backwards is refused."""
    assert list(days(DAY, DAY)) == [DAY]
    assert len(list(days(date(2026, 2, 27), date(2026, 3, 2)))) == 4
    with pytest.raises(InvalidInput, match=r"ends .* before it begins"):
        list(days(DAY, DAY - timedelta(days=1)))
