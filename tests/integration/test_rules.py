"""Rules and dashboards as they are written: what can be said of them before anything runs."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from stack.errors import Unavailable
from stack.fetching import debian

if TYPE_CHECKING:
    from collections.abc import Iterator

DEPLOY = Path(__file__).parents[2] / "deploy"
RUNBOOKS = Path(__file__).parents[2] / "docs" / "operations" / "runbooks"
GRAFANA: dict[str, Any] = runpy.run_path(str(DEPLOY / "grafana" / "dashboards.py"))


def rules(kind: str) -> Iterator[dict[str, Any]]:
    """Those of a kind, `alert` or `record`, of all files."""
    for file in sorted((DEPLOY / "prometheus" / "rules").glob("*.yml")):
        for group in yaml.safe_load(file.read_text())["groups"]:
            yield from (rule for rule in group["rules"] if kind in rule)


def told_by(program: str, *arguments: str) -> str:
    """What a program of Prometheus' packages says; it must agree."""
    try:
        found = debian("prometheus" if program == "promtool" else "alertmanager", program=program)
    except Unavailable as error:
        pytest.skip(str(error))
    done = subprocess.run([found, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_file_is_what_its_program_reads() -> None:
    """Prometheus' configuration with its rules, and Alertmanager's."""
    folder = DEPLOY / "prometheus"
    assert "rules found" in told_by("promtool", "check", "config", f"{folder}/prometheus.yml")
    assert "SUCCESS" in told_by("amtool", "check-config", f"{folder}/alertmanager.yml")


def test_every_alert_fires_and_clears() -> None:
    """In time travel, with what it says of it; promtool plays it."""
    tested: dict[str, set[bool]] = {}
    for file in sorted((DEPLOY / "prometheus" / "tests").glob("*.yml")):
        told_by("promtool", "test", "rules", str(file))
        for one in yaml.safe_load(file.read_text())["tests"]:
            expected = [bool(case["exp_alerts"]) for case in one["alert_rule_test"]]
            assert expected == [False, True, False], one["name"]
            tested[one["alert_rule_test"][0]["alertname"]] = set(expected)
    assert tested.keys() == {rule["alert"] for rule in rules("alert")}


@pytest.mark.parametrize("rule", list(rules("alert")), ids=lambda rule: rule["alert"])
def test_every_alert_says_what_to_do(rule: dict[str, Any]) -> None:
    """How urgent it is, in one line what is wrong, and which page helps."""
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert rule["annotations"]["summary"]
    page = RUNBOOKS / f"{rule['alert']}.md"
    assert rule["annotations"]["runbook"] == f"docs/operations/runbooks/{rule['alert']}.md"
    text = page.read_text()
    assert text.startswith(f"# {rule['alert']}\n")
    for part in ("**Means**", "**People notice**", "**Look**", "**Do**"):
        assert part in text, f"{page} has no {part}"


def test_no_page_is_left_over() -> None:
    """Each page of a runbook is of an alert that there is."""
    pages = {page.stem for page in RUNBOOKS.glob("*.md")} - {"index"}
    assert pages == {rule["alert"] for rule in rules("alert")}


def test_what_is_held_back_exists() -> None:
    """Alertmanager's rules name alerts that there are."""
    config = yaml.safe_load((DEPLOY / "prometheus" / "alertmanager.yml").read_text())
    alerts = {rule["alert"] for rule in rules("alert")}
    matchers = [
        matcher
        for rule in config["inhibit_rules"]
        for matcher in (*rule["source_matchers"], *rule["target_matchers"])
    ]
    for name in (name for matcher in matchers for name in re.findall(r"\b[A-Z][\w.+]+", matcher)):
        assert any(re.fullmatch(name, alert) for alert in alerts), name


@pytest.mark.parametrize("name", GRAFANA["NAMES"])
def test_a_dashboard_is_as_written(name: str) -> None:
    """The JSON that Grafana loads is that of its table; ids are its own, panels do not overlap, and
    each asks the provisioned source."""
    file = DEPLOY / "grafana" / "dashboards" / f"nextup-{name}.json"
    assert file.read_text() == GRAFANA["text"](name)
    shown = json.loads(file.read_text())
    panels = shown["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert shown["uid"] == f"nextup-{name}"
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < GRAFANA["WIDTH"]
        taken |= cells
        assert panel["type"] == "row" or (panel["targets"] and panel["description"])
    (source,) = shown["templating"]["list"]
    provisioned = yaml.safe_load(
        (DEPLOY / "grafana" / "provisioning" / "datasources" / "prometheus.yml").read_text()
    )["datasources"]
    assert source["current"]["value"] in {one["uid"] for one in provisioned}


def test_every_rule_that_is_recorded_is_used() -> None:
    """By an alert, a panel, or another rule."""
    asked = [rule["expr"] for kind in ("alert", "record") for rule in rules(kind)]
    asked += [query for name in GRAFANA["NAMES"] for _, _, query in GRAFANA["queries"](name)]
    for rule in rules("record"):
        assert any(rule["record"] in query for query in asked), rule["record"]
