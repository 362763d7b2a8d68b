"""Who has no business here: nobody's requests, wrong scopes, bad tokens, hostile texts."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from tests.contract.backends import HOSTILE_IDS
from tests.integration.access_world import (
    PASSWORD,
    World,
    make_world,
    register_all,
    server_of,
)
from tests.integration.openapi_calls import PUBLIC, Operation, operations

from nextup.bootstrap import open_platform
from nextup.services.access.tokens import Tokens

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = {
    "user_id": "ada",
    "item_id": "film-1",
    "client_id": "only-read",
    "key_id": "0123456789ab",
    "model_id": "model-of-default",
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = make_world(tmp_path_factory.mktemp("abuse") / "home", logins_per_minute=1000)
    register_all(made)
    with server_of(made):
        yield made


@pytest.fixture(scope="module")
def every(world: World) -> list[Operation]:
    with world.client(None) as nobody:
        return list(operations(nobody.get("/openapi.json").json()))


def assert_refused(answer: httpx.Response, status: int) -> None:
    assert answer.status_code == status, (answer.request.url, answer.text)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


def test_only_four_operations_are_everybodys(every: list[Operation]) -> None:
    """To open another one is a decision, which is made here."""
    assert {(one.method, one.path) for one in every if one.scope is None} == PUBLIC


def test_nobody_gets_in_without_a_key(world: World, every: list[Operation]) -> None:
    """Every other operation answers 401 and says how to come in."""
    with world.client(None) as nobody:
        for operation in every:
            if operation.scope is not None:
                answer = operation.send(nobody, NAMES)
                assert_refused(answer, 401)
                assert answer.headers["www-authenticate"].startswith("Bearer")


def test_every_operation_wants_its_own_scope(world: World, every: list[Operation]) -> None:
    """A client with all the other scopes gets 403, which names the one that it lacks."""
    for operation in every:
        if operation.scope is None:
            continue
        with world.client(f"all-but-{operation.scope}") as other:
            answer = operation.send(other, NAMES)
        assert_refused(answer, 403)
        assert f"'{operation.scope}'" in answer.json()["detail"], operation


def test_every_operation_documents_its_refusals(every: list[Operation]) -> None:
    """401, 403 and 429 are in the OpenAPI document, as problems."""
    for operation in every:
        if operation.scope is not None:
            for status in ("401", "403", "429"):
                content = operation.document["responses"][status]["content"]
                assert list(content) == ["application/problem+json"], operation


class TestTokens:
    @pytest.fixture
    def good(self, world: World) -> str:
        with world.client(None) as nobody:
            asked = {"client_id": "admin", "password": PASSWORD}
            return str(nobody.post("/v1/token", json=asked).json()["access_token"])

    @pytest.fixture
    def signing(self, world: World, good: str) -> tuple[str, Ed25519PrivateKey]:
        """The key in use, as only the server has it."""
        with open_platform(world.settings()) as platform:
            key = platform.clients.signing_keys()[0]
        private = load_pem_private_key(key.private.encode(), None)
        assert isinstance(private, Ed25519PrivateKey)
        return key.kid, private

    def sent(self, world: World, token: str | bytes) -> httpx.Response:
        bearer = b"Bearer " + (token if isinstance(token, bytes) else token.encode())
        with world.client(None) as nobody:
            return nobody.get("/v1/clients", headers={b"Authorization": bearer})

    def test_the_good_one_is_good(self, world: World, good: str) -> None:
        """Or the rest would prove nothing."""
        assert self.sent(world, good).status_code == 200

    def test_one_that_has_expired(self, world: World, good: str) -> None:
        """A real token of an hour ago, signed by the right key."""
        with open_platform(world.settings()) as platform:
            then = datetime.now(UTC) - timedelta(hours=1)
            tokens = Tokens(platform.clients, platform.settings.access, lambda: then)
            admin = platform.clients.client("admin")
            assert admin is not None
            old = tokens.issue(admin, admin.scopes)
        answer = self.sent(world, old)
        assert_refused(answer, 401)
        assert "expired" in answer.json()["detail"]

    @pytest.mark.parametrize(
        "change",
        [
            {"aud": "another-api"},
            {"aud": ["nextup-api", "another-api"]},
            {"aud": None},
            {"iss": "somebody"},
            {"iss": None},
            {"exp": None},
            {"exp": "tomorrow"},
            {"exp": 1e300},
            {"iat": None},
            {"sub": None},
            {"sub": "nobody"},
            {"sub": {"$ne": ""}},
            {"sub": "' OR '1'='1"},
            {"scope": "everything"},
            {"scope": None},
        ],
        ids=str,
    )
    def test_one_that_says_something_else(
        self,
        world: World,
        good: str,
        signing: tuple[str, Ed25519PrivateKey],
        change: dict[str, Any],
    ) -> None:
        """Signed by the right key, and still none of ours."""
        kid, private = signing
        claims = jwt.decode(good, options={"verify_signature": False}) | change
        claims = {name: value for name, value in claims.items() if value is not None}
        token = _signed(claims, private, {"alg": "EdDSA", "kid": kid})
        assert_refused(self.sent(world, token), 401)

    @pytest.mark.parametrize(
        "kid",
        ["", "other", "../../etc/passwd", "' OR 1=1 --", "\x00", "x" * 5000, None, 7, {"$gt": ""}],
        ids=repr,
    )
    def test_one_with_another_key_id(
        self, world: World, good: str, signing: tuple[str, Ed25519PrivateKey], kid: Any
    ) -> None:
        """The key is looked up by its name and nothing else."""
        claims = jwt.decode(good, options={"verify_signature": False})
        head = {"alg": "EdDSA"} if kid is None else {"alg": "EdDSA", "kid": kid}
        assert_refused(self.sent(world, _signed(claims, signing[1], head)), 401)

    def test_one_that_is_forged(
        self, world: World, good: str, signing: tuple[str, Ed25519PrivateKey]
    ) -> None:
        """Signed by a key of the attacker's under our key's name, with the key in its head, or
        with the answer to another question."""
        kid, _ = signing
        claims = jwt.decode(good, options={"verify_signature": False})
        attacker = Ed25519PrivateKey.generate()
        assert_refused(
            self.sent(world, _signed(claims, attacker, {"alg": "EdDSA", "kid": kid})), 401
        )
        public = attacker.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        own = {"kty": "OKP", "crv": "Ed25519", "x": _b64(public)}
        head = {"alg": "EdDSA", "kid": kid, "jwk": own, "jku": "http://127.0.0.1:1/keys"}
        assert_refused(self.sent(world, _signed(claims, attacker, head)), 401)

    def test_one_whose_claims_were_changed(self, world: World, good: str) -> None:
        """The signature is of other words."""
        head, claims, signature = good.split(".")
        changed = json.loads(_unb64(claims)) | {"exp": 4_000_000_000}
        forged = f"{head}.{_b64(json.dumps(changed).encode())}.{signature}"
        assert_refused(self.sent(world, forged), 401)

    @pytest.mark.parametrize("algorithm", ["none", "None", "nOnE", "NONE", ""])
    def test_one_without_a_signature(
        self, world: World, good: str, signing: tuple[str, Ed25519PrivateKey], algorithm: str
    ) -> None:
        """The token's own word about its algorithm is never believed."""
        head = _b64(json.dumps({"alg": algorithm, "kid": signing[0], "typ": "JWT"}).encode())
        claims, signature = good.split(".")[1:]
        for end in ("", signature, "."):
            assert_refused(self.sent(world, f"{head}.{claims}.{end}"), 401)

    def test_one_signed_with_the_public_key_as_a_secret(
        self, world: World, good: str, signing: tuple[str, Ed25519PrivateKey]
    ) -> None:
        """What everybody may know is no secret: HMAC is not an algorithm here."""
        kid, private = signing
        for encoding, form in ((Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),):
            secret = private.public_key().public_bytes(encoding, form)
            for algorithm, digest in (("HS256", hashlib.sha256), ("HS512", hashlib.sha512)):
                head = _b64(json.dumps({"alg": algorithm, "kid": kid}).encode())
                text = f"{head}.{good.split('.')[1]}"
                mac = hmac.new(secret, text.encode(), digest).digest()
                assert_refused(self.sent(world, f"{text}.{_b64(mac)}"), 401)

    @pytest.mark.parametrize(
        "rubbish",
        [
            b"x",
            b"..",
            b"a.b.c",
            b"a.b.c.d.e",
            b"nxk_0123456789ab_" + b"A" * 43,
            b"nxk_'; DROP TABLE clients; --",
            b"\xff\xfe\x80",
            b"A" * 60_000,
            b"eyJhbGciOiJub25lIn0.e30.",
        ],
    )
    def test_what_is_no_token_at_all(self, world: World, rubbish: bytes) -> None:
        """401, whatever it is; or 431, where it is longer than a header may be."""
        answer = self.sent(world, rubbish)
        assert answer.status_code in {401, 400, 431}

    def test_one_of_before_a_rotation_that_voids(self, world: World, good: str) -> None:
        """After a compromise every older token is refused at once; new ones are good."""
        from nextup.services.access.accounts import Accounts

        with open_platform(world.settings()) as platform:
            accounts = Accounts(platform.clients, platform.settings)
            accounts.rotate()
            assert self.sent(world, good).status_code == 200
            accounts.rotate(void_old=True)
        assert_refused(self.sent(world, good), 401)


HOSTILE = [
    *HOSTILE_IDS,
    "1 OR 1=1",
    "'; DELETE FROM client_keys; --",
    '{"$gt": ""}',
    "$where: sleep(1000)",
    "../../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "{{7*7}}${7*7}<script>",
    "\r\nX-Injected: yes",
    "%00",
    "%",
]


@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda text: repr(text)[:30])
def test_hostile_texts_are_only_texts(world: World, every: list[Operation], hostile: str) -> None:
    """In every path, query and body of every operation: an answer below 500, no header that the
    caller wrote, and everybody's keys still work."""
    names = dict.fromkeys(("q", "filter", "kind", "genre", "page", "cursor", "rule"), hostile)
    names |= dict.fromkeys((*NAMES, "token", "run_id", "generation", "rejected_id"), hostile)
    names |= {"title": hostile, "note": hostile, "tenant": hostile}
    with world.client("admin") as admin:
        for operation in every:
            if str(operation) == "POST /v1/operations/runs":
                continue  # it would start one
            answer = operation.send(admin, names)
            assert answer.status_code < 500, (operation, answer.text)
            assert "x-injected" not in answer.headers
            assert "Traceback" not in answer.text
            assert "sqlalchemy" not in answer.text.lower()
        assert len(admin.get("/v1/clients").json()["clients"]) >= 10
    with world.client("only-read") as reader:
        assert reader.get("/v1/popular").status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b'{"type": {"$ne": null}, "user_id": {"$gt": ""}, "item_id": ["film-1"]}',
        b'{"type": "like", "user_id": "a", "item_id": "film-1", "__proto__": {"admin": true}}',
        b'{"type": "like", "user_id": "a", "user_id": "b", "item_id": "film-1"}',
        b"[" * 50_000 + b"]" * 50_000,
        b'{"a":' * 50_000,
        b"\x00",
        b"\xef\xbb\xbf{}",
        b'"\\ud800"',
        b"NaN",
        b'{"type": "like", "user_id": "a", "item_id": "film-1", "value": 1e999}',
    ],
    ids=range(10),
)
def test_hostile_bodies_are_refused_or_only_data(
    world: World, every: list[Operation], body: bytes
) -> None:
    """Of every operation that takes one: never a 5xx."""
    with world.client("admin") as admin:
        for operation in every:
            if "requestBody" in operation.document and "runs" not in operation.path:
                path = operation.path.format(**NAMES, token="t", rejected_id="r", generation="g")
                answer = admin.request(
                    operation.method,
                    path,
                    content=body,
                    headers={"Content-Type": "application/json"},
                )
                assert answer.status_code < 500, (operation, answer.text)


def raw(world: World, request: bytes) -> bytes:
    """What comes back for exactly these bytes, until the server closes or has nothing to say."""
    parts = urlsplit(world.url)
    received = b""
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        while chunk := connection.recv(65_536):
            received += chunk
    return received


def statuses(answers: bytes) -> list[int]:
    """Of all the answers that came."""
    return [int(part[:3]) for part in answers.split(b"HTTP/1.1 ")[1:]]


class TestHeaders:
    def test_two_credentials_are_none(self, world: World) -> None:
        """A proxy and the server could each believe another one."""
        good, other = world.keys["admin"], world.keys["only-read"]
        for headers in (
            [("X-API-Key", good), ("X-API-Key", other)],
            [("X-API-Key", good), ("Authorization", f"Bearer {other}")],
            [("Authorization", f"Bearer {good}"), ("Authorization", f"Bearer {other}")],
            [("X-API-Key", good), ("X-API-Key", good)],
            [("X-API-Key", f"{good}, {other}")],
            [("X-API-Key", "")],
            [("Authorization", f"Basic {good}")],
            [("X_API_KEY", good)],
            [("Cookie", f"X-API-Key={good}")],
        ):
            with world.client(None) as nobody:
                assert_refused(nobody.get("/v1/clients", headers=headers), 401)
        with world.client(None) as nobody:
            assert nobody.get(f"/v1/clients?api_key={good}&access_token={good}").status_code == 401

    @pytest.mark.parametrize(
        "trick",
        [
            b"X-Original-URL: /healthz\r\n",
            b"X-Rewrite-URL: /healthz\r\n",
            b"X-HTTP-Method-Override: OPTIONS\r\n",
            b"X-Forwarded-For: 127.0.0.1\r\n",
            b"X-Forwarded-User: admin\r\n",
            b"X-Real-IP: 127.0.0.1\r\nForwarded: for=127.0.0.1\r\n",
            b"Authorization\t: Bearer x\r\n",
            b" X-API-Key: folded\r\n",
        ],
    )
    def test_no_header_stands_for_a_key(self, world: World, trick: bytes) -> None:
        """Whatever a proxy would make of it."""
        request = b"GET /v1/clients HTTP/1.1\r\nHost: a\r\n" + trick + b"Connection: close\r\n\r\n"
        assert set(statuses(raw(world, request))) <= {400, 401}

    @pytest.mark.parametrize(
        "framing",
        [
            b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
            b"Content-Length: 0\r\nContent-Length: 45\r\n",
            b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
            b"Transfer-Encoding:\x0bchunked\r\n",
            b"Content-Length: -1\r\n",
            b"Content-Length: 4 5\r\n",
        ],
    )
    def test_a_second_request_cannot_be_smuggled(self, world: World, framing: bytes) -> None:
        """Bytes after an ambiguous request are never answered with somebody's data."""
        inner = b"GET /v1/clients HTTP/1.1\r\nHost: a\r\n\r\n"
        request = b"POST /v1/events HTTP/1.1\r\nHost: a\r\n" + framing + b"\r\n0\r\n\r\n" + inner
        answers = raw(world, request)
        assert set(statuses(answers)) <= {400, 401, 413, 501}
        assert b"client_id" not in answers


PATHS = [
    b"//v1/clients",
    b"/v1//clients",
    b"/v1/./clients",
    b"/healthz/../v1/clients",
    b"/healthz/%2e%2e/v1/clients",
    b"/%2e%2e/%2e%2e/etc/passwd",
    b"/v1/clients/",
    b"/v1/clients;a=b",
    b"/v1/clients%00",
    b"/v1/clients%2f",
    b"/V1/CLIENTS",
    b"/v1%2Fclients",
    b"/v1\\clients",
    b"/v1/clients?/healthz",
    b"/v1/clients#/healthz",
    b"http://127.0.0.1/v1/clients",
    b"http://healthz@127.0.0.1/v1/clients",
    b"/docs/../v1/clients",
    b"/openapi.json/../v1/clients",
    b"/v1/users/..%2f..%2fv1%2fclients/recommendations",
    b"/v1/users/%2e%2e/recommendations",
    b"/v1/users/a%2frecommendations/recommendations",
    b"/static/../../../../etc/passwd",
]


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PATCH", b"BREW"])
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.decode())
def test_no_path_goes_around(world: World, path: bytes, method: bytes) -> None:
    """Without a key nothing but 4xx comes of it, whatever is written instead of the path."""
    request = method + b" " + path + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    answer = raw(world, request)
    assert statuses(answer), answer
    assert all(400 <= status < 500 for status in statuses(answer)), answer
    assert b"client_id" not in answer
    assert b"root:" not in answer


def test_guessing_keys_tells_nothing(world: World) -> None:
    """A good key with one letter changed, a real key's name with another secret, and a key that
    never was get the same answer."""
    good = world.keys["admin"]
    _, key_id, secret = good.split("_", 2)
    flipped = secret[:-1] + ("A" if secret[-1] != "A" else "B")
    answers = set()
    for guess in (
        f"nxk_{key_id}_{flipped}",
        f"nxk_{key_id}_{'A' * 43}",
        f"nxk_{'0' * 12}_{secret}",
    ):
        with world.client(None) as nobody:
            answer = nobody.get("/v1/clients", headers={"X-API-Key": guess})
            answers.add((answer.status_code, answer.json()["detail"]))
    assert len(answers) == 1
    assert answers.pop()[0] == 401


def _signed(claims: dict[str, Any], key: Ed25519PrivateKey, head: dict[str, Any]) -> str:
    """Made by hand: a library would not write most of these."""
    text = f"{_b64(json.dumps(head).encode())}.{_b64(json.dumps(claims).encode())}"
    return f"{text}.{_b64(key.sign(text.encode()))}"


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
