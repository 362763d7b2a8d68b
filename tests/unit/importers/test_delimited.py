"""Delimited text: what is read of it, and what is handed on as damaged."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextup.domain.errors import InvalidInput
from nextup.services.importers import delimited
from nextup.services.importers.delimited import Dialect, read_delimited


def read(content, dialect=None):
    with io.BufferedReader(io.BytesIO(content)) as stream:
        return list(read_delimited(stream, dialect or Dialect(), "file.csv"))


def cells(chunks):
    return [row for chunk in chunks for row in chunk.columns.rows()]


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), max_size=8)


@settings(deadline=None)
@given(st.lists(st.lists(CELLS, min_size=3, max_size=3), max_size=20))
def test_what_csv_writes_is_read(rows):
    """Whatever a CSV writer wrote comes back, quotes and line ends within cells included."""
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows([["a", "b", "c"], *rows])
    chunks = read(text.getvalue().encode())
    assert cells(chunks) == [tuple(row) for row in rows]
    assert not any(chunk.damaged for chunk in chunks)


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_are_too_odd(content):
    """Whatever the bytes, every row is a row or damaged, numbered without gaps."""
    chunks = read(b"a,b\n" + content.replace(b"\0\0\0", b""))
    numbers = [n for chunk in chunks for n in chunk.numbers]
    numbers += [one.number for chunk in chunks for one in chunk.damaged]
    assert sorted(numbers) == list(range(1, len(numbers) + 1))


def test_chunks_number_on(monkeypatch):
    """Numbers and lines go on from chunk to chunk, on the fast way and the careful one."""
    monkeypatch.setattr(delimited, "CHUNK_CHARACTERS", 20)
    body = b"".join(b'%d,"x"\n' % n if n % 7 == 0 else b"%d,y\n" % n for n in range(50))
    chunks = read(b"a,b\n" + body)
    assert len(chunks) > 3
    assert cells(chunks) == [(str(n), "x" if n % 7 == 0 else "y") for n in range(50)]
    assert [n for chunk in chunks for n in chunk.numbers] == list(range(1, 51))
    assert [n for chunk in chunks for n in chunk.lines] == list(range(2, 52))


def test_field_over_a_chunk_border(monkeypatch):
    """A quoted field may begin in one chunk and end in the next."""
    monkeypatch.setattr(delimited, "CHUNK_CHARACTERS", 5)
    assert cells(read(b'a,b\n1,"x\ny\nz"\n2,w\n')) == [("1", "x\ny\nz"), ("2", "w")]


def test_open_quote_costs_its_line():
    """A quote that is never closed does not swallow the lines after it."""
    (chunk,) = read(b'a,b\n1,"x\n2,y\n3,z\n')
    assert cells([chunk]) == [("2", "y"), ("3", "z")]
    assert [(one.line, one.rule, one.raw) for one in chunk.damaged] == [(2, "bad_row", '1,"x')]


@pytest.mark.parametrize("body", [b"1\n2,3,4\n", b"1,2,3\n4\n", b"1,2\n3\n4,5,6\n"])
def test_ragged_rows(body):
    """Rows with more or fewer columns are damaged, even where their number evens out."""
    (chunk,) = read(b"a,b\n" + body)
    assert {one.reason for one in chunk.damaged} == {
        "Expected 2 columns, found 1.",
        "Expected 2 columns, found 3.",
    }


def test_encodings():
    """A byte order mark is no part of a name, and other encodings are read as told."""
    assert read("\ufeffa,b\né,1\n".encode())[0].columns.columns == ["a", "b"]
    assert cells(read("a,b\né,1\n".encode("latin-1"), Dialect(encoding="latin-1"))) == [("é", "1")]
    (chunk,) = read("a,b\né,1\nx,2\n".encode("latin-1"))
    assert cells([chunk]) == [("x", "2")]
    assert [(one.rule, one.raw) for one in chunk.damaged] == [("bad_encoding", "\\xe9,1")]


def test_separators():
    """Several characters may separate, and without a header names are given."""
    assert cells(read(b"1::2\n3::4\n", Dialect("::", None, columns=("a", "b")))) == [
        ("1", "2"),
        ("3", "4"),
    ]
    assert cells(read(b"a\tb\n1\t\n\t\n", Dialect("\t", None))) == [("1", ""), ("", "")]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Dialect(encoding="klingon"), "no encoding"),
        (lambda: Dialect(quote="''"), "one character"),
        (lambda: Dialect("::", '"'), "several characters"),
        (lambda: read(b""), "empty"),
        (lambda: read(b"a,a\n1,2\n"), "header"),
        (lambda: read(b"PK\0\0\0\0\n"), "no text file"),
    ],
)
def test_refused(make, says):
    """An option or a file that cannot be meant is refused in one line."""
    with pytest.raises(InvalidInput, match=says):
        make()
