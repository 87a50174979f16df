"""The line of every key and array element of a TOML document, which no parser at hand tells.

`tomllib` and `tomlkit` return values without positions (tomlkit issue 55, cpython issue 115516), and a
problem without a line is a search. This scanner reads documents that `tomllib` has accepted, so it looks
only for where things begin; it checks nothing.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right

from avabuild.plugins.wording import KeyPath

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_KEY = re.compile(r"""[ \t]*(?:"(?P<basic>(?:[^"\\]|\\.)*)"|'(?P<literal>[^']*)'|(?P<bare>[\w-]+))[ \t]*""")
_STRING = re.compile(
    r"""
    \"{3} (?:[^\\]|\\.)*? \"{3,5}
    | '{3} .*? '{3,5}
    | "(?:[^"\\]|\\.)*"
    | '[^']*'
    """,
    re.DOTALL | re.VERBOSE,
)
_PART = r"""(?:[\w-]++|"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+')"""
# What comes next in a document, so that nothing inside a string or a comment looks like a key
_TOKEN = re.compile(
    rf"""
    (?P<deep> {_PART} (?:[ \t]*+\.[ \t]*+ {_PART} ){{32}})
    | \#[^\n]*+
    | \"{{3}} (?:[^\\]|\\.)*? (?:\"{{3,5}}|\Z)
    | '{{3}} .*? (?:'{{3,5}}|\Z)
    | "(?:[^"\\\n]|\\.)*+"
    | '[^'\n]*+'
    | [^\W]++ | .
    """,
    re.DOTALL | re.VERBOSE,
)
_SCALAR = re.compile(r"[^,\]}#\r\n]+")


def locate(text: str) -> dict[KeyPath, int]:
    """Return the 1-based line on which each table, key and array element of a valid `text` begins.

    A table that only deeper headers or dotted keys imply begins at the first of them.
    """
    scanner = _Scanner(text)
    scanner.document()
    return scanner.lines


def deep_key(text: str) -> int | None:
    """Return where a key of more than 32 parts is in any `text`, None without one.

    A parser remembers every beginning of a key: 50,000 dots are gigabytes.
    """
    return next((token.start() for token in _TOKEN.finditer(text) if token["deep"]), None)


class _Scanner:
    """One pass over a document; `at` is the offset of the next unread character."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[KeyPath, int] = {}
        self._newlines = [found.start() for found in re.finditer("\n", text)]
        self._tables: dict[KeyPath, int] = {}  # array of tables -> how many it has so far

    def document(self) -> None:
        table: KeyPath = ()
        self._skip_blank()
        while self.at < len(self.text):
            if self.text.startswith("[", self.at):
                table = self._header()
            else:
                self._pair(table)
            self._skip_blank()

    def _header(self) -> KeyPath:
        start = self.at
        array = self.text.startswith("[[", start)
        self.at += 2 if array else 1
        path: KeyPath = ()
        for part in self._key():
            if path in self._tables:  # `[a.b]` below `[[a]]` belongs to the newest element of a
                path += (self._tables[path] - 1,)
            path += (part,)
            self._implied(path, start)
        if array:
            count = self._tables.get(path, 0)
            self._tables[path] = count + 1
            path += (count,)
        self._begins(path, start)
        self.at += 2 if array else 1
        return path

    def _pair(self, table: KeyPath) -> None:
        self._skip_blank()
        start = self.at
        path = table
        for part in self._key():
            path += (part,)
            self._implied(path, start)
        self._begins(path, start)
        self.at += 1  # the equals sign
        self._value(path)

    def _key(self) -> tuple[str, ...]:
        parts: list[str] = []
        while True:
            found = _KEY.match(self.text, self.at)
            assert found, f"no key at offset {self.at}: the text is not what tomllib accepted"  # noqa: S101
            self.at = found.end()
            basic = found["basic"]
            parts.append(
                _unescaped(basic) if basic is not None else found[found.lastgroup or "bare"],
            )
            if not self.text.startswith(".", self.at):
                return tuple(parts)
            self.at += 1

    def _value(self, path: KeyPath) -> None:
        self._skip_blank()
        match self.text[self.at]:
            case "[":
                self._array(path)
            case "{":
                self._inline_table(path)
            case '"' | "'":
                self._take(_STRING)
            case _:
                self._take(_SCALAR)

    def _array(self, path: KeyPath) -> None:
        self.at += 1
        index = 0
        while not self._closed("]"):
            self._begins((*path, index), self.at)
            self._value((*path, index))
            index += 1

    def _inline_table(self, path: KeyPath) -> None:
        self.at += 1
        while not self._closed("}"):
            self._pair(path)

    def _closed(self, bracket: str) -> bool:
        """Step over blanks and a comma to the next element, or over `bracket` and say so."""
        self._skip_blank()
        if self.text.startswith(",", self.at):
            self.at += 1
            self._skip_blank()
        closed = self.text.startswith(bracket, self.at)
        self.at += closed
        return closed

    def _take(self, pattern: re.Pattern[str]) -> None:
        found = pattern.match(self.text, self.at)
        assert found, f"no value at offset {self.at}: the text is not what tomllib accepted"  # noqa: S101
        self.at = found.end()

    def _skip_blank(self) -> None:
        found = _BLANK.match(self.text, self.at)
        self.at = found.end() if found else self.at

    def _begins(self, path: KeyPath, offset: int) -> None:
        self.lines[path] = self._line(offset)

    def _implied(self, path: KeyPath, offset: int) -> None:
        self.lines.setdefault(path, self._line(offset))

    def _line(self, offset: int) -> int:
        return bisect_right(self._newlines, offset) + 1


def _unescaped(basic: str) -> str:
    text: str = tomllib.loads(f'key = "{basic}"')["key"]
    return text
