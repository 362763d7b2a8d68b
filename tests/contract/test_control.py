"""What the control data promises."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.contract.backends import CONTROLS, HOSTILE_IDS, SQLITE, Place, places
from tests.contract.cases import BASE, in_threads
from tests.servers import durable

from nextup.adapters.control.holder import Holder
from nextup.domain.errors import BackendUnavailable, Conflict, InvalidInput, NotFound
from nextup.domain.operations import Generation, ModelRecord, Outcome, Run, StepRecord

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from tests.contract.cases import Opener

    from nextup.ports.control import Control


@pytest.fixture(params=CONTROLS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    yield from places(request, tmp_path)


def run(number: int, outcome: Outcome = Outcome.RUNNING) -> Run:
    return Run(f"run-{number}", "2024-03-01", outcome, BASE + timedelta(hours=number))


def step(name: str, minute: int = 0, outcome: Outcome = Outcome.SUCCEEDED) -> StepRecord:
    return StepRecord(name, outcome, BASE + timedelta(minutes=minute), 1.25, {"rows_in": 7}, "ü")


def model(name: str, hour: int = 0) -> ModelRecord:
    return ModelRecord(name, BASE + timedelta(hours=hour), "als", {"ndcg": {"value": 0.1}})


def with_models(control: Control, *names: str) -> None:
    """Register them and put them in service, one after the other."""
    for name in names:
        control.save_model(model(name))
        control.set_current_model(name)


def rollback(control: Control) -> str:
    before = control.previous_models()[0]
    control.set_current_model(before)
    return before


def test_a_new_control_is_empty(control: Control) -> None:
    """Nothing ran and nothing is in service, and asking is not an error."""
    assert control.runs() == control.models() == control.generations() == []
    assert control.current_model() is None
    assert control.previous_models() == []
    assert control.model("a") is None
    assert control.set_current_model(None) is None


def test_a_run_comes_back_with_its_steps(control: Control) -> None:
    """All fields survive, and steps come in the order they ran, also where times are equal."""
    control.save_run(run(1))
    for name, minute in (("ingest", 0), ("refine", 0), ("train", 5), ("quality", 0)):
        control.save_step("run-1", step(name, minute))
    steps = (step("ingest"), step("refine"), step("quality"), step("train", 5))
    assert control.runs() == [replace(run(1), steps=steps)]


def test_saving_a_run_again_keeps_its_steps(control: Control) -> None:
    """The run is replaced, the steps stay; a step that runs again is replaced."""
    control.save_run(run(1))
    control.save_step("run-1", step("ingest", 0, Outcome.FAILED))
    control.save_step("run-1", step("refine", 1))
    control.save_step("run-1", step("ingest", 2))
    ended = replace(run(1, Outcome.SUCCEEDED), finished_at=BASE + timedelta(hours=2))
    control.save_run(ended)
    assert control.runs() == [replace(ended, steps=(step("refine", 1), step("ingest", 2)))]


def test_runs_come_latest_first(control: Control) -> None:
    """By when they started; a limit cuts the older ones off; their steps are their own."""
    for number in (2, 1, 3):
        control.save_run(run(number))
        control.save_step(f"run-{number}", step(f"step-{number}"))
    assert [one.run_id for one in control.runs()] == ["run-3", "run-2", "run-1"]
    assert [one.steps[0].step for one in control.runs(2)] == ["step-3", "step-2"]
    assert control.runs(0) == []


def test_a_step_of_no_run_is_refused(control: Control) -> None:
    """A step belongs to a run that was saved."""
    with pytest.raises(NotFound):
        control.save_step("nobody", step("ingest"))


def test_a_model_comes_back_as_it_was(control: Control) -> None:
    """All fields survive, in their types."""
    full = ModelRecord(
        "m1",
        BASE,
        "als",
        {"ndcg": {"value": 0.1 + 0.2, "interval": [0.1, 0.4]}, "people": 7},
        {"settings": {"als": {"factors": 64}}, "offsets": {"0": 12}, "note": None},
        BASE + timedelta(hours=1),
        "better than popularity",
    )
    control.save_model(full)
    control.save_model(model("m2", 3))
    assert control.model("m1") == full
    assert control.models() == [model("m2", 3), full]
    control.save_model(replace(full, verdict="", metrics={}))
    assert control.model("m1") == replace(full, verdict="", metrics={})


def test_what_cannot_be_kept_is_refused(control: Control) -> None:
    """A metric that is no JSON is the caller's mistake, and nothing is written."""
    with pytest.raises(InvalidInput):
        control.save_model(replace(model("a"), metrics={"x": object()}))
    assert control.models() == []


@pytest.mark.parametrize("hostile", HOSTILE_IDS)
def test_names_may_be_anything(control: Control, hostile: str) -> None:
    """Text that means something to a database is only text in a name."""
    control.save_run(replace(run(1), run_id=hostile))
    control.save_step(hostile, step(hostile))
    control.save_model(model(hostile))
    control.set_current_model(hostile)
    control.save_generation(Generation(hostile, hostile, 1, BASE))
    with control.lock(hostile), pytest.raises(Conflict), control.lock(hostile):
        pass
    assert control.runs()[0].steps == (step(hostile),)
    assert control.current_model() == hostile
    assert control.generations() == [Generation(hostile, hostile, 1, BASE)]


def test_switching_the_model(open_control: Opener) -> None:
    """The switch says what was before, and the model remembers when it came into service."""
    control = open_control(clock=lambda: BASE)
    control.save_model(model("a"))
    control.save_model(model("b"))
    assert control.set_current_model("a") is None
    assert control.set_current_model("b") == "a"
    assert control.set_current_model("b") == "b"
    assert control.current_model() == "b"
    assert control.model("b") == replace(model("b"), promoted_at=BASE)
    control.save_model(replace(model("b"), verdict="kept"))
    assert control.model("b") == replace(model("b"), verdict="kept", promoted_at=BASE)


def test_an_unknown_model_is_not_put_in_service(control: Control) -> None:
    """The one in service stays."""
    with_models(control, "a")
    with pytest.raises(NotFound):
        control.set_current_model("ghost")
    assert control.current_model() == "a"
    assert control.previous_models() == []


def test_two_rollbacks_go_two_back(control: Control) -> None:
    """Each takes the model in service off, down to the first."""
    with_models(control, "a", "b", "c")
    assert control.previous_models() == ["b", "a"]
    assert [rollback(control), rollback(control)] == ["b", "a"]
    assert control.current_model() == "a"
    assert control.previous_models() == []


def test_a_promotion_after_a_rollback_forgets_what_was_rolled_back(control: Control) -> None:
    """A rollback from the new one goes to the good one, not to the one found bad."""
    with_models(control, "a", "bad")
    rollback(control)
    with_models(control, "c")
    assert control.previous_models() == ["a"]
    with_models(control, "bad")  # promoted once more, by name
    assert control.previous_models() == ["c", "a"]


def test_promoting_an_old_model_can_be_rolled_back(control: Control) -> None:
    """A model from deep in the history comes on top, and is in the history once."""
    with_models(control, "a", "b", "c")
    control.set_current_model("a")
    assert control.previous_models() == ["c", "b"]
    assert rollback(control) == "c"
    assert control.previous_models() == ["b"]


def test_out_of_service_and_back(control: Control) -> None:
    """Switching to none keeps the history; the way back is the model that was in service."""
    with_models(control, "a", "b")
    assert control.set_current_model(None) == "b"
    assert control.current_model() is None
    assert control.previous_models() == ["b", "a"]
    assert rollback(control) == "b"
    assert control.previous_models() == ["a"]
    control.set_current_model(None)
    with_models(control, "c")
    assert control.previous_models() == ["b", "a"]


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(switches=st.lists(st.sampled_from(["a", "b", "c", None, "rollback"]), max_size=12))
def test_any_switches_keep_a_history_without_repeats(
    place: Place, switches: list[str | None]
) -> None:
    """The model in service is never in its own history, and no model is there twice."""
    control = place.another().control()
    for name in "abc":
        control.save_model(model(name))
    for name in switches:
        before = control.current_model()
        if name != "rollback":
            assert control.set_current_model(name) == before
            assert control.current_model() == name
        elif control.previous_models():
            history = control.previous_models()
            assert rollback(control) == history[0]
            assert control.previous_models() == history[1:]
        assert control.current_model() not in control.previous_models()
        assert len(set(control.previous_models())) == len(control.previous_models())
    control.close()


def test_generations_come_latest_first(control: Control) -> None:
    """By when they were published; the same name is replaced."""
    old, new = Generation("g1", None, 0, BASE), Generation("g2", "m", 5, BASE + timedelta(hours=1))
    for generation in (new, old, replace(old, lists=3)):
        control.save_generation(generation)
    assert control.generations() == [new, replace(old, lists=3)]


def test_a_lock_is_held_by_one(control: Control) -> None:
    """A second holder, in the same process too, is refused at once with the first one's name."""
    with control.lock("pipeline"):
        with pytest.raises(Conflict, match=f"process {os.getpid()} on .* since 20"):
            control.lock("pipeline").__enter__()
        with control.lock("another"):
            pass
    with control.lock("pipeline"):
        pass


def test_a_lock_is_free_after_an_error(control: Control) -> None:
    """Work that fails gives the lock back, and its error is the one that is seen."""
    with pytest.raises(ZeroDivisionError), control.lock("pipeline"):
        _ = 1 / 0
    with control.lock("pipeline"):
        pass


def test_threads_compete_for_a_lock(control: Control) -> None:
    """Never two at once; all others are refused."""
    inside, most, refused = [0], [0], [0]
    together = threading.Barrier(6, timeout=60)

    def compete() -> None:
        for _ in range(5):
            together.wait()
            try:
                with control.lock("pipeline"):
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                    together.wait()  # all have tried
                    inside[0] -= 1
            except Conflict:
                refused[0] += 1
                together.wait()

    in_threads([threading.Thread(target=compete) for _ in range(6)])
    assert most == [1]
    assert refused == [5 * 5]


HOLD = """
import time
control = place.control()
with control.lock("pipeline"):
    print("held", flush=True)
    time.sleep(600)
"""


@durable(CONTROLS)
def test_another_process_is_refused_until_the_holder_dies(place: Place, control: Control) -> None:
    """The lock of a process that was killed is free at once."""
    process = place.run(HOLD)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    with pytest.raises(Conflict, match=f"process {process.pid} "), control.lock("pipeline"):
        pass
    process.kill()
    with process:
        process.communicate()
    with control.lock("pipeline"):
        pass


@durable(CONTROLS)
def test_a_reused_process_number_is_not_the_holder(open_control: Opener) -> None:
    """A process that lives under the number of a dead holder does not keep its lock."""
    me = Holder.here()
    earlier = open_control(holder=me._replace(started="1"))
    mine = open_control()
    with pytest.raises(Conflict, match="taken over"), earlier.lock("x"), mine.lock("x"):
        pass


@pytest.mark.parametrize("place", [SQLITE], indirect=True)  # a server's clock cannot be moved
def test_a_holder_elsewhere_lives_while_its_heart_beats(open_control: Opener) -> None:
    """Another machine's process cannot be asked; its heartbeats keep the lock for any time."""
    far = Holder("far", "another boot", 1, "1")
    now, beats = [BASE], threading.Semaphore(0)

    def clock() -> datetime:
        beats.release()
        return now[0]

    beating = open_control(holder=far, stale_seconds=0.06, clock=clock)  # every 10 ms
    judge = open_control(clock=lambda: now[0])
    with beating.lock("x"):
        for _ in range(3):
            while beats.acquire(blocking=False):
                pass
            now[0] += timedelta(days=1)
            for _ in range(3):  # the first may be of before, the third says the second is written
                beats.acquire()
            with pytest.raises(Conflict, match="far"), judge.lock("x"):
                pass


@durable(CONTROLS)
def test_a_silent_holder_elsewhere_is_dead(open_control: Opener) -> None:
    """It loses the lock, and learns that it did, since both may have worked."""
    far = Holder("far", "another boot", 1, "1")
    silent = open_control(holder=far, stale_seconds=3600)  # its next heartbeat is in 10 minutes
    impatient = open_control(stale_seconds=0)
    with pytest.raises(Conflict, match="taken over"), silent.lock("x"), impatient.lock("x"):
        pass


@durable(CONTROLS)
def test_the_same_host_name_is_not_the_same_place(open_control: Opener) -> None:
    """Containers may share a name and each have a process 1: only silence tells then."""
    me = Holder.here()
    twin = open_control(holder=me._replace(place="another namespace", started="1"))
    with twin.lock("x"), pytest.raises(Conflict), open_control().lock("x"):
        pass


@durable(CONTROLS)
def test_everything_survives_a_restart(open_control: Opener) -> None:
    """Runs, models, what is in service and generations are there for the next process."""
    control = open_control(clock=lambda: BASE)
    control.save_run(run(1))
    control.save_step("run-1", step("ingest"))
    with_models(control, "a", "b")
    control.save_generation(Generation("g1", "b", 5, BASE))
    control.close()
    control = open_control()
    assert control.runs() == [replace(run(1), steps=(step("ingest"),))]
    assert (control.current_model(), control.previous_models()) == ("b", ["a"])
    assert control.generations() == [Generation("g1", "b", 5, BASE)]


def test_threads_share_a_control(control: Control) -> None:
    """Steps saved at once are all there."""
    control.save_run(run(1))

    def save(thread: int) -> None:
        for number in range(10):
            control.save_step("run-1", step(f"{thread}-{number}"))

    in_threads([threading.Thread(target=save, args=(thread,)) for thread in range(6)])
    assert len(control.runs()[0].steps) == 60


def test_closing_twice_does_nothing(control: Control) -> None:
    """After closing, use is refused with a clear error."""
    control.close()
    control.close()
    with pytest.raises(BackendUnavailable):
        control.runs()
