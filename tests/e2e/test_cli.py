"""Every command: one JSON document for machines, and one line with a cure for every mistake."""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import sys
from typing import TYPE_CHECKING, Any

import pytest
import typer.main
from tests.conftest import DAY
from tests.e2e.shell import NEXTUP, Done, nextup, started

from nextup.entrypoints.cli import app as cli

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EVENTS = "who,what,did\nada,film:alien-1979,like\nbob,film:nowhere-1900,view\n"
SESSION = (  # in this order: what changes something comes after what only looks
    "doctor",
    "db current",
    "db upgrade",
    "stream --once",
    "pipeline status",
    "pipeline list",
    "contracts",
    "model list",
    "recommend horror-fan",
    "similar film:alien-1979",
    "lake status",
    "validate",
    "quarantine list",
    f"evaluate --date {DAY}",
    f"train --date {DAY}",
    f"publish --date {DAY}",
    "ingest sample",
    "ingest table ../events.csv --map user=who --map item=what --map type=did"
    " --unknown-items quarantine",
    f"pipeline run --date {DAY} --to refine",
    "quarantine readmit",
    "simulate --people 10 --days 1 --until 2026-03-01",
    "backup ../all.tar",
    "erase horror-fan --yes",
    "restore ../all.tar --yes",
    "lake maintain",
    f"pipeline run --backfill {DAY}..{DAY}",
    "model promote {model}",
    "client create shop --password --per-day 1000",
    "client key shop --note web",
    "client list",
    "client usage shop",
    "client rotate",
    "client revoke shop --yes",
    "init ../new",
)
ELSEWHERE = {
    "demo": "tests/e2e/test_demo.py",
    "model rollback": "tests/e2e/test_first_steps.py",
    "ingest movielens": "tests/integration/test_ingest_real_data.py",
    "ingest goodbooks": "tests/integration/test_ingest_real_data.py",
    "topics create": "tests/integration/test_kafka.py",
    "events produce": "tests/integration/test_kafka.py",
    **{f"files {name}": "tests/e2e/test_files.py" for name in ("list", "get", "make", "empty")},
    "files put": "tests/e2e/test_files.py",
    "airflow": "tests/integration/test_airflow.py",
    "bronze fetch": "tests/recipes/test_film_lakehouse.py",
    "bronze validate": "tests/recipes/test_film_lakehouse.py",
    "ingest items": "tests/recipes/test_book_platform.py",
    "migrate": "tests/integration/test_migrate.py",
    "schedule": "tests/integration/test_schedule.py",
    "model track": "tests/integration/test_tracking.py",
    "spark fetch": "tests/integration/test_spark_tables.py",
    "history extract": "tests/integration/test_history_by_day.py",
    "history archive": "tests/integration/test_history_by_day.py",
    "history merge": "tests/integration/test_history_by_day.py",
    "history clear": "tests/integration/test_history_by_day.py",
    "tune": "minutes of work",
    "serve": "it prints no document",
}


@pytest.fixture(scope="module")
def home(built_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the built platform, for commands that change nothing."""
    folder = tmp_path_factory.mktemp("cli") / "platform"
    shutil.copytree(built_folder, folder)
    return folder


def commands() -> Iterator[tuple[str, Any]]:
    def below(command: Any, path: str) -> Iterator[tuple[str, Any]]:
        for name, one in getattr(command, "commands", {}).items():
            yield from below(one, f"{path} {name}".strip())
        if not hasattr(command, "commands"):
            yield path, command

    yield from below(typer.main.get_command(cli.app), "")


def run_here(line: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Done:
    """What the executable does, in this process: anything but an exit status is a defect."""
    monkeypatch.setattr(sys, "argv", [NEXTUP, *shlex.split(line)])
    capfd.readouterr()
    with pytest.raises(SystemExit) as caught:
        cli.main()
    out, err = capfd.readouterr()
    return Done(int(caught.value.code or 0), out, err)


def test_every_command_prints_json(
    built_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """With `--json` standard output is one JSON document and standard error is empty."""
    home = tmp_path / "platform"
    shutil.copytree(built_folder, home)
    (tmp_path / "events.csv").write_text(EVENTS, encoding="utf-8")
    monkeypatch.chdir(home)
    answers: dict[str, Any] = {}
    for line in SESSION:
        model = answers.get("model list", {}).get("current")
        done = run_here(f"{line.format(model=model)} --json", monkeypatch, capfd)
        assert (done.status, done.err) == (0, ""), line
        assert done.out.count("\n") == 1, line
        answers[line] = json.loads(done.out)
    assert answers["recommend horror-fan"]["items"][0]["because"][0]["share"] > 0
    assert set(answers["similar film:alien-1979"]["items"][0]) >= {"item_id", "score"}
    assert answers["doctor"]["findings"][0]["port"] == "event_log"
    assert answers["pipeline status"][0]["steps"][0]["step"] == "collect"
    assert [table["table"] for table in answers["lake status"]]
    assert answers["quarantine readmit"]["looked_at"] == 1


def test_no_command_was_forgotten() -> None:
    """Each command takes `--json` and is tried above, or somewhere else for a reason."""
    tried = {
        name for name, _ in commands() for line in SESSION if f"{line} ".startswith(f"{name} ")
    }
    assert {name for name, _ in commands()} == tried | set(ELSEWHERE)
    without = {
        name for name, one in commands() if not any("--json" in part.opts for part in one.params)
    }
    assert without == {"serve"}


WRONG = [
    ("--bogus", 2, "No such option: --bogus", "`nextup -h`"),
    ("nope", 2, "No such command 'nope'", "`nextup -h`"),
    ("pipeline fly", 2, "No such command 'fly'", "`nextup pipeline -h`"),
    ("pipeline run --bogus", 2, "No such option: --bogus", "`nextup pipeline run -h`"),
    ("recommend", 2, "Missing argument", "`nextup recommend -h`"),
    ("recommend horror-fan --limit 0", 2, "'--limit'", "`nextup recommend -h`"),
    ("recommend horror-fan --limit many", 2, "'--limit'", "`nextup recommend -h`"),
    ("recommend horror-fan extra", 2, "unexpected extra argument", "`nextup recommend -h`"),
    ("ingest table x.csv", 2, "Missing option '--map'", "`nextup ingest table -h`"),
    ("ingest table x.csv --map user", 2, "'user' is no pair", "--map user=user_id"),
    ("ingest table x.csv --map user=u --map item=i", 1, "x.csv", ""),
    ("ingest table . --map user=u --map item=i", 2, "events", ""),
    ("ingest movielens nowhere.zip", 2, "nowhere.zip", "latest-small"),
    ("ingest goodbooks nowhere", 1, "nowhere", "zip file or a folder"),
    ("pipeline run --date 2026-13-01", 2, "--date: '2026-13-01'", "2026-11-20"),
    ("train --date tomorrow", 2, "--date: 'tomorrow'", "2026-11-20"),
    ("pipeline run --backfill 2026-01-01", 2, "not a period", "2026-11-01..2026-11-07"),
    ("pipeline run --backfill 2026-01-05..x", 2, "'x' is not a date", "2026-11-20"),
    ("pipeline run --backfill 2026-01-05..2026-01-01", 2, "before it begins", "first day"),
    ("pipeline run --date 2026-01-01 --backfill 2026-01-01..2026-01-02", 2, "exclude", "one"),
    ("pipeline run --from fly", 2, "no step 'fly'", "collect, refine"),
    ("pipeline run --from train --to collect", 2, "comes after", "collect, refine"),
    ("publish --date 2020-01-01", 1, "never trained", "step 'train'"),
    ("evaluate --as-of fly", 2, "--as-of: 'fly'", "2026-11-20T08:00:00"),
    ("evaluate --as-of 999", 1, "999", ""),
    ("model promote nope", 1, "no model 'nope'", "nextup model list"),
    ("model rollback", 1, "No model was in service before", "nextup model list"),
    ("similar film:nope", 1, "no item 'film:nope'", ""),
    ("erase ''", 2, "", "--yes"),
    ("erase '' --yes", 2, "Whom to erase", ""),
    ("erase horror-fan", 2, "Nobody is there to answer", "--yes"),
    ("restore nowhere.tar --yes", 2, "nowhere.tar", "nextup backup"),
    ("restore nextup.toml --yes", 1, "damaged; nothing was changed", "older backup"),
    ("backup nextup.toml", 1, "exists already", "another name"),
    ("backup nextup.toml/x.tar", 1, "cannot be used", "may write"),
    ("validate nowhere.jsonl", 2, "nowhere.jsonl cannot be read", "JSON object a line"),
    ("validate .", 2, "cannot be read", "JSON object a line"),
    ("lake maintain --keep-days -1", 2, "'--keep-days'", "`nextup lake maintain -h`"),
    ("simulate --people 1", 2, "'--people'", "`nextup simulate -h`"),
    ("simulate --to api --url http://127.0.0.1:9", 1, "No answer from", "nextup serve"),
    ("simulate --until soon", 2, "--until: 'soon'", "2026-11-20"),
    ("serve --host 192.0.2.1", 1, "192.0.2.1", "server.host"),
    ("client create Shop", 2, "'Shop' cannot be", "a-z"),
    ("client create shop --scope all", 2, "--scope", "read, write, operate, admin"),
    ("client key nobody", 1, "no client 'nobody'", "nextup client list"),
    ("client revoke nobody --yes", 1, "no client 'nobody'", "nextup client list"),
    ("client revoke nobody", 2, "Nobody is there to answer", "--yes"),
    ("--tenant=Acme client list", 1, "'tenant'", "nextup doctor"),
    ("serve --port 70000", 2, "'--port'", "`nextup serve -h`"),
    ("demo --port -1", 2, "'--port'", "`nextup demo -h`"),
    ("demo --folder nextup.toml", 1, "cannot be written", "another folder"),
    ("init .", 1, "exists already", "another folder"),
    ("init nextup.toml/x", 1, "cannot be written", "another folder"),
    ("doctor -C nowhere", 1, "no nextup.toml in", "nextup init"),
    ("recommend ada -C nextup.toml", 1, "no nextup.toml in", "nextup init"),
]


@pytest.mark.parametrize(("line", "status", "message", "cure"), WRONG, ids=str)
def test_a_mistake_is_one_line_and_a_cure(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    line: str,
    status: int,
    message: str,
    cure: str,
) -> None:
    """Wrong options, files, dates and names end with 1 or 2 and one line that begins `Error: `."""
    monkeypatch.chdir(home)
    done = run_here(line, monkeypatch, capfd)
    assert done.status == status, done.err
    assert done.err.startswith("Error: ")
    assert done.err.count("\n") == 1
    assert message in done.err
    assert cure in done.err
    assert "Traceback" not in done.out + done.err


SETTINGS = [
    ("seed = ", "cannot be read"),
    ("sede = 1", "'sede'"),
    ("[gate]\nmode = 'maybe'", "'gate.mode'"),
    ("timezone = 'Mars'", "'timezone'"),
    ("control_url = 'pigeon://me:hunter2@roof'", "control_url"),
    ("control_url = 'postgresql://me:hunter2@192.0.2.1/x'", "nextup[postgresql]"),
    ("[blend]\ntelepathy = 1.0", "telepathy"),
]


@pytest.mark.parametrize(("text", "message"), SETTINGS)
def test_wrong_settings_are_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    text: str,
    message: str,
) -> None:
    """What is wrong in nextup.toml is named by every command that needs it, without secrets."""
    monkeypatch.setitem(sys.modules, "psycopg", None)
    (tmp_path / "nextup.toml").write_text(text, encoding="utf-8")
    done = run_here(f"pipeline run -C {tmp_path} --to train", monkeypatch, capfd)
    assert done.status in {1, 2}
    (error,) = done.err.splitlines()
    assert error.startswith("Error: ")
    assert message in error
    assert "hunter2" not in done.out + done.err


def test_machines_get_their_errors_as_json(
    home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """With `--json` an error is one document on standard error, for wrong usage, too."""
    monkeypatch.chdir(home)
    for line in ("model promote nope --json", "model promote --json", "erase ada --json"):
        done = run_here(line, monkeypatch, capfd)
        assert done.out == ""
        error = json.loads(done.err)
        assert error["error"]
        assert error["cure"]


def test_the_executable_says_it_alike(home: Path) -> None:
    """In a process of its own: the same line, the same status, and no traceback."""
    done = nextup("pipeline", "run", "--bogus", cwd=home)
    assert (done.status, done.out) == (2, "")
    expected = "Error: No such option: --bogus. `nextup pipeline run -h` shows how it is used.\n"
    assert done.err == expected
    answered = nextup("erase", "horror-fan", cwd=home, typed="no\n")
    assert answered.status == 2


def test_help_and_completion(
    home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """No arguments and a group alone show the help; a shell gets its completion script, and the
    completions themselves."""
    for line, status in (("--help", 0), ("", 2), ("pipeline", 2), ("pipeline -h", 0)):
        done = run_here(line, monkeypatch, capfd)
        assert done.status == status
        assert (done.out + done.err).startswith("Usage: nextup")
        assert "Commands:" in done.out + done.err
    assert nextup("--version", cwd=home).out.startswith("nextup ")
    script = nextup("--show-completion", cwd=home, SHELL="/bin/bash", _TYPER_COMPLETE_TESTING="1")
    assert script.status == 0
    assert "complete" in script.out
    words = {"_NEXTUP_COMPLETE": "complete_bash", "COMP_WORDS": "nextup pip", "COMP_CWORD": "1"}
    assert nextup(cwd=home, **words).out.split() == ["pipeline"]


def test_a_reader_may_leave_early(home: Path) -> None:
    """`nextup ... | head` is no error: nothing is printed about the closed pipe."""
    with started("pipeline", "status", "--json", cwd=home) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""


def test_ctrl_c_is_said_plainly(built_folder: Path, tmp_path: Path) -> None:
    """An interrupted run ends with 130 and a line, its record says failed, and the next run
    finishes the work."""
    home = tmp_path / "platform"
    shutil.copytree(built_folder, home)
    settings = home / "nextup.toml"
    usual = settings.read_text()
    # half a minute of training, so that it is not over before it is interrupted
    settings.write_text(usual.replace("[models.als]", "[models.als]\niterations = 3000"))
    with started("pipeline", "run", "--date", "2026-03-29", cwd=home) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert "collect" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert err == "Error: Interrupted. Running the same command again continues.\n"
    runs = nextup("pipeline", "status", "--json", cwd=home).document
    assert [run["outcome"] for run in runs] == ["failed", "succeeded"]
    settings.write_text(usual)
    again = nextup("pipeline", "run", "--date", "2026-03-29", "--json", cwd=home).document
    assert again["outcome"] == "succeeded"
