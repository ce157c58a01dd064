"""What is planned for the next calls that match a pattern, for so many of them and no more."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, Self, TypeVar

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "*")
FOR_EVER = -1
NAMES = ("method", "path", "answer", "count", "skip")


class Named(Protocol):
    """A fault that a word names."""

    @property
    def word(self) -> str:
        """What it is called."""
        ...


FaultT = TypeVar("FaultT", bound=Named)


@dataclass(slots=True, eq=False)
class Planned(ABC, Generic[FaultT]):
    """One fault, and the calls that it waits for.

    :param path: ``*`` stands for one part of a path, ``**`` for any number.
    :param count: how many calls go wrong; -1: all.
    :param skip: how many matching calls go well before.
    """

    fault: FaultT
    method: str = "*"
    path: str = "/**"
    count: int = 1
    skip: int = 0

    @classmethod
    @abstractmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Read what a control call or the command line names.

        :raises ValueError: something is missing, unknown, or cannot be.
        """

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read ``METHOD PATH ANSWER [count=N] [skip=N] ...``.

        :raises ValueError: it is something else.
        """
        return cls.from_json(read_line(text))

    def to_json(self) -> dict[str, Any]:
        """Say what it is, as :meth:`from_json` reads it."""
        return {
            "method": self.method,
            "path": self.path,
            "answer": self.fault.word,
            "count": self.count,
            "skip": self.skip,
        }

    def matches(self, method: str, path: str) -> bool:
        """Whether it waits for this call."""
        return self.method in {"*", method} and _to_pattern(self.path).fullmatch(path) is not None


class Plan(Generic[FaultT]):
    """The faults that are still to come; the one that was planned first comes first."""

    def __init__(self) -> None:
        self.waiting: list[Planned[FaultT]] = []

    def add(self, planned: Planned[FaultT]) -> None:
        """Plan a fault after all others."""
        self.waiting.append(planned)

    def take(self, method: str, path: str) -> FaultT | None:
        """The fault of this call, which is used up by it."""
        for planned in self.waiting:
            if not planned.matches(method, path):
                continue
            if planned.skip:
                planned.skip -= 1
                continue
            if planned.count != FOR_EVER:
                planned.count -= 1
            if not planned.count:
                self.waiting.remove(planned)
            return planned.fault
        return None

    def to_json(self) -> list[dict[str, Any]]:
        """What is left of all of them."""
        return [planned.to_json() for planned in self.waiting]

    def clear(self) -> None:
        """Let all calls go well."""
        self.waiting.clear()


def read_calls(values: Mapping[str, Any], names: tuple[str, ...] = NAMES) -> tuple[str, str, int, int]:
    """Method, path, count and skip, as a control call or the command line names them.

    :param names: every name that the fault may have.
    :raises ValueError: something is missing, unknown, or cannot be.
    """
    unknown = values.keys() - set(names)
    if unknown:
        raise ValueError(f"A planned fault has no {min(unknown)!r}; it has {', '.join(names)}.")
    if "answer" not in values:
        raise ValueError("A planned fault needs an answer, such as reset-after or 503.")
    method = str(values.get("method", "*")).upper()
    if method not in METHODS:
        raise ValueError(f"{method!r} is no method.")
    count, skip = _whole(values, "count", 1), _whole(values, "skip", 0)
    if skip < 0 or (count < 1 and count != FOR_EVER):
        raise ValueError("A planned fault has a count of 1 or more, or -1, and a skip of 0 or more.")
    return method, str(values.get("path", "/**")), count, skip


def read_line(text: str) -> dict[str, str]:
    """``METHOD PATH ANSWER [count=N] [skip=N] ...`` as a control call would name it.

    :raises ValueError: it is something else.
    """
    head, rest = text.split()[:3], text.split()[3:]
    if len(head) < 3 or not all("=" in part for part in rest):
        raise ValueError(f"{text!r} is no planned fault: METHOD PATH ANSWER [count=N] [skip=N] ...")
    more = dict(part.split("=", 1) for part in rest)
    return {**dict(zip(("method", "path", "answer"), head, strict=True)), **more}


def _whole(values: Mapping[str, Any], name: str, default: int) -> int:
    value = values.get(name, default)
    try:
        return int(value)
    except (TypeError, ValueError):
        raise ValueError(f"The {name} of a planned fault cannot be {value!r}.") from None


def _to_pattern(path: str) -> re.Pattern[str]:
    stars = {"**": ".*", "*": "[^/]*"}
    return re.compile("".join(stars.get(part, re.escape(part)) for part in re.split(r"(\*\*|\*)", path)))
