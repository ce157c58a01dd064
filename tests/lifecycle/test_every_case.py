"""docs/ledger.md has a table of every case; each of its cells is made, and what comes of it is looked at."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from airflow_mailchimp_export.model import Delivery
from airflow_mailchimp_export.options import OnLeave
from airflow_mailchimp_export.rules import HELD_BACK
from airflow_mailchimp_export.state.run import ExportFolder
from tests.docs.pages import page, plain, spans
from tests.kit.life import SENDING, Life
from tests.kit.people import hash_of
from tests.kit.sandbox import InProcessSandbox
from tests.lifecycle.cases import (
    EVERYBODY,
    Case,
    as_known,
    cases_of,
    make_ledger,
    put_into_audience,
    table,
)

OPTIONS = {"profile_id": "id", "max_removal_ratio": 1, "max_reject_ratio": 1}
FIELDS = {"EMAIL": "email", "FNAME": "name"}
STAYS = Case(999, "member", "subscribed", ())
IMPOSSIBLE = ("–",)

HEAD = (
    *("in the ledger", "absent", "subscribed", "came back"),
    *("unsubscribed, cleaned, pending, transactional", "archived", "forgotten"),
)
HEAD_OF_MOVES = (
    *("in the ledger", "absent", "subscribed", "came back"),
    *("unsubscribed, pending, transactional", "cleaned", "archived", "forgotten"),
)
LEGEND = ("word", "what is sent", "in the audience then", "in the ledger then", "counted as")
SENT = {"created", "updated", "restored", "renamed", "refused"}
LEAVING = {"untagged", "taken out", "noted", "nothing"}
"""The words of who is not there any more, also under an old address."""


@dataclass(frozen=True)
class Situation:
    """What a table is about."""

    heading: str
    segment: Callable[[Sequence[Case]], Any]
    head: tuple[str, ...] = HEAD
    options: Mapping[str, Any] = field(default_factory=dict)
    tagged: bool = True
    moved: bool = False

    @property
    def cases(self) -> list[Case]:
        """Its cells."""
        return list(cases_of(self.head, page("ledger").table(self.heading, *self.head)))

    def __str__(self) -> str:
        """Name it in the list of tests."""
        return self.heading


def as_they_were(cases: Sequence[Case]) -> Any:
    """Make a segment of profiles as they were."""
    rows = {name: [case for case in cases if as_known(case) == name] for name in ("Bo", "Bob")}
    tables = [table(known, name=name) for name, known in rows.items()]
    return pa.concat_tables(tables)


SITUATIONS = (
    Situation("In a segment, the profile as it was", as_they_were, tagged=False),
    Situation("In a segment, the profile has changed", lambda cases: table(cases, name="Cleo"), tagged=False),
    Situation("In no segment, with untag", lambda cases: table([STAYS])),
    Situation(
        "In no segment, with archive",
        lambda cases: table([STAYS]),
        options={"on_leave": OnLeave.ARCHIVE},
    ),
    Situation("The address changed", lambda cases: table(cases, moved=True), head=HEAD_OF_MOVES, moved=True),
)


@pytest.fixture(scope="module")
def known(in_process: InProcessSandbox, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an export that has everybody in its ledger."""
    in_process.reset()
    folder = tmp_path_factory.mktemp("known") / "life"
    make_ledger(Life(in_process, ExportFolder(folder), field_map=FIELDS, options=OPTIONS))
    return folder


@pytest.fixture
def life(life: Life, known: Path) -> Life:
    """A life that goes on with that ledger."""
    shutil.copytree(known, life.folder.uri)
    return replace(life, field_map=FIELDS, options=OPTIONS, runs=100)


@dataclass(frozen=True)
class Seen:
    """What became of a case.

    :param sent: whether a request that changes something named the address.
    :param member: status and tags in the audience then.
    :param row: state, reason and tags in the ledger then; ``None`` where there is none.
    """

    sent: tuple[bool, bool]
    member: tuple[Any, Any]
    row: tuple[Any, Any]
    counted: Counter[str]


class Walk:
    """One run over all cells of a table; each is looked at under the known address and the present one."""

    def __init__(self, life: Life, situation: Situation, delivery: Delivery) -> None:
        self.cases = [case for case in situation.cases if case.words != IMPOSSIBLE]
        others = {case.number: case for case in EVERYBODY} | {case.number: None for case in self.cases}
        # Nothing becomes of these.
        life.put(*(case.email for case in others.values() if case), status="archived")
        self._moved = situation.moved
        put_into_audience(life, self.cases, tagged=situation.tagged)
        self.members, self.rows = life.audience(), _rows(life)
        life.requests.clear()
        report = life.run(
            {"A": situation.segment(self.cases)}, name="walk", delivery=delivery, **situation.options
        )
        self.rows_read = report.counts.rows_read
        self.counts = +Counter({**asdict(report.counts), **report.address_changes})
        self._members_then, self._rows_then = life.audience(), _rows(life)
        self._outcomes = life.outcomes("walk")
        self._sent = "\n".join(
            f"{request.path} {(request.body or b'').decode()}"
            for request in life.requests
            if request.method in SENDING
        )

    def addresses(self, case: Case) -> tuple[str, str]:
        """The address that the ledger knows, and the one of the profile."""
        return case.email, case.new_email if self._moved else case.email

    def seen(self, case: Case) -> Seen:
        """What became of a case."""
        old, now = self.addresses(case)
        return Seen(
            sent=(self._is_sent(old), self._is_sent(now)),
            member=(self._members_then.get(old), self._members_then.get(now)),
            row=(self._rows_then.get(old), self._rows_then.get(now)),
            counted=Counter(
                row["effect"]
                for row in self._outcomes
                if row["email"] in {old, now} and row["effect"] != "unchanged"
            ),
        )

    def _is_sent(self, email: str) -> bool:
        return email in self._sent or hash_of(email) in self._sent


def _rows(life: Life) -> dict[str, Any]:
    return {email: (row["state"], row["reason"], tuple(row["tags"])) for email, row in life.ledger().items()}


def expected_of(walk: Walk, case: Case) -> Seen:
    """What the words of a cell say."""
    (old, now), words = walk.addresses(case), set(case.words)
    there = next(iter(words - LEAVING), "")
    left = next(iter(words & LEAVING), "renamed" if there == "renamed" else "nothing")
    member, row = _after_leaving(walk, case, left)
    if there:
        member_now, row_now = _after_joining(walk, case, now, there)
        member, row = (member_now, row_now) if old == now else (member, row)
    else:
        member_now, row_now = member, row
    sent = left in {"untagged", "taken out", "renamed"}, there in SENT
    return Seen(
        sent=(any(sent), any(sent)) if old == now else sent,
        member=(member, member_now),
        row=(row, row_now),
        counted=counts_of(case.words, but="unchanged"),
    )


def _after_leaving(walk: Walk, case: Case, word: str) -> tuple[Any, Any]:
    member, row = walk.members.get(case.email), walk.rows.get(case.email)
    forgives = case.status == "came back" and case.state != "rejected for now"
    reason = "" if forgives or not row else row[1]
    if word == "renamed":
        return None, None
    if word == "untagged":
        kept = row[0] in {"rejected", "suppressed"}
        return member and (member[0], member[1] - {"A"}), (row[0], reason, ()) if kept else None
    if word == "taken out":
        return member and ("archived", member[1]), ("archived", reason, row[2])
    if word == "noted":
        return member, ("member" if row[0] == "archived" else row[0], "", row[2])
    return member, row


def _after_joining(walk: Walk, case: Case, email: str, word: str) -> tuple[Any, Any]:
    member, row = walk.members.get(email), walk.rows.get(email)
    if word in SENT - {"refused"}:
        had = walk.members.get(case.email if word == "renamed" else email)
        return ("subscribed", (had[1] if had else set()) | {"A"}), ("member", "", ("A",))
    if word in {"refused", "suppressed"}:
        return member, ("suppressed", _reason(case), row[2] if row else ())
    return member, row


def _reason(case: Case) -> str:
    """Return what forbids to send somebody: their status, or what is remembered of them."""
    shown = case.status in {*HELD_BACK}
    remembered = {"opted out": "unsubscribed", "never opted out": "unsubscribed"}
    return case.status if shown else remembered.get(case.state, "forgotten")


def counts_of(words: Sequence[str], *, but: str = "") -> Counter[str]:
    """Return under which names of the report a cell counts."""
    rows = page("ledger").table("What the words mean", *LEGEND)
    names = {plain(row[0]): spans(row[4]) for row in rows}
    return Counter(name for word in words for name in names[word] if name != but)


@pytest.mark.parametrize("delivery", Delivery)
@pytest.mark.parametrize("situation", SITUATIONS, ids=str)
def test_the_table(life: Life, situation: Situation, delivery: Delivery) -> None:
    """Each cell is as the page says: what is sent, what the audience and the ledger have then, what is counted."""
    walk = Walk(life, situation, delivery)
    expected = {str(case): expected_of(walk, case) for case in walk.cases}
    assert {str(case): walk.seen(case) for case in walk.cases} == expected
    counted = sum((counts_of(case.words) for case in walk.cases), Counter(created=int(walk.rows_read == 1)))
    assert walk.counts == Counter(rows_read=walk.rows_read) + counted


@pytest.mark.parametrize("situation", SITUATIONS, ids=str)
def test_every_case_is_in_the_table(situation: Situation) -> None:
    """No state, and no status, is left out, and none is there twice."""
    assert sorted(case.number for case in situation.cases) == [case.number for case in EVERYBODY]
