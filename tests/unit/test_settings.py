"""One file, the environment over it, and errors that say which of the two is wrong."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextup.domain.errors import ConfigurationError
from nextup.services.settings_reference import example_toml
from nextup.settings import FILE_NAME, Settings, load_settings

SECRET = "hunter2"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that the developer's own shell sets reaches these tests."""
    for name in [name for name in os.environ if name.upper().startswith("NEXTUP_")]:
        monkeypatch.delenv(name)


def write(folder: Path, text: str) -> Path:
    (folder / FILE_NAME).write_text(text, encoding="utf-8")
    return folder


def refused(folder: Path, text: str) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(write(folder, text))
    assert caught.value.cure
    return caught.value


def test_without_a_file_everything_has_a_default(tmp_path: Path) -> None:
    """A folder without nextup.toml, or one that does not exist, gives the defaults, there."""
    for folder in (tmp_path, tmp_path / "nowhere"):
        settings = load_settings(folder)
        assert settings.model_dump() == Settings().model_dump()
        assert settings.home == folder


def test_the_file_changes_what_it_names(tmp_path: Path) -> None:
    """A key of the file replaces its default and leaves its neighbours alone."""
    settings = load_settings(write(tmp_path, "seed = 7\n[gate]\nk = 20\n"))
    assert settings.seed == 7
    assert settings.gate.k == 20
    assert settings.gate.mode == Settings().gate.mode


def test_the_environment_wins_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NEXTUP_KEY and NEXTUP_SECTION__KEY replace single keys; the rest of a section stays."""
    folder = write(tmp_path, "seed = 7\n[gate]\nk = 20\nmin_people = 5\n")
    monkeypatch.setenv("NEXTUP_SEED", "8")
    monkeypatch.setenv("NEXTUP_GATE__K", "30")
    settings = load_settings(folder)
    assert settings.seed == 8
    assert (settings.gate.k, settings.gate.min_people) == (30, 5)


def test_the_caller_wins_over_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is passed in the call is not overridden by anything."""
    monkeypatch.setenv("NEXTUP_SEED", "8")
    assert load_settings(write(tmp_path, "seed = 7"), seed=9).seed == 9


def test_other_peoples_variables_do_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable counts only with the prefix NEXTUP_."""
    monkeypatch.setenv("SEED", "3")
    assert load_settings(tmp_path).seed == Settings().seed


@pytest.mark.parametrize(
    ("text", "key", "what"),
    [
        ("sede = 7", "'sede'", "is not a setting"),
        ("[gate]\nkk = 7", "'gate.kk'", "is not a setting"),
        ("[gates]\nk = 7", "'gates'", "is not a setting"),
        ("seed = 'many'", "'seed'", "valid integer"),
        ("seed = -1", "'seed'", "greater than or equal to 0"),
        ("gate = 3", "'gate'", "valid dictionary"),
        ("[gate]\nmode = 'maybe'", "'gate.mode'", "'strict', 'warn' or 'off'"),
        ("[server]\nport = 70000", "'server.port'", "less than or equal to 65535"),
        ("tenant = 'A-B'", "'tenant'", "pattern"),
        ("event_log_url = 3", "'event_log_url'", "valid string"),
    ],
)
def test_a_wrong_key_is_named_with_its_file(tmp_path: Path, text: str, key: str, what: str) -> None:
    """Unknown keys and wrong values are refused with key, file and reason."""
    error = refused(tmp_path, text)
    assert key in error.message
    assert str(tmp_path / FILE_NAME) in error.message
    assert what in error.message


@pytest.mark.parametrize(
    ("variable", "value", "key"),
    [
        ("NEXTUP_SEED", "many", "'seed'"),
        ("NEXTUP_GATE__MODE", "maybe", "'gate.mode'"),
        ("NEXTUP_GATE", '{"mode": "maybe"}', "'gate.mode'"),
    ],
)
def test_a_wrong_variable_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, key: str
) -> None:
    """Where the environment is at fault it is blamed, not the file beside it."""
    monkeypatch.setenv(variable, value)
    error = refused(tmp_path, "seed = 7")
    assert key in error.message
    assert f"environment variable {variable})" in error.message
    assert FILE_NAME not in error.message


def test_a_section_that_is_no_table_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NEXTUP_GATE=warn is a misunderstanding; the cure shows the right spelling."""
    monkeypatch.setenv("NEXTUP_GATE", "warn")
    error = refused(tmp_path, "")
    assert '"gate"' in error.message
    assert FILE_NAME not in error.message
    assert "NEXTUP_GATE__MODE=warn" in error.cure


@pytest.mark.parametrize("content", [b"seed = ", b"\xff\xfe", b"[gate\n", b"seed = 1\nseed = 2"])
def test_a_file_that_is_not_toml_is_named(tmp_path: Path, content: bytes) -> None:
    """Broken syntax, encoding and repeated keys are refused, naming the file."""
    (tmp_path / FILE_NAME).write_bytes(content)
    with pytest.raises(ConfigurationError, match=f"{FILE_NAME} cannot be read: ") as caught:
        load_settings(tmp_path)
    assert caught.value.cure


@pytest.mark.parametrize(
    "text",
    [
        f"event_log_url = ['postgresql://me:{SECRET}@host/x']",
        f"event_log_urll = 'postgresql://me:{SECRET}@host/x'",
        f"event_log_url = 'postgresql://me:{SECRET}@host/x",
    ],
)
def test_a_wrong_url_is_not_repeated(tmp_path: Path, text: str) -> None:
    """A URL may hold a password, so no message about it quotes its value."""
    assert SECRET not in str(refused(tmp_path, text))


def test_settings_are_frozen(tmp_path: Path) -> None:
    """Nobody changes the settings of a running platform."""
    settings = load_settings(tmp_path)
    with pytest.raises(ValueError, match="frozen"):
        settings.seed = 1
    with pytest.raises(ValueError, match="frozen"):
        settings.gate.k = 1


def test_the_example_loads(tmp_path: Path) -> None:
    """What `nextup init` writes is valid and changes nothing."""
    settings = load_settings(write(tmp_path, example_toml()))
    assert settings.model_dump() == Settings().model_dump()


@hypothesis.settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**40),
    share=st.floats(0.01, 0.49),
    tenant=st.from_regex(r"[a-z][a-z0-9_]{0,30}", fullmatch=True),
)
def test_what_is_written_is_read(seed: int, share: float, tenant: str) -> None:
    """Any valid values come back as they were written."""
    text = f'seed = {seed}\ntenant = "{tenant}"\n[gate]\ntest_share = {share!r}\n'
    with TemporaryDirectory() as folder:
        settings = load_settings(write(Path(folder), text))
    assert (settings.seed, settings.tenant, settings.gate.test_share) == (seed, tenant, share)


def test_a_url_can_be_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a container hands secrets over; it wins over the TOML, a variable over both."""
    (tmp_path / "secret").write_text("redis://:hunter2@cache/0\n")
    (tmp_path / "nextup.toml").write_text('online_state_url = "memory://"')
    monkeypatch.setenv("NEXTUP_ONLINE_STATE_URL_FILE", str(tmp_path / "secret"))
    assert load_settings(tmp_path).online_state_url == "redis://:hunter2@cache/0"
    monkeypatch.setenv("NEXTUP_ONLINE_STATE_URL", "sqlite:///x.db")
    assert load_settings(tmp_path).online_state_url == "sqlite:///x.db"
    monkeypatch.setenv("NEXTUP_CONTROL_URL_FILE", str(tmp_path / "nowhere"))
    with pytest.raises(ConfigurationError, match="nowhere"):
        load_settings(tmp_path)


def test_settings_do_not_show_passwords(tmp_path: Path) -> None:
    """Their `repr` may end up in a log."""
    url = "postgresql://ada:hunter2@db:5432/shop?sslpassword=hunter2"
    settings = load_settings(tmp_path, control_url=url)
    assert "hunter2" not in f"{settings!r} {settings}"
    assert "postgresql://db:5432/shop" in repr(settings)


def test_variables_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`${NAME}` is the environment's, or that of the .env beside the file; a missing one is
    named."""
    text = 'control_url = "postgresql://shop:${SHOP_PASSWORD}@localhost/shop"\n'
    (tmp_path / "nextup.toml").write_text(text)
    with pytest.raises(ConfigurationError, match="SHOP_PASSWORD"):
        load_settings(tmp_path)
    (tmp_path / ".env").write_text("SHOP_PASSWORD=open\n")
    assert load_settings(tmp_path).control_url == "postgresql://shop:open@localhost/shop"
    monkeypatch.setenv("SHOP_PASSWORD", "sesame")
    assert load_settings(tmp_path).control_url == "postgresql://shop:sesame@localhost/shop"


def test_settings_in_the_env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They win over the nextup.toml, the environment wins over them; other programs' variables
    are left alone, and a name that is no setting is told."""
    (tmp_path / "nextup.toml").write_text("seed = 1\n[gate]\nk = 5\n")
    (tmp_path / ".env").write_text("NEXTUP_SEED=2\nNEXTUP_GATE__K=7\nPOSTGRES_PASSWORD=x\n")
    settings = load_settings(tmp_path)
    assert (settings.seed, settings.gate.k) == (2, 7)
    monkeypatch.setenv("NEXTUP_SEED", "3")
    assert load_settings(tmp_path).seed == 3
    (tmp_path / ".env").write_text("NEXTUP_SEAD=2\n")
    with pytest.raises(ConfigurationError, match="sead"):
        load_settings(tmp_path)
