"""What every files backend promises."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.contract.backends import FILES, Place, places

from nextup.domain.errors import Conflict, CorruptData, InvalidInput, NotFound
from nextup.ports.files import SupportsLocalPath

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nextup.ports.files import Files


@pytest.fixture(params=FILES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    yield from places(request, tmp_path)


@pytest.fixture
def files(place: Place) -> Files:
    return place.files()


def put(files: Files, name: str, content: bytes = b"content") -> None:
    with files.create(name) as stream:
        stream.write(content)


def get(files: Files, name: str) -> bytes:
    with files.open(name) as stream:
        return stream.read()


def put_folder(files: Files, name: str, **content: bytes) -> None:
    with files.replace_folder(name) as folder:
        (folder / "below").mkdir()
        for file, data in content.items():
            (folder / file).write_bytes(data)
            (folder / "below" / file).write_bytes(data)


def tree(files: Files, folder: str = "") -> dict[str, bytes]:
    """Everything there is: content by name."""
    found: dict[str, bytes] = {}
    for name in files.list(folder):
        path = f"{folder}{name}"
        found |= tree(files, path) if name.endswith("/") else {path: get(files, path)}
    return found


ODD_NAMES = [
    "two words",
    'quote\'s "and" `more`; --',
    "ü-🎬",
    "x" * 250,
    "new\nline",
    "50%20 {braces} :colon",
    "..hidden",
    "...",
    "-rf",
    "back\\slash",
]
REFUSED_NAMES = [
    "",
    "/",
    "/absolute",
    "..",
    "../outside",
    "folder/../../outside",
    "folder/..",
    ".",
    "./here",
    "a//b",
    "a/./b",
    "a//",
    "nul\0byte",
    "half a pair \ud800",
]


def test_nothing_is_there_at_first(files: Files) -> None:
    """Looking into an empty place is no error and leaves nothing behind."""
    assert files.list() == []
    assert files.list("absent") == []
    assert files.list("absent/deeper/") == []
    assert not files.exists("absent")
    assert not files.remove("absent")
    for ask in (files.size, lambda name: files.open(name).__enter__()):
        with pytest.raises(NotFound):
            ask("absent")


def test_a_file_comes_back_as_it_was_written(files: Files) -> None:
    """Bytes survive, also none and many, and folders above appear."""
    contents = {"a": b"", "b/c/d.bin": bytes(range(256)), "big": b"x" * 3_000_000}
    for name, content in contents.items():
        put(files, name, content)
        assert get(files, name) == content
        assert files.size(name) == len(content)
        assert files.exists(name)
    assert files.list() == ["a", "b/", "big"]
    assert files.list("b") == files.list("b/") == ["c/"]
    assert files.exists("b/c")


def test_names_are_listed_in_order(files: Files) -> None:
    """Sorted by their characters, and nothing but what was put there."""
    for name in ("b", "a", "B", "ä", "a b", "10", "9"):
        put(files, name)
    assert files.list() == sorted(["b", "a", "B", "ä", "a b", "10", "9"])


def test_create_replaces(files: Files) -> None:
    """A name holds what was last created under it."""
    put(files, "f", b"a long first content")
    put(files, "f", b"second")
    assert get(files, "f") == b"second"


def test_a_file_appears_when_it_is_whole(files: Files) -> None:
    """Until the block ends readers see the old file, or none."""
    put(files, "f", b"old")
    with files.create("f") as stream, files.create("new") as other:
        stream.write(b"new")
        stream.flush()
        other.write(b"new")
        assert get(files, "f") == b"old"
        assert files.list() == ["f"]
    assert get(files, "f") == b"new"


def test_an_error_while_writing_leaves_the_old_file(files: Files) -> None:
    """What a block raises comes out unchanged, also an error about some other file."""
    put(files, "f", b"old")
    put_folder(files, "m", a=b"old")
    before = tree(files)

    def write(error: Exception) -> None:
        with files.create("f") as stream:
            stream.write(b"half")
            raise error

    def fill(error: Exception) -> None:
        with files.replace_folder("m") as folder:
            (folder / "half").write_bytes(b"half")
            raise error

    for error in (ZeroDivisionError("mine"), FileNotFoundError(2, "mine"), PermissionError("mine")):
        for attempt in (write, fill):
            with pytest.raises(type(error), match="mine"):
                attempt(error)
    assert tree(files) == before


def test_an_open_file_is_read_to_its_end(files: Files) -> None:
    """Whoever reads while the file is replaced and removed reads the one that was opened."""
    put(files, "f", b"first")
    with files.open("f") as stream:
        put(files, "f", b"second")
        files.remove("f")
        assert stream.read() == b"first"


def test_append_grows(files: Files) -> None:
    """Portions follow each other; the length comes back."""
    assert files.append("log/part", b"one", committed=0) == 3
    assert files.append("log/part", b"", committed=3) == 3
    assert files.append("log/part", b"two", committed=3) == 6
    assert get(files, "log/part") == b"onetwo"


def test_a_repeated_append_does_not_double(files: Files) -> None:
    """What was written but not committed is cut off."""
    files.append("f", b"committed", committed=0)
    for data in (b"+torn", b"+whole, and longer"):
        files.append("f", data, committed=9)
    assert get(files, "f") == b"committed+whole, and longer"
    assert files.append("f", b"", committed=0) == 0


def test_append_to_less_than_was_committed_is_refused(files: Files) -> None:
    """Lost bytes are not papered over: nothing changes, and no file appears."""
    files.append("f", b"abc", committed=0)
    for name in ("f", "absent"):
        with pytest.raises(CorruptData):
            files.append(name, b"def", committed=4)
    assert tree(files) == {"f": b"abc"}


def test_a_folder_is_replaced_as_a_whole(files: Files) -> None:
    """Nothing of the old folder stays, and nothing of the new is seen before the end."""
    put_folder(files, "models/m", old=b"1", both=b"1")
    with files.replace_folder("models/m") as folder:
        (folder / "both").write_bytes(b"2")
        assert set(tree(files, "models/m/")) == {
            f"models/m/{name}" for name in ("old", "both", "below/old", "below/both")
        }
        assert files.list() == ["models/"]
    assert tree(files) == {"models/m/both": b"2"}


def test_a_folder_takes_the_place_of_a_file(files: Files) -> None:
    """Whatever had the name is replaced; a file cannot replace a folder."""
    put(files, "f")
    put_folder(files, "f", a=b"1")
    assert files.list("f") == ["a", "below/"]
    for write in (put, lambda files, name: files.append(name, b"x", committed=0)):
        with pytest.raises(InvalidInput):
            write(files, "f")
    assert files.list("f") == ["a", "below/"]


def test_a_file_is_no_folder(files: Files) -> None:
    """Nothing can be below a file; asking what is there finds nothing."""
    put(files, "f")
    assert files.list("f") == []
    assert not files.exists("f/below")
    for write in (put, put_folder, lambda files, name: files.append(name, b"x", committed=0)):
        with pytest.raises(InvalidInput):
            write(files, "f/below")
    assert tree(files) == {"f": b"content"}


def test_a_folder_is_no_file(files: Files) -> None:
    """A folder has no size and cannot be read."""
    put(files, "folder/f")
    for ask in (files.size, lambda name: files.open(name).__enter__()):
        for name in ("folder", "folder/", "folder/f/"):
            with pytest.raises(NotFound):
                ask(name)


def test_remove(files: Files) -> None:
    """A file alone, a folder with all in it, an absent name not at all."""
    for name in ("a/b/1", "a/b/2", "a/c", "d"):
        put(files, name)
    assert files.remove("a/b/")
    assert set(tree(files)) == {"a/c", "d"}
    assert files.remove("d")
    assert not files.remove("d")
    assert files.remove("a")
    assert files.list() == []


def test_a_folder_may_be_empty(files: Files) -> None:
    """Made with those above it; made again it keeps what is in it; a file is none."""
    for _ in range(2):
        files.make_folder("models/als/")
        assert files.list("models") == ["als/"]
        put(files, "models/als/m")
    assert files.list("models/als") == ["m"]
    with pytest.raises(InvalidInput):
        files.make_folder("models/als/m")
    assert get(files, "models/als/m") == b"content"


def test_what_moves_is_in_one_place(files: Files) -> None:
    """A file, and a folder with all in it, by its new name only; folders above that appear."""
    put(files, "input/a", b"1")
    files.move("input/a", "processed/run/a")
    put(files, "input/a", b"2")
    put(files, "input/deep/b", b"3")
    files.move("input", "errors/input/")
    assert tree(files) == {
        "errors/input/a": b"2",
        "errors/input/deep/b": b"3",
        "processed/run/a": b"1",
    }


def test_nothing_moves_over_another(files: Files) -> None:
    """What is not there cannot move, and what is there stays."""
    put(files, "a", b"1")
    put_folder(files, "m", b=b"2")
    before = tree(files)
    for name, target, refusal in [
        ("absent", "b", NotFound),
        ("a", "m", Conflict),
        ("m", "a", Conflict),
        ("a", "m/b", Conflict),
        ("a", "a", Conflict),
        ("a", "m/b/below", InvalidInput),
    ]:
        with pytest.raises(refusal):
            files.move(name, target)
    assert tree(files) == before


def test_when_a_file_was_written(files: Files) -> None:
    """The later one is newer; folders and absent names have no such time."""
    put(files, "a")
    time.sleep(0.02)  # HDFS counts milliseconds
    put(files, "folder/b")
    assert files.modified_at("a") < files.modified_at("folder/b")
    assert files.modified_at("a").tzinfo is not None
    for name in ("folder", "absent"):
        with pytest.raises(NotFound):
            files.modified_at(name)


def test_folders_have_other_names_where_the_settings_say(place: Place) -> None:
    """Who knows a folder by its first name finds it; it lies where the setting says."""
    plain = place.files()
    place.more = {"folders": {"models": "models/als", "bronze": "raw"}}
    named = place.files()
    put_folder(named, "models/m", a=b"1")
    put(named, "bronze/a/_manifest.json", b"{}")
    put(named, "receipts/r", b"2")
    assert set(tree(plain)) == {
        *("models/als/m/a", "models/als/m/below/a"),
        *("raw/a/_manifest.json", "receipts/r"),
    }
    assert named.list("models") == ["m/"]
    assert get(named, "models/m/a") == b"1"
    assert isinstance(named, SupportsLocalPath)
    assert (named.local_path("models/m") / "a").read_bytes() == b"1"
    named.move("models/m", "receipts/m")
    assert named.list("models") == []
    place.more = {"folders": {"models": "../elsewhere"}}
    with pytest.raises(InvalidInput):
        place.files().list("models")


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_are_names(files: Files, name: str) -> None:
    """What a disk can hold may be a name, of files and of folders."""
    put(files, f"{name}/{name}")
    put_folder(files, f"folder/{name}", a=b"1")
    assert files.list() == sorted([f"{name}/", "folder/"])
    assert files.list(name) == [name]
    assert get(files, f"{name}/{name}") == b"content"
    assert files.append(f"{name}/{name}", b"+", committed=7) == 8
    files.move(f"{name}/{name}", f"moved/{name}")
    assert get(files, f"moved/{name}") == b"content+"
    assert files.remove(name)
    assert files.list("folder") == [f"{name}/"]


@pytest.mark.parametrize("name", REFUSED_NAMES)
def test_names_that_lead_elsewhere_are_refused(files: Files, name: str, tmp_path: Path) -> None:
    """By every method, before anything happens."""
    outside = tmp_path / "files/outside"  # beside the tenant's folder
    outside.parent.mkdir(exist_ok=True)
    outside.write_bytes(b"not yours")
    methods = [files.exists, files.size, files.remove, files.modified_at, files.make_folder]
    methods += [lambda name: files.move(name, "other"), lambda name: files.move("other", name)]
    methods += [lambda name: files.append(name, b"x", committed=0)]
    methods += [lambda name: files.open(name).__enter__()]
    methods += [lambda name: files.create(name).__enter__()]
    methods += [lambda name: files.replace_folder(name).__enter__()]
    if name:
        methods += [files.list]
    if isinstance(files, SupportsLocalPath):
        methods += [files.local_path]
    for method in methods:
        with pytest.raises(InvalidInput):
            method(name)
    assert outside.read_bytes() == b"not yours"
    assert files.list() == []


def test_a_name_that_is_too_long_is_refused(files: Files) -> None:
    """It is the caller's mistake, and it is not there."""
    name = "x" * 300
    assert not files.exists(name)
    for write in (put, put_folder):
        with pytest.raises(InvalidInput):
            write(files, name)


def test_writers_at_once_leave_one_whole_file(files: Files) -> None:
    """Of several that create or replace the same name, one wins entirely."""
    failures: list[BaseException] = []

    def write(letter: bytes) -> None:
        try:
            for _ in range(10):
                put(files, "f", letter * 100_000)
                put_folder(files, "m", a=letter, b=letter)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(letter,)) for letter in (b"a", b"b", b"c")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(set(get(files, "f"))) == 1
    assert len({get(files, f"m/{name}") for name in ("a", "b", "below/a", "below/b")}) == 1


def test_a_reader_always_finds_a_folder_that_is_replaced(files: Files) -> None:
    """There is no moment in which the name is missed."""
    put_folder(files, "m", a=b"0")
    done = threading.Event()
    failures: list[BaseException] = []

    def read() -> None:
        try:
            while not done.is_set():
                assert get(files, "m/a").isdigit()
                assert files.exists("m")
        except BaseException as error:
            failures.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(40):
        put_folder(files, "m", a=str(number).encode())
    done.set()
    reader.join()
    assert failures == []


writes = st.lists(
    st.tuples(
        st.sampled_from(["create", "append", "folder", "remove"]),
        st.sampled_from(["a", "b", "c"]),
        st.binary(max_size=20),
    ),
    max_size=15,
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(writes=writes)
def test_any_writes_leave_what_they_say(place: Place, writes: list[tuple[str, str, bytes]]) -> None:
    """Whatever is done in whatever order, and after opening anew: the last act on a name counts."""
    place = place.another()
    files = place.files()
    expected: dict[str, bytes] = {}
    for act, letter, data in writes:
        if act == "create":
            put(files, f"file-{letter}", data)
            expected[f"file-{letter}"] = data
        elif act == "append":
            length = len(expected.get(f"file-{letter}", b"")) // 2
            files.append(f"file-{letter}", data, committed=length)
            expected[f"file-{letter}"] = expected.get(f"file-{letter}", b"")[:length] + data
        elif act == "folder":
            with files.replace_folder(f"folder-{letter}") as folder:
                (folder / "f").write_bytes(data)
            expected[f"folder-{letter}/f"] = data
        else:
            files.remove(f"file-{letter}")
            expected.pop(f"file-{letter}", None)
    files.close()
    assert tree(place.files()) == expected


def test_closing_twice_does_nothing(files: Files) -> None:
    """Whoever opens closes, and may do so again."""
    files.close()
    files.close()
