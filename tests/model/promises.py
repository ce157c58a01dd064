"""What holds in every life, whatever happens."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from airflow_mailchimp_export.accounting.report import Report
from airflow_mailchimp_export.options import OnLeave
from tests.kit.sandbox import InProcessSandbox
from tests.model.world import HELD_BACK, STRANGER, Person, World


class Watch:
    """Looks at the audience after all that exports do, and tells what they changed from what people did themselves."""

    def __init__(self, sandbox: InProcessSandbox, world: World, on_leave: OnLeave) -> None:
        self._sandbox = sandbox
        self._world = world
        self._on_leave = on_leave
        self._archived: set[str] = set()
        # Of a batch that is under way already, a tag may still be taken from them.
        self._meanwhile: set[str] = set()
        self._known = self._members()

    def look_away(self) -> None:
        """Take for given what happened since the last look: people did it."""
        self._known = self._members()
        self._archived -= {
            email for email in self._archived if self._known.get(email, {}).get("status") != "archived"
        }
        self._archived -= self._world.said_no.keys()

    def say_no(self, person: Person, status: str) -> None:
        """Let somebody say no while an export runs: what it did to them before is no wrong."""
        email = person.email
        now = self._members()
        if email not in now or now[email]["status"] != "subscribed":
            return
        self._world.change_status(person, status)
        self._known[email] = self._members()[email]
        self._archived.discard(email)
        self._meanwhile.add(email)

    def look(self) -> None:
        """Nobody who said no was subscribed or touched, nobody is lost, and nobody else's status changed."""
        before, now = self._known, self._members()
        for email in before.keys() - now.keys():
            self._was_renamed(email, now)
        for email, member in now.items():
            self._is_rightly(email, before.get(email), member)
        assert (now[STRANGER]["status"], now[STRANGER]["tags"]) == ("subscribed", ["A"])
        self._known = now
        self._meanwhile.clear()

    def _was_renamed(self, email: str, now: dict[str, Any]) -> None:
        moved = [person for person in self._world.people.values() if email in person.former]
        assert moved, f"{email} is lost"
        assert any(address in now for address in [*moved[0].former, moved[0].email]), f"{email} is lost"
        if email in self._world.said_no and self._world.said_no[email] != "forgotten":
            assert now[moved[0].email]["status"] == self._world.said_no[email]
            self._world.renamed(email, moved[0].email)

    def _is_rightly(self, email: str, before: dict[str, Any] | None, now: dict[str, Any]) -> None:
        said = self._world.said_no.get(email)
        if said:
            assert now["status"] == said, f"{email} said no ({said}) and is {now['status']}"
        if before is None or before["status"] == now["status"]:
            if before and said and email not in self._meanwhile:
                assert before["tags"] == now["tags"], f"{email} said no and was touched"
            assert before or said or now["status"] == "subscribed"
        elif now["status"] == "archived":
            assert (self._on_leave, before["status"]) == (OnLeave.ARCHIVE, "subscribed"), email
            self._archived.add(email)
        else:
            assert (before["status"], now["status"]) == ("archived", "subscribed"), email
            assert email in self._archived, f"{email} was archived by somebody else"
            self._archived.discard(email)

    def check_report(self, report: Report, rows: int) -> None:
        """Every row is accounted for."""
        counts = report.counts
        assert counts.adds_up
        assert counts.rows_read == rows

    def check_tags(self, segments: Iterable[str]) -> None:
        """After a good run the tags of an export are its segments, but for who said no or was refused."""
        segments = set(segments)
        for email, member in self._known.items():
            if member["status"] in HELD_BACK or email == STRANGER:
                continue
            tags = {tag.upper() for tag in member["tags"]} & segments
            wanted = self._world.tags_of(email, segments)
            # Whose member another export has renamed keeps the tag when they leave: its ledger has the old address.
            if self._on_leave is not OnLeave.KEEP and not self._world.is_moved_by_another(email, segments):
                assert tags <= wanted, f"{email} carries {tags - wanted}"
        for person in self._world.people.values():
            if self._world.is_held_back(person) or not person.segments & segments:
                continue
            assert person.email in self._known, f"{person.email} is lost"
            if self._is_archived_by_another(person, segments):
                continue
            tags = {tag.upper() for tag in self._known[person.email]["tags"]}
            assert tags >= person.segments & segments, f"{person.email} carries only {tags}"

    def _is_archived_by_another(self, person: Person, segments: set[str]) -> bool:
        """Whether somebody stays archived because another export archived them: each restores only its own."""
        status = self._known[person.email]["status"]
        return status == "archived" and person.email in self._archived and bool(person.ever - segments)

    def _members(self) -> dict[str, dict[str, Any]]:
        return self._sandbox.members()
