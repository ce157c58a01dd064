"""People as they should be: how they are drawn, what they are called and which addresses they choose."""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import yaml

HERE = Path(__file__).parent
T = TypeVar("T")

LATIN = str.maketrans(
    {
        "ß": "ss", "ø": "o", "ł": "l", "đ": "d", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th", "ð": "d",
        " ": "", "'": "", ".": "", "ʻ": "",
    }
)  # fmt: skip


class Dice(random.Random):
    """Draws by :meth:`random` alone, so that no release of Python changes what is drawn."""

    def chance(self, share: float) -> bool:
        """Whether an event of this probability happens."""
        return self.random() < share

    def pick(self, items: Sequence[T]) -> T:
        """One of the items, each as likely as the next."""
        return items[int(self.random() * len(items))]

    def between(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return low + int(self.random() * (high - low + 1))


class Name(NamedTuple):
    """A name as it is written, and as it goes into an address."""

    written: str
    latin: str


@dataclass(frozen=True, slots=True)
class Country:
    """What people of one country are called and where they live."""

    code: str
    phone: str
    street: str
    given: tuple[Name, ...]
    family: tuple[Name, ...]
    towns: tuple[tuple[str, str, str], ...]


@dataclass(slots=True)
class Mint:
    """Hands out addresses, none of them twice."""

    domains: Sequence[str]
    taken: set[str] = field(default_factory=set)

    def address(self, dice: Dice, given: str, family: str) -> str:
        """An address as people choose them."""
        local = dice.pick((f"{given}.{family}", f"{given[0]}.{family}", f"{family}_{given}", f"{given}+shop"))
        domain = dice.pick(self.domains)
        number = dice.between(40, 99) if dice.chance(0.4) else None
        while (address := f"{local}{number or ''}@{domain}") in self.taken:
            number = (number or 0) + dice.between(1, 30)
        self.taken.add(address)
        return address


def to_latin(name: str) -> str:
    """The letters of a name that fit into the part of an address before the ``@``."""
    plain = unicodedata.normalize("NFKD", name.lower().translate(LATIN))
    return "".join(letter for letter in plain if letter.isascii() and (letter.isalnum() or letter in "-."))


def to_name(text: str) -> Name:
    """A name as it stands in ``people.yaml``."""
    written, _, latin = text.partition("/")
    return Name(written, latin or to_latin(written))


def read_yaml(name: str) -> Any:
    """What stands in a file beside this script."""
    return yaml.safe_load((HERE / name).read_text(encoding="utf-8"))


def read_countries(entries: Sequence[Mapping[str, Any]]) -> list[Country]:
    """The countries, each as often as its weight says."""
    return [to_country(entry) for entry in entries for _ in range(entry["weight"])]


def to_country(entry: Mapping[str, Any]) -> Country:
    """A country as it stands in ``people.yaml``."""
    return Country(
        code=entry["code"],
        phone=entry["phone"],
        street=entry["street"],
        given=tuple(map(to_name, entry["given"])),
        family=tuple(map(to_name, entry["family"])),
        towns=tuple((town, region, postal) for town, region, postal in entry["towns"]),
    )
