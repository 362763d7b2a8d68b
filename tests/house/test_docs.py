"""What the README and the manual show happens, and what they name exists."""

from __future__ import annotations

import importlib.util
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer.main
from tests.house.pages import ADDRESS, PAGES, ROOT, Typed, code, differs, sessions

from nextup.bootstrap import open_platform
from nextup.entrypoints.api.app import create_app
from nextup.entrypoints.api.server import ApiServer
from nextup.entrypoints.cli.app import app, main
from nextup.services.settings_reference import reference
from nextup.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

TYPED = [
    pytest.param(page, number, id=f"{page.relative_to(ROOT)}-{number}")
    for page in PAGES
    for number, _ in enumerate(sessions(page.read_text(encoding="utf-8")))
]
OTHER_VARIABLES = {  # read elsewhere than in the settings
    "NEXTUP_API_KEY",
    "NEXTUP_HOME",
    "NEXTUP_NATIVE",
    "NEXTUP_REQUIRE_SERVERS",
    "NEXTUP_TEST_ENGINE_URL",
    "NEXTUP_TEST_REDIS_URL",
    "NEXTUP_TEST_SERVERS",
    "NEXTUP_STACK_CACHE",
    "NEXTUP_CONTROL_URL_FILE",
    "NEXTUP_FAULT_ROUNDS",
    "NEXTUP_FAULT_SEED",
}
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@pytest.mark.parametrize(("page", "number"), TYPED)
def test_what_a_page_shows_happens(
    page: Path,
    number: int,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Typing what a page shows, in order, gives the output that it shows."""
    session = sessions(page.read_text(encoding="utf-8"))[number]
    folder = tmp_path / "shop"
    if session.platform == "empty":
        folder.mkdir()
    else:
        shutil.copytree(request.getfixturevalue(f"{session.platform}_folder"), folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "100")
    assert session.steps
    auth = "keys" if session.guarded else "none"
    with _served(folder, auth) if session.served else nullcontext(ADDRESS) as url:
        for step in session.steps:
            if isinstance(step, Typed):
                output = type_in(step.command.replace(ADDRESS, url)).replace(url, ADDRESS)
                wrong = differs(step, output)
                assert wrong is None, f"$ {step.command}\n{wrong}"
            else:
                name, content = step
                Path(name).write_text(content.replace(ADDRESS, url), encoding="utf-8")


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    """A relative link's file exists, or is one of the generated pages."""
    generated = {ROOT / "docs/reference/generated" / name for name in _generator().PAGES}
    for target in re.findall(r"(?<!`)\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if not re.match(r"[a-z]+:", target):
            file = (page.parent / target).resolve()
            assert file.exists() or file in generated, target


@every_page
def test_commands_exist_with_their_options(page: Path) -> None:
    """A page names no command or option of `nextup` that it does not have."""
    for line in code(page.read_text(encoding="utf-8")):
        for words in re.findall(r"(?<![\w./-])(?<!install )(?<!rollback )nextup ([^|>;&`]+)", line):
            assert_is_command(words.split())


@every_page
def test_make_targets_exist(page: Path) -> None:
    """`make <something>` in code is a target of the Makefile; on a recipe's page, of its own."""
    folder = ROOT / "src/nextup/recipes" / page.stem.replace("-", "_")
    makefiles = [ROOT / "Makefile", *folder.glob("Makefile")]
    text = "\n".join(file.read_text(encoding="utf-8") for file in makefiles)
    targets = set(re.findall(r"^([a-z-]+):.*##", text, re.MULTILINE))
    for line in code(page.read_text(encoding="utf-8")):
        for target in re.findall(r"(?:^|; )make ([a-z-]+)", line):
            assert target in targets


@every_page
def test_variables_exist(page: Path) -> None:
    """`NEXTUP_...` is a setting, a variable of `deploy/compose.yaml`, or one of the few others."""
    compose = (ROOT / "deploy/compose.yaml").read_text(encoding="utf-8")
    of_compose = set(re.findall(r"\$\{(NEXTUP_[A-Z_]+)", compose))
    known = OTHER_VARIABLES | of_compose | {one.variable for one in reference()}
    for name in re.findall(r"\bNEXTUP_[A-Z_]*[A-Z]\b", page.read_text(encoding="utf-8")):
        assert name in known


def test_reference_pages_are_generated(tmp_path: Path) -> None:
    """Every reference page has content, and the index lists each of them."""
    generator = _generator()
    generator.write_reference(tmp_path)
    index = (ROOT / "docs/reference/index.md").read_text(encoding="utf-8")
    for name in generator.PAGES:
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert text.startswith("# ")
        assert text.count("\n") > 5
        assert f"generated/{name.removesuffix('.md')}" in index


def type_in(command: str) -> str:
    """What the command prints; `nextup` runs in this process, anything else in a shell."""
    first, _, rest = command.partition(" | ")
    if first.startswith("nextup "):
        printed = _run_nextup(first)
        return _run_shell(rest, printed) if rest else printed
    return _run_shell(command)


def _run_shell(command: str, typed: str = "") -> str:
    for tool in re.findall(r"\b(?:curl|jq)\b", command):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    done = subprocess.run(
        ["bash", "-c", command],
        input=typed,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )
    return done.stdout + done.stderr


def _run_nextup(command: str) -> str:
    printed, arguments = io.StringIO(), sys.argv
    sys.argv = shlex.split(command.replace("\\\n", " "))
    try:
        with redirect_stdout(printed), redirect_stderr(printed):
            main()
    except SystemExit:
        pass  # the output says what went wrong, and is compared
    finally:
        sys.argv = arguments
    return printed.getvalue()


def assert_is_command(words: list[str]) -> None:
    command: Any = typer.main.get_command(app)
    options = {"--help", "--version", "--json"}
    path = "nextup"
    for word in words:
        if word.startswith("--"):
            name = word.split("=")[0].rstrip(".,;)")
            known = options | {one for each in command.params for one in each.opts}
            assert name in known, f"{path} has no {name}"
        elif getattr(command, "commands", None):
            names = [word] if "|" not in word else word.split("|")
            assert set(names) <= set(command.commands), f"{path} has no {word}"
            command, path = command.commands[names[0]], f"{path} {word}"


@contextmanager
def _served(folder: Path, auth: str) -> Iterator[str]:
    with (
        open_platform(load_settings(folder, access={"auth": auth})) as platform,
        ApiServer(create_app(platform), host="127.0.0.1", port=0) as server,
    ):
        yield server.url


def _generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
