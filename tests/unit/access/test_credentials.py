"""Passwords, keys, tokens and headers, one by one."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import VerifyMismatchError
from hypothesis import given
from hypothesis import strategies as st

from nextup.bootstrap import Platform, open_platform
from nextup.domain.clients import ALL_SCOPES, Scope
from nextup.domain.errors import Unauthenticated
from nextup.domain.people import client_of, own_id, source_of, stored_id
from nextup.services.access.accounts import Accounts
from nextup.services.access.api_keys import key_id_of, mint, opens
from nextup.services.access.credentials import shown
from nextup.services.access.passwords import _NOBODY, hash_password, is_password, weakness
from nextup.services.access.tokens import Tokens
from nextup.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
CLIENT_IDS = st.from_regex(r"\A[a-z0-9][a-z0-9_.-]{1,62}\Z")


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    settings = load_settings(tmp_path, access={"auth": "keys"}, control_url="sqlite:///:memory:")
    with open_platform(settings) as platform:
        yield platform


def test_a_password_is_itself_only() -> None:
    """Salted: two hashes of one password differ, and both fit it."""
    first, second = hash_password("correct horse"), hash_password("correct horse")
    assert first != second
    assert first.startswith("$argon2id$")
    assert is_password("correct horse", first)
    assert not is_password("correct horse ", first)
    assert not is_password("x" * 100_000, first)


def test_an_unknown_client_takes_as_long() -> None:
    """Where there is no hash one of the same cost is computed, which nothing fits."""
    assert extract_parameters(_NOBODY) == extract_parameters(hash_password("x"))
    with pytest.raises(VerifyMismatchError):
        PasswordHasher().verify(_NOBODY, "")
    assert not is_password("", "")


@pytest.mark.parametrize(
    "weak",
    [
        "",
        "short",
        "a" * 20,
        "abababababab",
        "123456789012",
        "password1234",
        "shopshopshop1",
        "adminadmin12",
        "x" * 257,
    ],
)
def test_weak_passwords_have_a_reason(weak: str) -> None:
    """Short, long, monotonous, or made of words that are tried first."""
    assert weakness(weak, "shop")


def test_good_passwords_have_none() -> None:
    """A sentence, random letters, and one that a first start makes."""
    for good in ("correct horse battery", "wT7_kd93-pQx", "Alt_457jIAzXQtIx6oZ4gOAm"):
        assert weakness(good, "shop") == ""


def test_a_key_opens_with_its_secret_only() -> None:
    """Not with another's, and not once it is revoked."""
    key, secret = mint("shop", NOW)
    other, other_secret = mint("shop", NOW)
    assert key_id_of(secret.encode()) == key.key_id
    assert opens(secret.encode(), key)
    assert not opens(secret.encode(), other)
    assert not opens(other_secret.encode(), key)
    assert not opens(secret.encode(), None)
    assert secret not in repr(key)


@given(st.binary(max_size=80))
def test_rubbish_names_no_key(rubbish: bytes) -> None:
    """Whatever is sent, it is a key's name or nothing; never an error."""
    assert key_id_of(rubbish) is None or rubbish.startswith(b"nxk_")
    assert not opens(rubbish, None)


HEADER = st.tuples(
    st.sampled_from([b"authorization", b"x-api-key", b"host"]),
    st.sampled_from([b"Bearer a", b"bearer b", b"a", b"", b"Basic a", b"Bearer ", b"Bearer"]),
)


@given(st.lists(HEADER, max_size=4))
def test_at_most_one_secret_is_shown(headers: list[tuple[bytes, bytes]]) -> None:
    """Exactly one header holds it, or nobody is let in."""
    of_interest = [header for header in headers if header[0] != b"host"]
    try:
        secret = shown(headers)
    except Unauthenticated:
        alone = len(of_interest) == 1
        assert not alone or of_interest[0][1] in {b"", b"Basic a", b"Bearer ", b"Bearer", b"a"}
    else:
        assert len(of_interest) == 1
        assert secret
        assert of_interest[0][1].endswith(secret)


class TestTokens:
    def test_a_token_says_what_it_was_given(self, platform: Platform) -> None:
        """Until it expires, to the second."""
        now = [NOW]
        tokens = Tokens(platform.clients, platform.settings.access, lambda: now[0])
        client = Accounts(platform.clients, platform.settings).register("shop").client
        token = tokens.issue(client, {Scope.READ})
        claims = tokens.read(token, platform.clients.revision())
        assert (claims.client_id, claims.scopes) == ("shop", {Scope.READ})
        assert claims.expires_at - claims.issued_at == timedelta(seconds=900)
        now[0] += timedelta(seconds=899)
        tokens.read(token, platform.clients.revision())
        now[0] += timedelta(seconds=1)
        with pytest.raises(Unauthenticated, match="expired"):
            tokens.read(token, platform.clients.revision())

    def test_keys_take_turns_by_themselves(self, platform: Platform) -> None:
        """A token outlives the turn of its key by its own life, and then the key goes."""
        now = [NOW]
        tokens = Tokens(platform.clients, platform.settings.access, lambda: now[0])
        client = Accounts(platform.clients, platform.settings).register("shop").client
        kids = []
        for _ in range(4):
            old = tokens.issue(client, ALL_SCOPES)
            now[0] += timedelta(days=30)
            kids.append(tokens.signing_key().kid)
            assert kids[-1] == tokens.signing_key().kid
            now[0] -= timedelta(days=30)
            assert tokens.read(old, platform.clients.revision()).client_id == "shop"
            now[0] += timedelta(days=30)
        assert len(set(kids)) == 4
        assert len(platform.clients.signing_keys()) == 2

    def test_many_processes_make_one_key(self, platform: Platform) -> None:
        """All sign with the same one, whoever made it."""
        together = threading.Barrier(4)
        kids: list[str] = []

        def sign() -> None:
            tokens = Tokens(platform.clients, platform.settings.access, lambda: NOW)
            together.wait()
            kids.append(tokens.signing_key().kid)

        threads = [threading.Thread(target=sign) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(kids)) == 1
        assert len(platform.clients.signing_keys()) == 1

    def test_another_deployments_token_is_none(self, tmp_path: Path, platform: Platform) -> None:
        """Also where both have the same settings: their keys differ."""
        url = "sqlite:///:memory:"
        settings = load_settings(tmp_path, access={"auth": "keys"}, control_url=url)
        with open_platform(settings) as other:
            client = Accounts(other.clients, settings).register("shop").client
            token = Tokens(other.clients, settings.access, lambda: NOW).issue(client, ALL_SCOPES)
        ours = Tokens(platform.clients, platform.settings.access, lambda: NOW)
        ours.signing_key()
        with pytest.raises(Unauthenticated, match="not signed by this server"):
            ours.read(token, platform.clients.revision())


class TestPeople:
    @given(CLIENT_IDS, CLIENT_IDS, st.text(), st.text())
    def test_nobody_is_two_peoples(self, a: str, b: str, one: str, other: str) -> None:
        """Two names in the stores are equal only where client and id are; and each is read back
        by its own client only."""
        assert (stored_id(a, one) == stored_id(b, other)) == ((a, one) == (b, other))
        assert own_id(a, stored_id(a, one)) == one
        if a != b:
            assert own_id(b, stored_id(a, one)) is None

    @given(CLIENT_IDS)
    def test_a_source_tells_its_client(self, client_id: str) -> None:
        """Of one record and of a row of a batch; other sources tell none."""
        assert client_of(source_of(client_id)) == client_id
        assert client_of(f"{source_of(client_id)} row 7") == client_id
        assert client_of("api row 7") is None
