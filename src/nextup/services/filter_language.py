"""The filter language: text in, a condition out, or an error that says where.

    filter  = all { "or" all }
    all     = one { "and" one }
    one     = "not" one | "(" filter ")" | test
    test    = field op value | field ["not"] "in" "[" value { "," value } "]"
    op      = "=" | "!=" | "<" | "<=" | ">" | ">=" | "~" | "!~"
    field   = id | kind | title | year | genre | maker | keyword | available | attributes.NAME
    value   = "text" | 'text' | number | true | false | null

Nothing in a text is special but a backslash before a quote or a backslash. A filter is data from
its first character to its last: no part of it ever becomes a piece of a query.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn

from nextup.domain import tables as t
from nextup.domain.errors import InvalidInput
from nextup.domain.filters import ATTRIBUTES, FIELDS, All, Any_, AnyOf, Compare, Not, Op

if TYPE_CHECKING:
    from nextup.domain.filters import Filter, Value

LONGEST: Final = 2_000  # characters
DEEPEST: Final = 20  # parentheses and `not`s within each other
CURE: Final = 'Write it like: kind = "film" and year >= 1990 and genre in ["Horror", "Comedy"].'

_SYNONYMS: Final = {
    "id": t.ITEM_ID,
    "genre": t.GENRES,
    "maker": t.MAKERS,
    "keyword": t.KEYWORDS,
    **{name: name for name in FIELDS},
}
_WORDS: Final = {"and", "or", "not", "in", "true", "false", "null"}
_VALUES: Final[dict[str, Value]] = {"true": True, "false": False, "null": None}
_OPS: Final = {"==": Op.EQUAL, **{op.value: op for op in Op}}
_NEGATED: Final = {"!=": Op.EQUAL, "!~": Op.CONTAINS}

_TOKEN: Final = re.compile(
    r"""\s*(?:
        (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\w.]))
      | (?P<name>[^\W\d][\w-]*)
      | (?P<sign>==|!=|!~|<=|>=|[=<>~()\[\],.])
      | (?P<end>$)
    )""",
    re.VERBOSE | re.DOTALL,
)


class _Token(NamedTuple):
    kind: str  # a group's name
    text: str
    position: int  # from 1


def parse_filter(text: str) -> Filter:
    """The condition. Raises InvalidInput, with the position of the first thing that is wrong."""
    if len(text) > LONGEST:
        raise InvalidInput(
            f"The filter has {len(text)} characters, more than {LONGEST}.", cure="Shorten it."
        )
    return _Parser(text).whole()


class _Parser:
    """One function per rule of the grammar, each taking what it needs from the front."""

    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._next = 0
        self._depth = 0

    def whole(self) -> Filter:
        """The whole text as one filter."""
        found = self._filter()
        if self._peek().kind != "end":
            self._refuse("`and`, `or` or the end")
        return found

    def _filter(self) -> Filter:
        parts = [self._all()]
        while self._took("name", "or"):
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else Any_(tuple(parts))

    def _all(self) -> Filter:
        parts = [self._one()]
        while self._took("name", "and"):
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def _one(self) -> Filter:
        self._depth += 1
        if self._depth > DEEPEST:
            self._refuse(f"at most {DEEPEST} levels")
        try:
            if self._took("name", "not"):
                return Not(self._one())
            if self._took("sign", "("):
                inner = self._filter()
                self._need(")")
                return inner
            return self._test()
        finally:
            self._depth -= 1

    def _test(self) -> Filter:
        field = self._field()
        negated = self._took("name", "not")
        if negated or self._peek()[:2] == ("name", "in"):
            if not self._took("name", "in"):
                self._refuse("`in`")
            found: Filter = AnyOf(field, self._list())
            return Not(found) if negated else found
        token = self._peek()
        if token.kind != "sign" or token.text not in {*_OPS, *_NEGATED}:
            self._refuse("one of = != < <= > >= ~ !~ in")
        self._next += 1
        op = _NEGATED.get(token.text) or _OPS[token.text]
        test = Compare(field, op, self._value(op))
        return Not(test) if token.text in _NEGATED else test

    def _field(self) -> str:
        token = self._peek()
        if token.kind != "name" or token.text.casefold() in _WORDS:
            self._refuse("a field")
        name = token.text.casefold()
        if name == ATTRIBUTES:
            self._next += 1
            return self._path()
        if name not in _SYNONYMS:
            fields = ", ".join([*_SYNONYMS, f"{ATTRIBUTES}.NAME"])
            raise InvalidInput(
                f"The filter is wrong at position {token.position}: there is no field "
                f"'{token.text}'.",
                cure=f"Fields: {fields}.",
            )
        self._next += 1
        return _SYNONYMS[name]

    def _path(self) -> str:
        """The names after `attributes`, each bare or in quotes."""
        path = [ATTRIBUTES]
        while self._took("sign", "."):
            token = self._peek()
            if token.kind not in {"name", "text"}:
                self._refuse("the name of an attribute")
            self._next += 1
            name = token.text if token.kind == "name" else _unquoted(token.text)
            if "." in name or not name:
                raise _wrong(token, "an attribute's name is not empty and has no dot")
            path.append(name)
        if len(path) == 1:
            self._refuse("a dot and the name of an attribute")
        return ".".join(path)

    def _list(self) -> tuple[Value, ...]:
        self._need("[")
        values: list[Value] = []
        while not self._took("sign", "]"):
            if values:
                self._need(",")
            values.append(self._value(Op.EQUAL))
        return tuple(values)

    def _value(self, op: Op) -> Value:
        token = self._peek()
        if token.kind == "text":
            value: Value = _unquoted(token.text)
        elif token.kind == "number":
            value = _number(token)
        elif token.kind == "name" and token.text.casefold() in _VALUES:
            value = _VALUES[token.text.casefold()]
        else:
            self._refuse('a value: "text", a number, true, false or null')
        if op is Op.CONTAINS and not isinstance(value, str):
            self._refuse("a text after ~")
        if op not in {Op.EQUAL, Op.CONTAINS} and (value is None or isinstance(value, bool)):
            self._refuse("a number or a text to compare with")
        self._next += 1
        return value

    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _took(self, kind: str, text: str) -> bool:
        token = self._peek()
        if token.kind == kind and token.text.casefold() == text:
            self._next += 1
            return True
        return False

    def _need(self, sign: str) -> None:
        if not self._took("sign", sign):
            self._refuse(f"`{sign}`")

    def _refuse(self, expected: str) -> NoReturn:
        token = self._peek()
        found = "the end" if token.kind == "end" else f"'{token.text[:40]}'"
        raise _wrong(token, f"expected {expected}, found {found}")


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    place = 0
    while not tokens or tokens[-1].kind != "end":
        found = _TOKEN.match(text, place)
        if found is None or found.lastgroup is None:
            start = place + len(text[place:]) - len(text[place:].lstrip())
            what = "a text without its end" if text[start] in "\"'" else f"'{text[start]}'"
            raise _wrong(_Token("", "", start + 1), f"{what} is not understood")
        kind = found.lastgroup
        tokens.append(_Token(kind, found[kind], found.start(kind) + 1))
        place = found.end()
    return tokens


def _number(token: _Token) -> int | float:
    if re.fullmatch(r"[-+]?\d{1,18}", token.text):
        return int(token.text)
    value = float(token.text)
    if value in {float("inf"), float("-inf")}:
        raise _wrong(token, "the number is too large")
    return value


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)


def _wrong(token: _Token, what: str) -> InvalidInput:
    return InvalidInput(f"The filter is wrong at position {token.position}: {what}.", cure=CURE)
