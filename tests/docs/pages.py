"""The pages of the documentation, taken apart: headings, links, tables, blocks of code."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]

_FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<code>.*?)^```$", re.DOTALL | re.MULTILINE)
_HEADING = re.compile(r"^#+ (?P<title>.+)$", re.MULTILINE)
_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_CELLS = re.compile(r"(?<!\\)\|")
_SPAN = re.compile(r"`([^`]+)`")


@dataclass(frozen=True)
class Block:
    """A block of code.

    :param line: where it begins.
    """

    page: str
    line: int
    language: str
    code: str

    def __str__(self) -> str:
        """Name it in the list of tests."""
        return f"{self.page}:{self.line}"


@dataclass(frozen=True)
class Page:
    """One Markdown file; paths are relative to the repository."""

    name: str

    @cached_property
    def text(self) -> str:
        """All of it."""
        return (REPOSITORY / self.name).read_text(encoding="utf-8")

    @cached_property
    def prose(self) -> str:
        """What is not code."""
        return _FENCE.sub("", self.text)

    @property
    def blocks(self) -> Iterator[Block]:
        """Its blocks of code."""
        for match in _FENCE.finditer(self.text):
            line = self.text.count("\n", 0, match.start()) + 1
            yield Block(self.name, line, match["language"], match["code"])

    @property
    def anchors(self) -> set[str]:
        """What a link to a place within it may name, as GitHub makes it of headings."""
        titles = (match["title"].strip().lower() for match in _HEADING.finditer(self.prose))
        return {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in titles}

    @property
    def links(self) -> list[str]:
        """Where its links lead."""
        return [match["target"] for match in _LINK.finditer(self.prose)]

    def table(self, heading: str, *columns: str) -> list[tuple[str, ...]]:
        """Return the rows of the tables that have these columns, below a heading and those under it.

        :raises AssertionError: there is none.
        """
        lines = self._below(heading).splitlines()
        head = _row(columns)
        starts = [number + 2 for number, line in enumerate(lines) if cells(line) == head]
        assert starts, f"{self.name} has no table {columns} below {heading!r}"
        bodies = (takewhile(lambda line: line.startswith("|"), lines[start:]) for start in starts)
        return [cells(line) for body in bodies for line in body]

    def _below(self, heading: str) -> str:
        match = re.search(rf"^(#+) {re.escape(heading)}$", self.prose, re.MULTILINE)
        assert match, f"{self.name} has no heading {heading!r}"
        rest = self.prose[match.end() :]
        end = re.search(rf"^#{{1,{len(match[1])}}} ", rest, re.MULTILINE)
        return rest[: end.start()] if end else rest


PAGES = tuple(
    Page(str(path.relative_to(REPOSITORY)))
    for path in (
        REPOSITORY / "README.md",
        REPOSITORY / "CHANGELOG.md",
        REPOSITORY / "CONTRIBUTING.md",
        REPOSITORY / "SECURITY.md",
        *sorted((REPOSITORY / "docs").glob("*.md")),
    )
)


def page(name: str) -> Page:
    """Return one page of ``docs``."""
    return Page(f"docs/{name}.md")


def blocks(*languages: str) -> list[Block]:
    """Return all blocks of code in these languages."""
    return [block for one in PAGES for block in one.blocks if block.language in languages]


def cells(line: str) -> tuple[str, ...]:
    """Take a row of a table apart."""
    return _row(_CELLS.split(line.strip())[1:-1]) if line.startswith("|") else ()


def spans(text: str) -> list[str]:
    """Return what stands in code spans."""
    return _SPAN.findall(text)


def plain(cell: str) -> str:
    """Return a cell without the backticks around it."""
    return cell.strip("`")


def columns(rows: Sequence[tuple[str, ...]], *numbers: int) -> list[tuple[str, ...]]:
    """Pick some columns of a table, without backticks."""
    return [tuple(plain(row[number]) for number in numbers) for row in rows]


def pairs(rows: Sequence[tuple[str, ...]], first: int = 0, second: int = 1) -> list[tuple[str, str]]:
    """Pick two columns of a table, without backticks."""
    return [(plain(row[first]), plain(row[second])) for row in rows]


def names(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Return what stands in code spans in the first column of a table."""
    return [name for row in rows for name in spans(row[0])]


def _row(values: Sequence[str]) -> tuple[str, ...]:
    return tuple(value.strip().replace(r"\|", "|") for value in values)
