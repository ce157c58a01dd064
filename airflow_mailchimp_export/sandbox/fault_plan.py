"""Faults for the next calls that match a pattern, so many of them and no more."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_mailchimp_export.sandbox.faults import Fault, to_fault
from airflow_mailchimp_export.sandbox.settings import FOR_EVER, to_truth

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "*")
_NAMES = ("method", "path", "answer", "count", "skip", "applied")


@dataclass(slots=True, eq=False)
class PlannedFault:
    """One fault, and the calls that it waits for.

    :param path: without ``/3.0`` and query; ``*`` stands for one part of a path, ``**`` for any number.
    :param count: how many calls go wrong; -1: all.
    :param skip: how many matching calls go well before.
    """

    fault: Fault
    method: str = "*"
    path: str = "/**"
    count: int = 1
    skip: int = 0

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> PlannedFault:
        """Read what a control call or the command line names.

        :raises ValueError: something is missing, unknown, or cannot be.
        """
        unknown = values.keys() - set(_NAMES)
        if unknown:
            raise ValueError(f"A planned fault has no {min(unknown)!r}; it has {', '.join(_NAMES)}.")
        if "answer" not in values:
            raise ValueError("A planned fault needs an answer, such as reset-after or 503.")
        method = str(values.get("method", "*")).upper()
        if method not in METHODS:
            raise ValueError(f"{method!r} is no method.")
        count, skip = _whole(values, "count", 1), _whole(values, "skip", 0)
        if skip < 0 or (count < 1 and count != FOR_EVER):
            raise ValueError("A planned fault has a count of 1 or more, or -1, and a skip of 0 or more.")
        return cls(_fault(values), method, str(values.get("path", "/**")), count, skip)

    @classmethod
    def from_text(cls, text: str) -> PlannedFault:
        """Read ``METHOD PATH ANSWER [count=N] [skip=N] [applied=true]``.

        :raises ValueError: it is something else.
        """
        head, rest = text.split()[:3], text.split()[3:]
        if len(head) < 3 or not all("=" in part for part in rest):
            raise ValueError(f"{text!r} is no planned fault: METHOD PATH ANSWER [count=N] [skip=N] ...")
        options = dict(part.split("=", 1) for part in rest)
        return cls.from_json({**dict(zip(("method", "path", "answer"), head, strict=True)), **options})

    def matches(self, method: str, path: str) -> bool:
        """Whether it waits for this call."""
        return self.method in {"*", method} and _to_pattern(self.path).fullmatch(path) is not None

    def to_json(self) -> dict[str, Any]:
        """What is left of it."""
        return {
            "method": self.method,
            "path": self.path,
            "answer": self.fault.word,
            "count": self.count,
            "skip": self.skip,
            "applied": self.fault.applied,
        }


class FaultPlan:
    """The faults that are still to come; the one that was planned first comes first."""

    def __init__(self) -> None:
        self._waiting: list[PlannedFault] = []

    def add(self, planned: PlannedFault) -> None:
        """Plan a fault after all others."""
        self._waiting.append(planned)

    def take(self, method: str, path: str) -> Fault | None:
        """The fault of this call, which is used up by it."""
        for planned in self._waiting:
            if not planned.matches(method, path):
                continue
            if planned.skip:
                planned.skip -= 1
                continue
            if planned.count != FOR_EVER:
                planned.count -= 1
            if not planned.count:
                self._waiting.remove(planned)
            return planned.fault
        return None

    def clear(self) -> None:
        """Let all calls go well."""
        self._waiting.clear()

    def to_json(self) -> list[dict[str, Any]]:
        """What is left of all of them."""
        return [planned.to_json() for planned in self._waiting]


def _fault(values: Mapping[str, Any]) -> Fault:
    word, applied = str(values["answer"]), to_truth(values.get("applied", False))
    fault = to_fault(word, applied=applied)
    if "applied" in values and fault.applied is not applied:
        raise ValueError(f"{word!r} says by itself whether the work is done.")
    return fault


def _whole(values: Mapping[str, Any], name: str, default: int) -> int:
    value = values.get(name, default)
    try:
        return int(value)
    except (TypeError, ValueError):
        raise ValueError(f"The {name} of a planned fault cannot be {value!r}.") from None


def _to_pattern(path: str) -> re.Pattern[str]:
    stars = {"**": ".*", "*": "[^/]*"}
    return re.compile("".join(stars.get(part, re.escape(part)) for part in re.split(r"(\*\*|\*)", path)))
