"""Segments of people with everything that real data has, and by hand what an export has to make of them."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from pathlib import Path
from typing import Any
from unicodedata import category

import pyarrow as pa
import pyarrow.parquet as pq

FIELD_MAP = {"EMAIL": "email", "FNAME": "first_name", "LNAME": "last_name"}
FAKE_DOMAINS = ("example.com", "test.com", "gmil.com")
COUNTS = (
    *("rows_read", "merged", "rejected", "suppressed", "unchanged"),
    *("created", "updated", "unconfirmed", "not_sent", "removed", "removal_failed"),
)

Row = Mapping[str, str | None]
Segments = Mapping[str, Sequence[Row]]


def is_address(email: str) -> bool:
    """Tell whether the addresses of this file are any."""
    return re.fullmatch(r"[a-z0-9._+-]+@[a-z0-9-]+(\.[a-z0-9-]+)+", email) is not None


def as_address(text: str) -> str:
    """Leave out what nobody sees, the blanks at the ends, and case."""
    return "".join(char for char in text if category(char) != "Cf").strip().lower()


def row(email: str | None, first_name: str | None = None, last_name: str | None = None) -> Row:
    """Write a profile; ``note`` is a column that no export may read."""
    return {"email": email, "first_name": first_name, "last_name": last_name, "note": "private"}


def crowd(name: str, size: int) -> list[Row]:
    """Make as many people about whom nothing is odd."""
    return [row(f"{name}.{number}@brieftaube-post.eu", f"No. {number}", name) for number in range(size)]


VIP: Sequence[Row] = (
    row("Ada@Brieftaube-Post.eu", "Ada", "Lovelace"),
    row(" grace@inkwell-pigeon.eu\t", "Grace", "Hopper"),
    row("zoe@lettre-volante.eu", "Zoë", None),
    row("member@brieftaube-post.eu", "New", " "),
    row("left@brieftaube-post.eu", "Left", "Us"),
    row("BOUNCED@brieftaube-post.eu", "Mail", "Bounced"),
    row("forgotten@brieftaube-post.eu", "For", "Gotten"),
    row(None, "No", "Address"),
    row("no-at-sign", "No", "At"),
    row(f"jane@{FAKE_DOMAINS[0]}", "Jane", "Doe"),
    *crowd("vip", 620),
)

NEWSLETTER: Sequence[Row] = (
    row("grace@inkwell-pigeon.eu", "Gracie", "Murray"),
    row("ada@brieftaube-post.eu", "Ada", "Lovelace"),
    row("natthawut@inkwell-pigeon.eu", "ณัฐวุฒิ", "วงศ์สว่าง"),
    row("asked@brieftaube-post.eu", "Not", "Confirmed"),
    row("bought@brieftaube-post.eu", "Only", "Bought"),
    row("archived@brieftaube-post.eu", "Put", "Away"),
    row("  ", "Blank", "Address"),
    *crowd("vip", 40),
    *crowd("reader", 500),
)

SEGMENTS: Segments = {"VIP": VIP, "Newsletter": NEWSLETTER}


@dataclass(frozen=True)
class Listed:
    """Someone who is in the audience before the export; the defaults are those of the sandbox's members."""

    email: str
    status: str = "subscribed"
    compliance: bool = False
    forgotten: bool = False
    fname: str = ""
    lname: str = ""
    tags: str = ""


LISTED = (
    Listed("member@brieftaube-post.eu", fname="Old", lname="Kept", tags="Friends;VIP"),
    Listed("stranger@brieftaube-post.eu", fname="Stranger", tags="Friends"),
    Listed("left@brieftaube-post.eu", "unsubscribed", compliance=True, tags="VIP"),
    Listed("bounced@brieftaube-post.eu", "cleaned"),
    Listed("asked@brieftaube-post.eu", "pending"),
    Listed("bought@brieftaube-post.eu", "transactional", fname="Buyer"),
    Listed("archived@brieftaube-post.eu", "archived", tags="Friends"),
    Listed("forgotten@brieftaube-post.eu", "", forgotten=True),
)


@dataclass
class Expected:
    """What has to come of an export, worked out by the rules alone, without any code of the export.

    :param listed: who is in the audience before.
    :param is_address: which addresses Mailchimp takes for some.
    """

    listed: InitVar[Iterable[Listed]]
    is_address: Callable[[str], bool] = is_address
    audience: dict[str, dict[str, Any]] = field(init=False)
    counts: dict[str, int] = field(init=False)
    _before: dict[str, Listed] = field(init=False)
    _seen: set[str] = field(default_factory=set, init=False)

    def __post_init__(self, listed: Iterable[Listed]) -> None:
        """Begin with the audience as it is."""
        self._before = {person.email: person for person in listed}
        present = [person for person in self._before.values() if person.status and not person.forgotten]
        self.audience = {person.email: _as_listed(person) for person in present}
        self.counts = dict.fromkeys(COUNTS, 0)

    def take(self, segment: str, rows: Iterable[Row]) -> None:
        """Export a segment."""
        for profile in rows:
            self.counts["rows_read"] += 1
            self.counts[self._effect(segment, profile)] += 1

    def _effect(self, segment: str, profile: Row) -> str:
        email = as_address(profile["email"] or "")
        if not self.is_address(email):
            return "rejected"
        again = email in self._seen
        self._seen.add(email)
        known = self._before.get(email)
        if known and (known.forgotten or known.status != "subscribed"):
            return "merged" if again else "suppressed"
        if email.endswith(tuple(f"@{domain}" for domain in FAKE_DOMAINS)):
            return "merged" if again else "rejected"
        member = self.audience.setdefault(email, {"status": "subscribed", "tags": set(), "merge_fields": {}})
        member["tags"].add(segment)
        if again:
            return "merged"
        for tag, column in (("FNAME", "first_name"), ("LNAME", "last_name")):
            if value := (profile[column] or "").strip():
                member["merge_fields"][tag] = value
        return "updated" if known else "created"


def expect(segments: Segments, listed: Iterable[Listed]) -> Expected:
    """Work out what an export of these segments has to come to."""
    expected = Expected(listed)
    for segment, rows in segments.items():
        expected.take(segment, rows)
    return expected


def _as_listed(person: Listed) -> dict[str, Any]:
    names = {tag: value for tag, value in (("FNAME", person.fname), ("LNAME", person.lname)) if value}
    return {"status": person.status, "tags": set(filter(None, person.tags.split(";"))), "merge_fields": names}


def as_audience(members: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Bring a dump of the sandbox into the form of :class:`Expected`."""
    return {
        str(member["email"]): {
            "status": member["status"],
            "tags": set(member["tags"]),
            "merge_fields": member["merge_fields"],
        }
        for member in members
    }


def write_listed(path: Path, listed: Iterable[Listed] = LISTED) -> Path:
    """Write the members as ``Sandbox.load`` reads them."""
    people = [vars(person) for person in listed]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(people[0]))
        writer.writeheader()
        writer.writerows(people)
    return path


def table(rows: Sequence[Row]) -> pa.Table:
    """Make a table of profiles."""
    schema = pa.schema([(name, pa.string()) for name in ("email", "first_name", "last_name", "note")])
    return pa.Table.from_pylist([dict(profile) for profile in rows], schema=schema)


def write_segments(folder: Path, segments: Segments = SEGMENTS) -> dict[str, str]:
    """Write each segment as a Parquet file; returned is what an operator takes for ``segments``."""
    files = {name: folder / f"{name}.parquet" for name in segments}
    for name, path in files.items():
        pq.write_table(table(segments[name]), path)
    return {name: str(path) for name, path in files.items()}
