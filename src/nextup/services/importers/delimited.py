"""Delimited text, however dirty, in bounded memory.

One damaged line costs that line, never the file: what cannot be read is handed on with its line
number and its reason. Lines without a quote are split as they are; the others go through the
strict parser of RFC 4180, and a quote that is never closed ends with its line.
"""

from __future__ import annotations

import codecs
import csv
import io
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

import polars as pl

from nextup.domain.errors import InvalidInput
from nextup.services.importers.rows import CHUNK_CHARACTERS, Damaged, Rows, text_frame

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


_LONGEST_ROW = 100  # lines that one quoted field may span
_BLANK = " \r\n"  # a line of nothing else is no row
_SNIFFED = 1 << 16  # bytes that have to look like text


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a delimited file is written."""

    separator: str = ","  # may be longer than one character when there are no quotes
    quote: str | None = '"'
    encoding: str = "utf-8"
    columns: tuple[str, ...] = ()  # their names, where the file has no header line

    def __post_init__(self) -> None:
        """Raises InvalidInput for an option that cannot be meant."""
        try:
            codecs.lookup(self.encoding)
        except LookupError as error:
            raise InvalidInput(
                f"There is no encoding {self.encoding!r}.", cure="Try utf-8, latin-1 or cp1252."
            ) from error
        if not self.separator or "\n" in self.separator:
            raise InvalidInput("A separator is at least one character, and no line end.")
        if self.quote is not None and (len(self.quote) != 1 or self.quote == self.separator):
            raise InvalidInput("A quote is one character, and not the separator.")
        if self.quote is not None and len(self.separator) > 1:
            raise InvalidInput(
                "A separator of several characters cannot be combined with quotes.",
                cure="Give an empty quote.",
            )


def read_delimited(stream: IO[bytes], dialect: Dialect, name: str) -> Iterator[Rows]:
    """Chunks of rows. Raises InvalidInput for what is no text, or has no usable header."""
    encoding = "utf-8-sig" if codecs.lookup(dialect.encoding).name == "utf-8" else dialect.encoding
    buffered: Any = stream  # files and members of archives can both be peeked into
    _refuse_binary(buffered.peek(_SNIFFED)[:_SNIFFED], encoding, name)
    text = io.TextIOWrapper(buffered, encoding, errors="surrogateescape", newline="\n")
    try:
        yield from _Reader(text, dialect, name).chunks()
    except UnicodeError as error:  # an encoding that cannot carry broken bytes along
        raise InvalidInput(f"{name} is not {dialect.encoding}: {error}.") from error
    finally:
        text.detach()


def _refuse_binary(start: bytes, encoding: str, name: str) -> None:
    wide = encoding.lower().replace("_", "-").startswith(("utf-16", "utf-32"))
    if b"\0\0\0" in start and not wide:
        raise InvalidInput(
            f"{name} is no text file.", cure="Give its format: csv, jsonl or parquet."
        )


@dataclass(slots=True)
class _Chunk:
    """What one chunk has given so far."""

    fields: list[list[str]] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    damaged: list[Damaged] = field(default_factory=list)
    blank: int = 0


class _Reader:
    def __init__(self, text: io.TextIOWrapper, dialect: Dialect, name: str) -> None:
        self._text = text
        self._dialect = dialect
        self._name = name
        self._line = 1  # of the next line
        self._number = 1  # of the next row

    def chunks(self) -> Iterator[Rows]:
        columns, blank = self._dialect.columns, 0
        if not columns:
            columns, blank = self._header()
        empty = True
        while lines := self._text.readlines(CHUNK_CHARACTERS):
            rows = self._plain(lines, columns) or self._careful(lines, columns)
            yield rows._replace(blank_lines=rows.blank_lines + blank)
            blank, empty = 0, False
        if empty:
            yield Rows(text_frame(columns, ()), (), (), (), blank)

    def _header(self) -> tuple[tuple[str, ...], int]:
        """The column names, and how many blank lines stood before them."""
        for line in self._text:
            self._line += 1
            if not line.strip(_BLANK):
                continue
            fields, _ = self._split([line], 0)
            names = tuple(one.strip() for one in fields or ())
            if fields is None or len(set(names)) != len(names):
                raise InvalidInput(f"The header of {self._name} is not usable: {line.strip()!r}.")
            return names, self._line - 2
        raise InvalidInput(f"{self._name} is empty.", cure="It should begin with a header line.")

    def _plain(self, lines: list[str], columns: Sequence[str]) -> Rows | None:
        """The chunk at full speed; None if anything in it needs care."""
        whole, quote = "".join(lines), self._dialect.quote
        if (quote is not None and quote in whole) or _is_broken(whole):
            return None
        split = _split_natively if len(self._dialect.separator) == 1 else _split_here
        frame = split(lines, whole, self._dialect.separator, columns)
        if frame is None or frame.height != len(lines):
            return None
        numbers = range(self._number, self._number + len(lines))
        starts = range(self._line, self._line + len(lines))
        self._number, self._line = numbers.stop, starts.stop
        return Rows(frame, numbers, starts)

    def _careful(self, lines: list[str], columns: Sequence[str]) -> Rows:
        chunk, index = _Chunk(), 0
        broken = _is_broken("".join(lines))
        while index < len(lines):
            line = lines[index]
            if not line.strip(_BLANK):
                chunk.blank += 1
                used = 1
            else:
                fields, used = self._split(lines, index)
                if used > 1 and len(fields or ()) != len(columns):
                    fields, used = None, 1  # a stray quote swallowed good lines: give them back
                raw = "".join(lines[index : index + used])
                self._keep(chunk, fields, raw, columns, check=broken)
            index += used
            self._line += used
        frame = text_frame(columns, chunk.fields)
        return Rows(frame, chunk.numbers, chunk.lines, chunk.damaged, chunk.blank)

    def _keep(
        self,
        chunk: _Chunk,
        fields: list[str] | None,
        raw: str,
        columns: Sequence[str],
        *,
        check: bool,
    ) -> None:
        fault = None
        if check and _is_broken(raw):
            fault = ("bad_encoding", f"The line is not {self._dialect.encoding}.")
        elif fields is None:
            fault = (
                "bad_row",
                "A quote is not closed, or closes within a field.",
            )
        elif len(fields) != len(columns):
            fault = ("bad_row", f"Expected {len(columns)} columns, found {len(fields)}.")
        if fault is None and fields is not None:
            chunk.fields.append(fields)
            chunk.numbers.append(self._number)
            chunk.lines.append(self._line)
        elif fault is not None:
            shown = self._shown(raw.rstrip("\r\n"))
            chunk.damaged.append(Damaged(self._number, self._line, *fault, shown))
        self._number += 1

    def _split(self, lines: list[str], index: int) -> tuple[list[str] | None, int]:
        """The fields of the row that begins at `index`, and how many lines it takes.

        None for a row that breaks the quoting rules; it takes one line. May read on into `lines`.
        """
        line, quote, separator = lines[index], self._dialect.quote, self._dialect.separator
        if quote is None or quote not in line:
            return line.rstrip("\r\n").split(separator), 1
        reader = csv.reader(
            self._following(lines, index), delimiter=separator, quotechar=quote, strict=True
        )
        try:
            return next(reader), reader.line_num
        except (csv.Error, StopIteration):
            return None, 1

    def _following(self, lines: list[str], index: int) -> Iterator[str]:
        for at in range(index, index + _LONGEST_ROW):
            if at == len(lines):
                more = self._text.readline()
                if not more:
                    return
                lines.append(more)
            yield lines[at]

    def _shown(self, raw: str) -> str:
        """The line for a person: broken bytes as escapes."""
        encoding = self._dialect.encoding
        return raw.encode(encoding, "surrogateescape").decode(encoding, "backslashreplace")


def _split_natively(
    lines: list[str], whole: str, separator: str, columns: Sequence[str]
) -> pl.DataFrame | None:
    """Rows of exactly these columns, without quotes; None if any row has more or fewer."""
    if len(columns) == 1 or whole.count(separator) != (len(columns) - 1) * len(lines):
        return None
    try:
        frame = pl.read_csv(
            whole.encode(),
            has_header=False,
            separator=separator,
            quote_char=None,
            schema=dict.fromkeys(columns, pl.String),
        )
    except pl.exceptions.PolarsError:  # one row has too many, and so another too few
        return None
    return frame.fill_null("")


def _split_here(
    lines: list[str], _whole: str, separator: str, columns: Sequence[str]
) -> pl.DataFrame | None:
    """The same for a separator of several characters."""
    fields = [line.rstrip("\r\n").split(separator) for line in lines]
    return text_frame(columns, fields) if set(map(len, fields)) == {len(columns)} else None


def _is_broken(text: str) -> bool:
    """Whether bytes in it did not fit the encoding."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def one_column(columns: pl.DataFrame, name: str) -> pl.Series:
    """A column that a file must have. Raises InvalidInput, naming those it has."""
    if name not in columns.columns:
        raise InvalidInput(
            f"The file has no column {name!r}.", cure=f"It has {', '.join(columns.columns)}."
        )
    return columns[name]
