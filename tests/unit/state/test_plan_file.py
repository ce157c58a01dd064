"""The plan as a file, and the chunks in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pyarrow.parquet as pq
import pytest

from airflow_mailchimp_export.model import (
    MAX_CHUNK_MEMBERS,
    Chunk,
    Member,
    MemberStatus,
    Reason,
    Reject,
    RemovalChunk,
    RemovalKind,
)
from airflow_mailchimp_export.rules import ARCHIVE, UNTAG
from airflow_mailchimp_export.state.plan_file import (
    REMOVAL_BLOCK,
    SCHEMA,
    Membership,
    PlanWriter,
    Removal,
    Rename,
    SetAside,
    read_chunks,
    read_removal_chunks,
    read_renames,
)
from tests.kit.people import hash_of, member
from tests.kit.plans import planned_rows

MEMBERSHIPS = (Membership(("A",), ("a",)), Membership(("A", "B"), ("a", "b")))


def persons(count: int, *, start: int = 0) -> list[str]:
    """Make so many addresses."""
    return [f"p{number:05d}@mail.eu" for number in range(start, start + count)]


class TestNumbers:
    """Which chunk a member travels in."""

    def test_a_chunk_has_at_most_500_members(self, tmp_path: Path) -> None:
        """Chunks are numbered from 0, all full but the last, in order over all blocks."""
        people = persons(1201)
        with PlanWriter(tmp_path / "plan.parquet") as writer:
            for start in range(0, 1201, 333):
                part = people[start : start + 333]
                writer.write(*planned_rows(part, [member(email) for email in part]), MEMBERSHIPS)
        found = list(read_chunks(tmp_path / "plan.parquet"))
        assert [(one.number, len(one.members)) for one in found] == [(0, 500), (1, 500), (2, 201)]
        assert [one.email for each in found for one in each.members] == people
        assert (writer.planned, writer.upsert_chunks, writer.rejected) == (1201, 3, 0)

    def test_rejects_leave_no_holes(self, tmp_path: Path) -> None:
        """Profiles that cannot be sent take no place in a chunk, wherever they stand."""
        people = persons(1500)
        members = [
            Reject(Reason.REQUIRED_FIELD, "FNAME") if number % 3 == 0 else member(email)
            for number, email in enumerate(people)
        ]
        with PlanWriter(tmp_path / "plan.parquet") as writer:
            writer.write(*planned_rows(people, members), MEMBERSHIPS)
        found = list(read_chunks(tmp_path / "plan.parquet"))
        assert [len(one.members) for one in found] == [MAX_CHUNK_MEMBERS] * 2
        assert (writer.planned, writer.upsert_chunks, writer.rejected) == (1000, 2, 500)

    def test_a_plan_without_members_has_no_chunk(self, tmp_path: Path) -> None:
        """Where everybody is rejected, there is nothing to send."""
        with PlanWriter(tmp_path / "plan.parquet") as writer:
            rows = planned_rows(["a@mail.eu"], [Reject(Reason.INVALID_FIELD, "AGE")])
            writer.write(*rows, MEMBERSHIPS)
        assert list(read_chunks(tmp_path / "plan.parquet")) == []
        assert writer.upsert_chunks == 0


class TestPlanFile:
    """``plan.parquet``."""

    def test_members_come_back_as_they_were(self, tmp_path: Path) -> None:
        """Key, address, status and the very bytes of the payload survive the file."""
        members = [
            member("ada@mail.eu", MemberStatus.PENDING),
            Member(
                hash_of("zoë@mail.eu"), "zoë@mail.eu", MemberStatus.TRANSACTIONAL, '{"x":"ﬃ\\u0000"}'.encode()
            ),
        ]
        with PlanWriter(tmp_path / "plan.parquet") as writer:
            statuses = [one.status.value for one in members]
            rows = planned_rows([one.email for one in members], members, status=statuses)
            writer.write(*rows, MEMBERSHIPS)
        assert list(read_chunks(tmp_path / "plan.parquet")) == [Chunk(0, tuple(members))]

    def test_each_profile_has_a_row(self, tmp_path: Path) -> None:
        """Who is sent, who was rejected while mapping, and who was set aside before: each has a row."""
        aside = SetAside(
            effects=["rejected", "suppressed"],
            reasons=["missing_address", "cleaned"],
            fields=["EMAIL", ""],
            hashes=["", hash_of("cyd@mail.eu")],
            emails=["", "cyd@mail.eu"],
            segments=[["A"], ["A", "B"]],
            fingerprints=[None, 77],
            profile_ids=[None, "7"],
            sources=["row 8", "row 9"],
        )
        people = ["ada@mail.eu", "bob@mail.eu"]
        with PlanWriter(tmp_path / "plan.parquet") as writer:
            writer.set_aside(aside)
            rows = planned_rows(
                people,
                [member(people[0]), Reject(Reason.INVALID_FIELD, "AGE")],
                fingerprint=[2**64 - 1, 2**64 - 2],
                profile_id=[f"id {email}" for email in people],
                is_new=[True, False],
            )
            writer.write(*rows, MEMBERSHIPS)
        table = pq.read_table(tmp_path / "plan.parquet")
        assert table.schema.names == SCHEMA.names
        rows = [
            {name: value for name, value in row.items() if value is not None and name != "payload"}
            for row in table.to_pylist()
        ]
        ada, bob, cyd = (hash_of(f"{name}@mail.eu") for name in ("ada", "bob", "cyd"))
        assert rows == [
            {
                **{"subscriber_hash": "", "email": "", "segments": ["A"], "source": "row 8"},
                **{"effect": "rejected", "reason": "missing_address", "field": "EMAIL"},
            },
            {
                **{"subscriber_hash": cyd, "email": "cyd@mail.eu", "profile_id": "7", "fingerprint": 77},
                **{"segments": ["A", "B"], "source": "row 9"},
                **{"effect": "suppressed", "reason": "cleaned", "field": ""},
            },
            {
                **{"chunk": 0, "change": "upsert", "subscriber_hash": ada, "email": "ada@mail.eu"},
                **{"status": "subscribed", "profile_id": "id ada@mail.eu", "fingerprint": 2**64 - 1},
                **{"tags": ["a"], "segments": ["A"], "source": "row 1", "is_new": True},
            },
            {
                **{"subscriber_hash": bob, "email": "bob@mail.eu"},
                **{"status": "subscribed", "profile_id": "id bob@mail.eu", "fingerprint": 2**64 - 2},
                **{"tags": ["a", "b"], "segments": ["A", "B"], "source": "row 2", "is_new": False},
                **{"effect": "rejected", "reason": "invalid_field", "field": "AGE"},
            },
        ]
        assert writer.rejected == 2

    def test_a_file_that_was_not_completed_is_none(self, tmp_path: Path) -> None:
        """The file is closed when writing fails, and the failure comes through."""
        with pytest.raises(ZeroDivisionError), PlanWriter(tmp_path / "plan.parquet"):
            raise ZeroDivisionError
        assert list(read_chunks(tmp_path / "plan.parquet")) == []


def leavers(tag: str, *people: str, kind: RemovalKind = UNTAG) -> list[Removal]:
    """People who leave in one way."""
    return [Removal(kind.name, tag, hash_of(email), email, None) for email in people]


class Leaver(Removal):
    """A removal that knows how many of its kind there are, and were at most."""

    held: ClassVar[int] = 0
    most: ClassVar[int] = 0

    def __init__(self, *values: Any) -> None:
        super().__init__(*values)
        Leaver.held += 1
        Leaver.most = max(Leaver.most, Leaver.held)

    def __del__(self) -> None:
        """Be gone."""
        Leaver.held -= 1


class TestLeaving:
    """Who leaves, and whose address changed."""

    def test_people_leave_tag_by_tag(self, tmp_path: Path) -> None:
        """Chunks of leavers have one tag and at most 500 people each, and are numbered behind the members'."""
        people = persons(1001)
        with PlanWriter(tmp_path / "plan.parquet") as writer:
            rows = planned_rows(people[:501], [member(email) for email in people[:501]])
            writer.write(*rows, MEMBERSHIPS)
            writer.remove([*leavers("a", *people), *leavers("b", people[0])])
        found = list(read_removal_chunks(tmp_path / "plan.parquet"))
        assert [(one.number, one.tag, len(one.emails)) for one in found] == [
            (2, "a", 500),
            (3, "a", 500),
            (4, "a", 1),
            (5, "b", 1),
        ]
        assert {one.kind for one in found} == {UNTAG}
        assert [email for one in found[:3] for email in one.emails] == people
        assert (writer.upsert_chunks, writer.removal_chunks) == (2, 4)
        assert [one.number for one in read_chunks(tmp_path / "plan.parquet")] == [0, 1]

    def test_removals_are_streamed(self, tmp_path: Path) -> None:
        """However many lose one tag, no more than a block of them is held, and they share chunks of 500."""
        stream = (Leaver("untag", "a", hash_of(email), email, None) for email in persons(20_001))
        with PlanWriter(tmp_path / "plan.parquet") as writer:
            writer.remove(stream)
        assert (Leaver.held, Leaver.most) == (0, REMOVAL_BLOCK)
        found = list(read_removal_chunks(tmp_path / "plan.parquet"))
        assert [len(one.emails) for one in found] == [500] * 40 + [1]
        assert [email for one in found for email in one.emails] == persons(20_001)

    def test_each_is_archived_alone(self, tmp_path: Path) -> None:
        """Who is archived has a chunk of their own, for Mailchimp archives one by one."""
        with PlanWriter(tmp_path / "plan.parquet") as writer:
            writer.remove(leavers("", "a@mail.eu", "b@mail.eu", kind=ARCHIVE))
        assert list(read_removal_chunks(tmp_path / "plan.parquet")) == [
            RemovalChunk(0, ARCHIVE, "", ("a@mail.eu",)),
            RemovalChunk(1, ARCHIVE, "", ("b@mail.eu",)),
        ]

    def test_nobody_leaves(self, tmp_path: Path) -> None:
        """Without leavers there is no chunk of them."""
        with PlanWriter(tmp_path / "plan.parquet") as writer:
            writer.remove([])
        assert list(read_removal_chunks(tmp_path / "plan.parquet")) == []
        assert writer.removal_chunks == 0

    def test_changed_addresses_come_back(self, tmp_path: Path) -> None:
        """Old key, old address, new address and status survive the file, beside everything else in it."""
        rename = Rename(hash_of("old@mail.eu"), "old@mail.eu", "new@mail.eu", "subscribed")
        with PlanWriter(tmp_path / "plan.parquet") as writer:
            writer.rename([rename])
            writer.write(*planned_rows(["new@mail.eu"], [member("new@mail.eu")]), MEMBERSHIPS)
            writer.remove(leavers("a", "old@mail.eu"))
        assert read_renames(tmp_path / "plan.parquet") == [rename]
        assert len(list(read_chunks(tmp_path / "plan.parquet"))) == 1
