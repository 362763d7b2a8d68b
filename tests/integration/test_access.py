"""Clients, keys, tokens, limits and tenants, asked over HTTP of a server process."""

from __future__ import annotations

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import httpx
import pytest
from tests.integration.access_world import (
    FOREIGN,
    NEXTUP,
    PASSWORD,
    World,
    make_world,
    register_all,
    server_of,
)

from nextup.bootstrap import open_platform
from nextup.domain.clients import ALL_SCOPES, Scope
from nextup.domain.errors import ConfigurationError
from nextup.services.access.accounts import Accounts
from nextup.services.access.exposure import require_safe
from nextup.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LIKE = {"type": "like", "user_id": "ada", "item_id": "film-1"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = make_world(tmp_path_factory.mktemp("access") / "home", logins_per_minute=1000)
    register_all(made)
    with server_of(made):
        yield made


def token_of(world: World, name: str, **more: str) -> httpx.Response:
    with world.client(None) as nobody:
        return nobody.post("/v1/token", json={"client_id": name, "password": PASSWORD, **more})


def test_the_first_start_makes_an_admin_and_tells_its_secrets_once(tmp_path: Path) -> None:
    """The key works, and the second start says nothing."""
    fresh = make_world(tmp_path / "home", trained=False)
    with server_of(fresh):
        found = re.search(r"API key\s+(\S+)\n\s+password\s+(\S+)", fresh.admin_says)
        assert found
        with httpx.Client(base_url=fresh.url, headers={"X-API-Key": found[1]}) as admin:
            assert [one["client_id"] for one in admin.get("/v1/clients").json()["clients"]] == [
                "admin"
            ]
            asked = {"client_id": "admin", "password": found[2]}
            assert admin.get("/v1/operations/runs").status_code == 200
        with fresh.client(None) as nobody:
            scope = nobody.post("/v1/token", json=asked).json()["scope"]
            assert set(scope.split()) == ALL_SCOPES
    fresh.url = ""
    with server_of(fresh):
        assert "API key" not in fresh.admin_says


def test_an_admin_is_made_although_others_came_before(tmp_path: Path) -> None:
    """Clients that may do less do not keep the first start from making one; an admin does."""
    with open_platform(load_settings(tmp_path)) as platform:
        accounts = Accounts(platform.clients, platform.settings)
        accounts.register("shop")
        made = accounts.first_admin()
        assert made is not None
        assert made.client.scopes == ALL_SCOPES
        assert accounts.first_admin() is None


class TestTokens:
    def test_json_and_form_and_basic_give_tokens(self, world: World) -> None:
        """The same token works whichever way it was asked for."""
        asked = (
            {"json": {"client_id": "admin", "password": PASSWORD}},
            {
                "data": {
                    "grant_type": "client_credentials",
                    "client_id": "admin",
                    "client_secret": PASSWORD,
                }
            },
            {"data": {"grant_type": "password", "username": "admin", "password": PASSWORD}},
            {"data": {"grant_type": "client_credentials"}, "auth": ("admin", PASSWORD)},
        )
        with world.client(None) as nobody:
            for way in asked:
                answer = nobody.post("/v1/token", **way)
                assert answer.status_code == 200, answer.text
                body = answer.json()
                assert (body["token_type"], body["expires_in"]) == ("bearer", 900)
                assert answer.headers["cache-control"] == "no-store"
                bearer = {"Authorization": f"Bearer {body['access_token']}"}
                assert nobody.get("/v1/clients", headers=bearer).status_code == 200

    def test_a_token_may_be_asked_to_do_less(self, world: World) -> None:
        """Never more than its client may."""
        less = token_of(world, "admin", scope="read").json()
        assert less["scope"] == "read"
        with world.client(None) as nobody:
            nobody.headers["Authorization"] = f"Bearer {less['access_token']}"
            assert nobody.get("/v1/popular").status_code == 200
            refused = nobody.post("/v1/events", json=LIKE)
            assert refused.status_code == 403
            assert "'write'" in refused.json()["detail"]
        assert token_of(world, "admin", scope="read everything").status_code == 422

    @pytest.mark.parametrize(
        "wrong",
        [
            {"json": {"client_id": "admin", "password": "wrong"}},
            {"json": {"client_id": "nobody", "password": PASSWORD}},
            {"json": {"client_id": "only-read", "password": ""}},  # it has no password
            {"data": {"client_id": "admin", "client_secret": "wrong"}},
        ],
    )
    def test_wrong_credentials_are_all_alike(self, world: World, wrong: dict[str, object]) -> None:
        """One answer for an unknown client, a wrong password and a client without one."""
        with world.client(None) as nobody:
            answer = nobody.post("/v1/token", **wrong)
        assert answer.status_code == 401
        assert answer.json()["detail"] == "Client and password do not fit."
        assert answer.headers["www-authenticate"].startswith("Bearer")

    @pytest.mark.parametrize(
        ("content", "kind"),
        [
            (b"", "application/json"),
            (b"[1]", "application/json"),
            (b'{"client_id": 1, "password": "x"}', "application/json"),
            (b'{"client_id": "a", "password": {"$ne": ""}}', "application/json"),
            (b"\xff\xfe", "application/json"),
            (b"[" * 100_000, "application/json"),
            (b"client_id=a&client_id=b&password=c", "application/x-www-form-urlencoded"),
            (b"client_id=a&username=b&password=c", "application/x-www-form-urlencoded"),
            (b"grant_type=implicit&client_id=a", "application/x-www-form-urlencoded"),
            (b"client_id=%ff&password=%fe", "application/x-www-form-urlencoded"),
            (b"a=1&" * 50, "application/x-www-form-urlencoded"),
        ],
    )
    def test_what_is_no_request_for_a_token_is_refused(
        self, world: World, content: bytes, kind: str
    ) -> None:
        """A 4xx that says what is wrong, and repeats no password."""
        with world.client(None) as nobody:
            answer = nobody.post("/v1/token", content=content, headers={"Content-Type": kind})
        assert answer.status_code in {400, 422}
        assert answer.headers["content-type"] == "application/problem+json"


class TestClients:
    def test_a_life_of_a_client(self, world: World) -> None:
        """Registered, used, changed, given a second key, and shut out; at once in each case."""
        with world.client("admin") as admin, world.client(None) as shop:
            made = admin.post("/v1/clients", json={"client_id": "life", "scopes": ["read"]})
            assert made.status_code == 201
            shop.headers["X-API-Key"] = made.json()["api_key"]
            assert shop.get("/v1/popular").status_code == 200
            assert shop.post("/v1/events", json=LIKE).status_code == 403
            changed = admin.patch("/v1/clients/life", json={"scopes": ["read", "write"]})
            assert changed.json()["scopes"] == ["read", "write"]
            assert shop.post("/v1/events", json=LIKE).status_code == 202

            second = admin.post("/v1/clients/life/keys", json={"note": "second"}).json()
            first = made.json()["key_id"]
            assert admin.delete(f"/v1/clients/life/keys/{first}").status_code == 204
            assert shop.get("/v1/popular").status_code == 401
            shop.headers["X-API-Key"] = second["api_key"]
            assert shop.get("/v1/popular").status_code == 200
            detail = admin.get("/v1/clients/life").json()
            assert [one["note"] for one in detail["keys"]] == ["second", "first"]
            assert "api_key" not in str(detail)

            assert admin.delete("/v1/clients/life").json()["revoked_at"]
            assert shop.get("/v1/popular").status_code == 401
            assert admin.post("/v1/clients", json={"client_id": "life"}).status_code == 409
            assert admin.post("/v1/clients/life/keys", json={}).status_code == 409

    def test_another_password_voids_tokens(self, world: World) -> None:
        """Those that are out already, too."""
        with world.client("admin") as admin, world.client(None) as shop:
            body = {"client_id": "pass", "password": PASSWORD}
            assert admin.post("/v1/clients", json=body).status_code == 201
            token = shop.post("/v1/token", json=body).json()["access_token"]
            shop.headers["Authorization"] = f"Bearer {token}"
            assert shop.get("/v1/popular").status_code == 200
            admin.patch("/v1/clients/pass", json={"password": PASSWORD + "x"})
            assert shop.get("/v1/popular").status_code == 401
            del shop.headers["Authorization"]
            assert shop.post("/v1/token", json=body).status_code == 401

    @pytest.mark.parametrize(
        "password",
        ["short", "aaaaaaaaaaaaaaaa", "123456789012", "changeme-weak", "passwordpassword"],
    )
    def test_weak_passwords_are_refused(self, world: World, password: str) -> None:
        """With the reason, and nothing is registered."""
        with world.client("admin") as admin:
            answer = admin.post("/v1/clients", json={"client_id": "weak", "password": password})
            assert answer.status_code == 422
            assert "too weak" in answer.json()["detail"]
            assert admin.get("/v1/clients/weak").status_code == 404

    def test_an_admin_of_a_tenant_sees_only_its_clients(self, world: World) -> None:
        """Another tenant's client is not there for it, to read or to change or to make."""
        with world.client("rival") as rival:
            assert {one["tenant"] for one in rival.get("/v1/clients").json()["clients"]} == {
                FOREIGN
            }
            for method, path in (
                ("GET", "/v1/clients/admin"),
                ("DELETE", "/v1/clients/admin"),
                ("GET", "/v1/clients/admin/usage"),
            ):
                assert rival.request(method, path).status_code == 404
            assert rival.patch("/v1/clients/admin", json={"burst": 1}).status_code == 404
            assert rival.post("/v1/clients/admin/keys", json={}).status_code == 404
            intruder = {"client_id": "intruder", "tenant": "default"}
            assert rival.post("/v1/clients", json=intruder).status_code == 403
            own = rival.post("/v1/clients", json={"client_id": "own"})
            assert own.json()["tenant"] == FOREIGN

    def test_the_last_admin_stays(self, tmp_path: Path) -> None:
        """Nobody can shut everybody out."""
        alone = make_world(tmp_path / "home", trained=False)
        alone.register("boss")
        with server_of(alone), alone.client("boss") as boss:
            assert boss.delete("/v1/clients/boss").status_code == 409
            assert boss.patch("/v1/clients/boss", json={"scopes": ["read"]}).status_code == 409
            assert boss.get("/v1/clients").status_code == 200


class TestLimits:
    def test_a_rate_is_kept(self, world: World) -> None:
        """Beyond the burst 429 and Retry-After; another client is not affected."""
        world.register("slow", scopes=[Scope.READ], per_second=0.01, burst=3)
        with world.client("slow") as slow:
            answers = [slow.get("/v1/popular") for _ in range(5)]
        assert [one.status_code for one in answers] == [200, 200, 200, 429, 429]
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 100
        assert answers[-1].headers["content-type"] == "application/problem+json"
        with world.client("only-read") as other:
            assert other.get("/v1/popular").status_code == 200

    def test_a_quota_is_kept_and_counted(self, world: World) -> None:
        """Of each day; what was refused is counted by itself."""
        world.register("few", scopes=[Scope.READ, Scope.WRITE], per_day=4)
        with world.client("few") as few, world.client("admin") as admin:
            answers = [few.get("/v1/popular").status_code for _ in range(3)]
            answers.append(few.post("/v1/events", json=LIKE).status_code)
            answers += [few.get("/v1/popular").status_code for _ in range(2)]
            assert answers == [200, 200, 200, 202, 429, 429]
            (day,) = admin.get("/v1/clients/few/usage").json()["days"]
        assert (day["requests"], day["refused"]) == (4, 2)
        assert day["by_scope"] == {"read": 3, "write": 1}

    def test_attempts_to_sign_in_are_few(self, tmp_path: Path) -> None:
        """Wrong passwords, tried at once, end in 429; a right one then waits like the others."""
        guarded = make_world(tmp_path / "home", trained=False, logins_per_minute=5)
        guarded.register("admin", password=PASSWORD)
        with server_of(guarded), guarded.client(None) as nobody:

            def attempt(number: int) -> int:
                body = {"client_id": "admin", "password": f"wrong-{number}"}
                return nobody.post("/v1/token", json=body).status_code

            with ThreadPoolExecutor(4) as threads:
                answers = list(threads.map(attempt, range(20)))
            assert set(answers) == {401, 429}
            assert answers.count(401) <= 6
            late = nobody.post("/v1/token", json={"client_id": "admin", "password": PASSWORD})
            assert late.status_code == 429
            assert int(late.headers["retry-after"]) >= 1


def test_revocation_holds_in_every_process(world: World) -> None:
    """What one server, or the command line, revokes, another refuses at the next request."""
    first = world.url
    world.register("two", scopes=[Scope.READ])
    world.register("three", scopes=[Scope.READ])
    with server_of(world), world.client("two") as two, world.client("three") as three:
        assert [two.get("/v1/popular").status_code, three.get("/v1/popular").status_code] == [
            200,
            200,
        ]
        world.url, second = first, world.url
        with world.client("admin") as admin:
            assert admin.delete("/v1/clients/two").status_code == 200
        world.url = second
        assert two.get("/v1/popular").status_code == 401
        subprocess.run(
            [sys.executable, "-c", NEXTUP, "client", "revoke", "three", "--yes"],
            cwd=world.home,
            check=True,
            capture_output=True,
        )
        assert three.get("/v1/popular").status_code == 401
    world.url = first


def test_tenants_have_their_own(world: World) -> None:
    """The same names in two tenants are two items and two people."""
    with world.client("admin") as ours, world.client("rival") as theirs:
        ours.put("/v1/items/film-1", json={"kind": "film", "title": "Ours"})
        theirs.put("/v1/items/film-1", json={"kind": "film", "title": "Theirs"})
        assert ours.get("/v1/items/film-1").json()["title"] == "Ours"
        ours.post("/v1/events", json={**LIKE, "user_id": "tess", "event_id": "same"})
        answer = theirs.post("/v1/events", json={**LIKE, "user_id": "tom", "event_id": "same"})
        assert answer.json() == {"event_id": "same", "duplicate": False}
        assert theirs.get("/v1/users/tess/history").json()["history"] == []
        assert len(ours.get("/v1/users/tess/history").json()["history"]) == 1
        assert theirs.get("/v1/users/tom/recommendations").json()["model_id"] == "model-of-acme"
        assert ours.get("/v1/users/tom/recommendations").json()["model_id"] == "model-of-default"


class TestWhereItMayListen:
    def test_open_mode_is_for_this_machine(self, tmp_path: Path) -> None:
        """`nextup serve` on any other address refuses, and says why."""
        settings = load_settings(tmp_path, access={"auth": "none"})
        for host in ("127.0.0.1", "::1", "localhost", "127.3.2.1"):
            require_safe(settings, host)
        for host in ("0.0.0.0", "::", "", "10.0.0.7", "example.org", "localhost.example.org"):
            with pytest.raises(ConfigurationError, match="does not start"):
                require_safe(settings, host)

    def test_a_container_may_be_open(self, tmp_path: Path) -> None:
        """It listens on all its addresses; whoever publishes its port on 127.0.0.1 says so. A
        password that is tried first is refused even then."""
        settings = load_settings(tmp_path, access={"auth": "none"}, server={"only_here": True})
        require_safe(settings, "0.0.0.0")
        guessed = settings.model_copy(update={"catalog_url": "postgresql://nextup:nextup@db/x"})
        with pytest.raises(ConfigurationError, match="tried first"):
            require_safe(guessed, "0.0.0.0")

    @pytest.mark.parametrize(
        "weak",
        [
            {"access": {"auth": "keys", "admin_password": "admin"}},
            {"catalog_url": "postgresql://nextup:nextup@db/nextup"},
            {"event_log_url": "postgresql://nextup:ChangeMe@db/nextup"},
        ],
    )
    def test_weak_secrets_are_for_this_machine(
        self, tmp_path: Path, weak: dict[str, object]
    ) -> None:
        """A password that is tried first keeps the server from starting elsewhere."""
        settings = load_settings(tmp_path, **{"access": {"auth": "keys"}, **weak})
        require_safe(settings, "127.0.0.1")
        with pytest.raises(ConfigurationError) as refused:
            require_safe(settings, "0.0.0.0")
        assert "ChangeMe" not in str(refused.value)
        strong = load_settings(
            tmp_path,
            access={"auth": "keys", "admin_password": PASSWORD},
            catalog_url=f"postgresql://nextup:{PASSWORD}@db/nextup",
        )
        require_safe(strong, "0.0.0.0")


def test_the_control_database_may_rest(tmp_path: Path) -> None:
    """Callers who are known are let in while it does not answer; others are told to wait."""
    from nextup.domain.errors import BackendUnavailable
    from nextup.services.access.accounts import Accounts
    from nextup.services.access.guard import Guard

    settings = load_settings(tmp_path, access={"auth": "keys"})
    with open_platform(settings) as platform:
        accounts = Accounts(platform.clients, settings)
        known, stranger = (accounts.register(name).secret.encode() for name in ("known", "new"))
        guard = Guard(platform.clients, settings)
        guard.admit([(b"x-api-key", known)], Scope.READ)
        platform.clients.close()
        assert guard.admit([(b"x-api-key", known)], Scope.READ).client_id == "known"
        with pytest.raises(BackendUnavailable):
            guard.admit([(b"x-api-key", stranger)], Scope.READ)


def test_workers_keep_one_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rate holds for all workers of a server together, and so does a revocation."""
    monkeypatch.setenv("NEXTUP_SERVER__WORKERS", "2")
    several = make_world(tmp_path / "home", trained=False)
    several.register("admin")
    several.register("slow", scopes=[Scope.READ], per_second=0.001, burst=5)
    several.register("gone", scopes=[Scope.READ])

    def ask(name: str) -> int:
        with several.client(name) as fresh:  # a connection of its own, with any of the workers
            return fresh.get("/v1/popular").status_code

    with server_of(several):
        answers = [ask("slow") for _ in range(16)]
        assert 5 <= answers.count(200) <= 6
        assert set(answers) == {200, 429}
        assert {ask("gone") for _ in range(8)} == {200}
        with several.client("admin") as admin:
            assert admin.delete("/v1/clients/gone").status_code == 200
        assert {ask("gone") for _ in range(8)} == {401}
