"""The people of a life: at the source as they are now, and in Mailchimp as they make themselves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from tests.kit.sandbox import InProcessSandbox
from tests.model.events import Change

STRANGER = "stranger@brieftaube.eu"
HELD_BACK = {"unsubscribed", "cleaned", "pending", "transactional", "archived"}


@dataclass
class Person:
    """A person at the source.

    :ivar former: the addresses that they had before.
    :ivar ever: the segments in which they have ever been.
    """

    number: int
    email: str
    name: str = "Ada"
    segments: set[str] = field(default_factory=set)
    twice: bool = False
    former: list[str] = field(default_factory=list)
    ever: set[str] = field(default_factory=set)

    @property
    def is_refused(self) -> bool:
        """Whether Mailchimp takes the address for a fake."""
        return self.email.endswith("example.com")


class World:
    """Who there is, and who said no.

    :ivar said_no: by address, the status in which somebody said no and has not come back from.
    :ivar began_again: who was deleted for good and signed up again: what they had is gone, and no run sees that.
    """

    def __init__(self, sandbox: InProcessSandbox) -> None:
        self._sandbox = sandbox
        self._addresses = 0
        self.people: dict[int, Person] = {}
        self.spelling: dict[str, str] = {}
        self.said_no: dict[str, str] = {}
        self.began_again: set[str] = set()

    def person(self, number: int) -> Person:
        """Return somebody, whom there is from now on."""
        return self.people.setdefault(number, Person(number, f"p{number}@brieftaube.eu"))

    def apply(self, changes: Iterable[Change]) -> None:
        """Let something happen."""
        for what, number, value in changes:
            self._apply(what, self.person(number), value)

    def _apply(self, what: str, person: Person, value: str) -> None:
        if what == "join":
            person.segments.add(value)
            person.ever.add(value)
        elif what == "leave":
            person.segments.discard(value)
        elif what == "name":
            person.name = value
        elif what == "address":
            self._move(person, value)
        elif what == "move and leave":
            self._move(person, "brieftaube.eu")
            person.segments.discard(value)
        elif what == "twice":
            person.twice = not person.twice
        elif what == "spelling":
            self.spelling[value] = self.spelling.get(value, value).swapcase()
        elif what == "status":
            self.change_status(person, value)
        else:
            self.sign_up(person)

    def _move(self, person: Person, domain: str) -> None:
        self._addresses += 1
        person.former.append(person.email)
        person.email = f"p{person.number}.{self._addresses}@{domain}"

    def change_status(self, person: Person, status: str) -> None:
        """Somebody who is in the audience opts out, bounces, is archived, or is deleted for good."""
        email = person.email
        if email not in self._sandbox.members():
            return
        self.said_no[email] = status
        if status == "forgotten":
            self._sandbox.put([{"email": email, "forgotten": True}])
        else:
            compliance = status in {"unsubscribed", "cleaned"}
            self._sandbox.put([{"email": email, "status": status, "compliance": compliance}])

    def administer(self, person: Person, status: str, *, hours: int) -> None:
        """Somebody who is in the audience gets a status by an administrator: Mailchimp would let it be undone.

        :param hours: for how long it did not show.
        """
        if person.email not in self._sandbox.members() or status == "forgotten":
            self.change_status(person, status)
            return
        self.said_no[person.email] = status
        moment = (datetime.now(UTC) - timedelta(hours=hours)).isoformat()
        self._sandbox.put([{"email": person.email, "status": status, "last_changed": moment}])

    def sign_up(self, person: Person) -> None:
        """Somebody fills in the signup form."""
        if not person.is_refused:
            self._sandbox.control("signup", {"email": person.email})
            if self.said_no.pop(person.email, "") == "forgotten":
                self.began_again.add(person.email)

    def renamed(self, old: str, new: str) -> None:
        """Somebody who said no while a run was about to rename them has the new address."""
        self.said_no[new] = self.said_no.pop(old)

    def is_held_back(self, person: Person) -> bool:
        """Whether somebody may be left out, under a former address too; that mail did not reach that is no reason."""
        return (
            person.is_refused
            or person.email in self.began_again | self.said_no.keys()
            or any(self.said_no.get(email, "cleaned") != "cleaned" for email in person.former)
        )

    def is_moved_by_another(self, email: str, segments: Iterable[str]) -> bool:
        """Whether an export may not know an address, because another one has renamed the member."""
        mine = set(segments)
        return any(
            person.email == email or email in person.former
            for person in self.people.values()
            if person.former and person.ever & mine and person.ever - mine
        )

    def tags_of(self, email: str, segments: Iterable[str]) -> set[str]:
        """Return in which of these segments an address is."""
        return next(
            (person.segments & set(segments) for person in self.people.values() if person.email == email),
            set(),
        )

    def tables(self, segments: Iterable[str]) -> dict[str, pa.Table]:
        """Return segments as the source has them, under the names as they are spelled."""
        return {self.spelling.get(segment, segment): self._table(segment) for segment in segments}

    def _table(self, segment: str) -> pa.Table:
        rows: list[tuple[str, ...]] = []
        for person in self.people.values():
            if segment in person.segments:
                row = (person.email, person.name, str(person.number))
                rows += [row, (f" {person.email.upper()}", *row[1:])] if person.twice else [row]
        columns: Iterable[Any] = zip(*rows, strict=True) if rows else [(), (), ()]
        arrays = [pa.array(list(column), pa.string()) for column in columns]
        return pa.table(arrays, names=["email", "name", "id"])
