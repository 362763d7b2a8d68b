"""A running Nextup that is watched as `deploy/prometheus` says, in seconds where a deployment
takes minutes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml
from stack.processes import Process, free_port
from tests.warm import program

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from stack.server import Server
    from stack.servers.alertmanager import Alertmanager
    from stack.servers.prometheus import Prometheus

DEPLOY = Path(__file__).parents[1] / "deploy" / "prometheus"
WINDOW = "15s"  # in place of five minutes
FOR = "5s"  # in place of minutes
SCRAPE = "2s"  # also how long an answer may take: a busy machine is slow
ROUNDS = 3  # of a second, in which nothing else may be told
PATIENCE_SECONDS = 300.0  # until something is believed never to come; a busy machine is slow


def short(rules: str) -> str:
    """Rules that see and tell soon: short windows, a short `for`, every second. What is compared
    with what stays, but for two: this machine may be slow, which is no fault."""
    rules = rules.replace("[5m]", f"[{WINDOW}]").replace("offset 1h", "offset 1m")
    rules = re.sub(r"for: \w+", f"for: {FOR}", rules)
    rules = rules.replace("interval: 30s", "interval: 1s")
    return re.sub(r"(seconds:p99_5m) > \d+", r"\1 > 1000", rules)


class Target(NamedTuple):
    """Something to scrape."""

    job: str
    address: str
    path: str = "/metrics"


class Watch(NamedTuple):
    """Who watches."""

    prometheus: Prometheus
    alertmanager: Alertmanager

    def told(self) -> set[str]:
        """The alerts that people are told of now."""
        return {one["alertname"] for one in self.alertmanager.told()}

    def values(self, query: str) -> list[tuple[Mapping[str, str], float]]:
        """Of each series, what it is now."""
        found = self.prometheus.ask("query", query=query)
        if found["resultType"] == "scalar":
            return [({}, float(found["result"][1]))]
        return [(one["metric"], float(one["value"][1])) for one in found["result"]]

    def await_told(self, *wanted: str, ceasing: Collection[str] = ()) -> None:
        """Until exactly these are told, and nothing else on the way but what ceases; in vain after
        a long time."""

        def exactly_these() -> bool:
            told = self.told()
            assert told <= {*wanted, *ceasing}, f"told: {told}, not {wanted}"
            return told == set(wanted)

        until(exactly_these, lambda: f"told: {self.told()}, not {wanted}")

    def stays_told(self, wanted: str) -> None:
        """For some rounds nothing else is told, and this is."""
        for _ in range(ROUNDS):
            assert self.told() == {wanted}
            time.sleep(1)

    def targets(self, targets: list[Target], file: str = "all") -> None:
        """Scrape these from now on, in place of those of the same file."""
        groups = [
            {"targets": [one.address], "labels": {"job": one.job, "__metrics_path__": one.path}}
            for one in targets
        ]
        beside = self.prometheus.folder / "targets" / f"{file}.new"
        beside.write_text(yaml.safe_dump(groups))
        beside.rename(beside.with_suffix(".yml"))


def until(true: Callable[[], object], why: Callable[[], str] = lambda: "in vain") -> None:
    """Ask again and again."""
    gives_up_at = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < gives_up_at, why()
        time.sleep(0.2)


def watching(start: Callable[..., Server], *, room: bool = True) -> Watch:
    """Prometheus and Alertmanager with the deployment's own files, made short. Without `room` they
    do not mind a full disk, which may be this machine's."""

    def told_of_alerts(server: Any) -> None:
        config = yaml.safe_load((DEPLOY / "alertmanager.yml").read_text())
        for route in (config["route"], *config["route"]["routes"]):
            route |= {"group_wait": "1s", "group_interval": "1s"}
        server.configuration.write_text(yaml.safe_dump(config))

    alertmanager: Any = start("alertmanager", before=told_of_alerts)

    def configured(server: Any) -> None:
        shutil.copy(DEPLOY / "prometheus.yml", server.folder)
        config = yaml.safe_load(server.configuration.read_text())
        config["global"] = {"scrape_interval": SCRAPE, "evaluation_interval": "1s"}
        config["scrape_configs"] = config["scrape_configs"][:1]  # its own port is not 9090 here
        server.configuration.write_text(yaml.safe_dump(config))
        for folder in ("rules", "targets", "alertmanagers"):
            (server.folder / folder).mkdir()
        for rules in (DEPLOY / "rules").glob("*.yml"):
            text = short(rules.read_text())
            text = text if room else text.replace("< 0.15", "< 0")
            (server.folder / "rules" / rules.name).write_text(text)
        place = server.folder / "alertmanagers" / "alertmanager.yml"
        place.write_text(f'- targets: ["127.0.0.1:{alertmanager.port}"]\n')

    prometheus: Any = start("prometheus", before=configured)
    return Watch(prometheus, alertmanager)


class Commands:
    """Nextup's own processes, over one folder."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.port, self.stream_port, self.schedule_port = (free_port() for _ in range(3))
        self._running: dict[str, Process] = {}

    @property
    def url(self) -> str:
        """Of the API."""
        return f"http://127.0.0.1:{self.port}"

    def targets(self) -> list[Target]:
        """All three."""
        ports = {"api": self.port, "stream": self.stream_port, "schedule": self.schedule_port}
        return [Target(f"nextup-{name}", f"127.0.0.1:{port}") for name, port in ports.items()]

    def serve(self) -> Process:
        """And wait until it answers."""
        started = self._start("serve", "--port", str(self.port))
        started.wait_until(lambda: b"Serving" in self._log("serve").read_bytes(), seconds=120)
        return started

    def stream(self, **environment: str) -> Process:
        """Which lets events count and brings them to the lake."""
        return self._start("stream", "--metrics-port", str(self.stream_port), **environment)

    def schedule(self, **environment: str) -> Process:
        """Which waits for its times."""
        return self._start("schedule", "--metrics-port", str(self.schedule_port), **environment)

    def kill(self, name: str) -> None:
        """Crash one of the three."""
        self._running.pop(name).kill()

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """One that ends; whether well is for the test to say."""
        return subprocess.run(
            [program(), *command, "-C", str(self.home)],
            env=os.environ | environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def stop(self) -> None:
        """All of them."""
        for process in self._running.values():
            process.stop()

    def _log(self, name: str) -> Path:
        return self.home / f"{name}.log"

    def _start(self, name: str, *arguments: str, **environment: str) -> Process:
        self._log(name).unlink(missing_ok=True)
        command = [program(), name, *arguments, "-C", str(self.home)]
        self._running[name] = Process(command, log=self._log(name), environment=environment)
        return self._running[name]


@contextmanager
def commands(home: Path) -> Iterator[Commands]:
    """Ends what was started."""
    running = Commands(home)
    try:
        yield running
    finally:
        running.stop()


@contextmanager
def watched_platform(
    built: Path,
    folder: Path,
    start: Callable[..., Server],
    settings: str = "",
    *,
    room: bool = False,
) -> Iterator[tuple[Watch, Commands, Server]]:
    """Lists in Redis, which is given, too; the rest embedded. Events are moved by `nextup stream`;
    two models have been in service."""
    home = folder / "platform"
    shutil.copytree(built, home)
    redis = start("redis")
    toml = home / "nextup.toml"
    toml.write_text(
        f'recommendation_store_url = "{redis.url}"\n{toml.read_text()}\n'
        '[stream]\nin_server = "no"\n\n[gate]\nmode = "warn"\n\n[lake]\ncollect_seconds = 1\n'
        '\n[metrics]\nvitals_seconds = 1\n\n[reranker]\nmode = "off"\n'
        '\n[schedule]\nbackup = "00:00"\n'
        'pipelines = {nextup_daily = "", nextup_maintenance = ""}\n' + settings
    )
    with commands(home) as nextup:
        ran = nextup.run("pipeline", "run", "--date", "2026-04-01")
        assert ran.returncode == 0, ran.stderr
        watch = watching(start, room=room)
        watch.targets(nextup.targets())
        nextup.serve()
        nextup.stream()
        nextup.schedule()
        exporter: Any = start(
            "redis_exporter", before=lambda one: setattr(one, "watched", redis.url)
        )
        targets = [*nextup.targets(), Target("redis", f"127.0.0.1:{exporter.port}")]
        watch.targets(targets)
        until(lambda: len(watch.values("up == 1")) == len(targets))
        yield watch, nextup, redis


@contextmanager
def traffic(nextup: Commands) -> Iterator[None]:
    """`nextup simulate --to api`, again and again, with mistakes and clicks."""
    stop = threading.Event()
    ends: list[str] = []

    def people() -> None:
        while not stop.is_set():
            done = nextup.run(
                *("simulate", "--to", "api", "--url", nextup.url, "--people", "400"),
                *("--days", "60", "--seed", "7", "--until", "2026-04-01", "--seconds", "5"),
                *("--rate", "4", "--curve", "flat", "--think", "0", "--mistakes", "0.2", "--json"),
            )
            ends.append(done.stderr if done.returncode else "")

    walking = threading.Thread(target=people)
    walking.start()
    try:
        yield
    finally:
        stop.set()
        walking.join()
    assert not any(ends), ends
