"""What is kept as JSON: each kind with the number of its format, and how older formats are read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from airflow_mailchimp_export.errors import NewerFormat, UnreadableFile

T = TypeVar("T")

Upgrade = Callable[[Any], Any]
"""Makes the content of one format that of the next."""

_DAMAGE = (msgspec.MsgspecError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What reading and upgrading raise on content of another shape."""

_FIRST_FORMAT = 1
"""That of release 0.1.0, which wrote no number."""


class JsonFormat:
    """A kind of content: dataclasses as JSON, with the number of the format under ``format``.

    Keys that this release does not know are ignored, and those that are missing get their defaults, so a new
    attribute with a default needs no new format.

    :param upgrades: from each format to the next, the oldest first; there is one format more than upgrades.
    """

    def __init__(self, upgrades: Sequence[Upgrade] = ()) -> None:
        self._upgrades = tuple(upgrades)

    @property
    def number(self) -> int:
        """The format that this release writes."""
        return _FIRST_FORMAT + len(self._upgrades)

    def encode(self, value: object, *, indent: int = 2) -> bytes:
        """Return a dataclass as JSON.

        :param indent: spaces for each level; -1 for one line.
        """
        content = msgspec.json.encode({"format": self.number, **msgspec.to_builtins(value)})
        return msgspec.json.format(content, indent=indent)

    def decode(self, content: bytes, kind: type[T], *, where: str, remedy: str) -> T:
        """Read a dataclass.

        :param where: the file, for the message.
        :param remedy: what to do when the content is damaged, for the message.
        :raises UnreadableFile: when the content is damaged.
        :raises NewerFormat: when a newer release wrote it.
        """
        return self.read(content, kind, where=where, remedy=remedy)[0]

    def read(self, content: bytes, kind: type[T], *, where: str, remedy: str) -> tuple[T, int]:
        """Read a dataclass; return it with the number of the format that it was written in.

        :raises UnreadableFile: as :meth:`decode`.
        """
        try:
            found = msgspec.json.decode(content)
            number = _number_of(found)
            if number <= self.number:
                for upgrade in self._upgrades[number - _FIRST_FORMAT :]:
                    found = upgrade(found)
                return msgspec.convert(found, kind), number
        except _DAMAGE as error:
            raise UnreadableFile(where, "is damaged", remedy) from error
        raise NewerFormat(where, number, self.number)


def _number_of(found: Any) -> int:
    number = found.get("format", _FIRST_FORMAT) if isinstance(found, dict) else _FIRST_FORMAT
    if not isinstance(number, int) or number < _FIRST_FORMAT:
        raise ValueError("no number of a format")
    return number
