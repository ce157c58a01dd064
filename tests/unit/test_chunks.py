"""The plan as a file, the chunks in it, and how many of them make a batch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_mailchimp_export.chunks import (
    MAX_BATCH_BYTES,
    MAX_BATCH_MEMBERS,
    SCHEMA,
    PlanWriter,
    packed,
    read_chunks,
)
from airflow_mailchimp_export.model import (
    MAX_CHUNK_MEMBERS,
    Chunk,
    Member,
    MemberStatus,
    Reason,
    Reject,
)
from airflow_mailchimp_export.plan import Membership, PlannedBlock, SetAside
from tests.unit.core_fakes import chunk, hash_of, member

MEMBERSHIPS = (Membership(("A",), ("a",)), Membership(("A", "B"), ("a", "b")))


def block(people: Sequence[str], statuses: Sequence[str] = ()) -> PlannedBlock:
    """Make a block of profiles; every other one is in both segments."""
    return PlannedBlock(
        hashes=[hash_of(email) for email in people],
        emails=list(people),
        statuses=list(statuses) or ["subscribed"] * len(people),
        memberships=[index % 2 for index in range(len(people))],
        sources=[f"row {index + 1}" for index in range(len(people))],
        columns=[list(people)],
    )


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
                writer.write(block(part), [member(email) for email in part], MEMBERSHIPS)
        found = list(read_chunks(tmp_path / "plan.parquet"))
        assert [(one.number, len(one.members)) for one in found] == [(0, 500), (1, 500), (2, 201)]
        assert [one.email for each in found for one in each.members] == people
        assert (writer.planned, writer.chunks, writer.rejected) == (1201, 3, 0)

    def test_rejects_leave_no_holes(self, tmp_path: Path) -> None:
        """Profiles that cannot be sent take no place in a chunk, wherever they stand."""
        people = persons(1500)
        members = [
            Reject(Reason.REQUIRED_FIELD, "FNAME") if number % 3 == 0 else member(email)
            for number, email in enumerate(people)
        ]
        with PlanWriter(tmp_path / "plan.parquet") as writer:
            writer.write(block(people), members, MEMBERSHIPS)
        found = list(read_chunks(tmp_path / "plan.parquet"))
        assert [len(one.members) for one in found] == [MAX_CHUNK_MEMBERS] * 2
        assert (writer.planned, writer.chunks, writer.rejected) == (1000, 2, 500)

    def test_a_plan_without_members_has_no_chunk(self, tmp_path: Path) -> None:
        """Where everybody is rejected, there is nothing to send."""
        with PlanWriter(tmp_path / "plan.parquet") as writer:
            writer.write(block(["a@mail.eu"]), [Reject(Reason.INVALID_FIELD, "AGE")], MEMBERSHIPS)
        assert list(read_chunks(tmp_path / "plan.parquet")) == []
        assert writer.chunks == 0


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
            writer.write(block([one.email for one in members], statuses), members, MEMBERSHIPS)
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
            sources=["row 8", "row 9"],
        )
        people = ["ada@mail.eu", "bob@mail.eu"]
        with PlanWriter(tmp_path / "plan.parquet") as writer:
            writer.set_aside(aside)
            writer.write(block(people), [member(people[0]), Reject(Reason.INVALID_FIELD, "AGE")], MEMBERSHIPS)
        table = pq.read_table(tmp_path / "plan.parquet")
        rows = [tuple(row.values()) for row in table.drop_columns("payload").to_pylist()]
        ada, bob, cyd = (hash_of(f"{name}@mail.eu") for name in ("ada", "bob", "cyd"))
        assert table.schema.names == SCHEMA.names
        assert rows == [
            (None, None, "", "", None, ["A"], "row 8", "rejected", "missing_address", "EMAIL"),
            (None, None, cyd, "cyd@mail.eu", None, ["A", "B"], "row 9", "suppressed", "cleaned", ""),
            (0, "upsert", ada, "ada@mail.eu", "subscribed", ["A"], "row 1", None, None, None),
            (
                None,
                None,
                bob,
                "bob@mail.eu",
                "subscribed",
                ["A", "B"],
                "row 2",
                "rejected",
                "invalid_field",
                "AGE",
            ),
        ]
        assert writer.rejected == 2

    def test_a_file_that_was_not_completed_is_none(self, tmp_path: Path) -> None:
        """The file is closed when writing fails, and the failure comes through."""
        with pytest.raises(ZeroDivisionError), PlanWriter(tmp_path / "plan.parquet"):
            raise ZeroDivisionError
        assert list(read_chunks(tmp_path / "plan.parquet")) == []


class TestPacking:
    """How many chunks make a batch."""

    def test_by_members(self) -> None:
        """A batch takes chunks up to so many members, and the next chunk goes into the next batch."""
        each = [chunk(number, *persons(500, start=number * 500)) for number in range(41)]
        sizes = [sum(len(one.members) for one in group) for group in packed(each)]
        assert sizes == [MAX_BATCH_MEMBERS, 500]

    def test_by_bytes(self) -> None:
        """A batch takes chunks up to so many bytes of members."""
        two = [
            Chunk(number, (member(f"p{number}@mail.eu", bulk=MAX_BATCH_BYTES // 3),)) for number in range(5)
        ]
        assert [[one.number for one in group] for group in packed(two)] == [[0, 1], [2, 3], [4]]

    def test_a_chunk_that_is_too_large_travels_alone(self) -> None:
        """What is too large by itself is sent all the same."""
        huge = Chunk(1, (member("huge@mail.eu", bulk=MAX_BATCH_BYTES),))
        each = [chunk(0, "a@mail.eu"), huge, chunk(2, "b@mail.eu")]
        assert [[one.number for one in group] for group in packed(each)] == [[0], [1], [2]]

    def test_nothing_makes_no_batch(self) -> None:
        """Without chunks there is no batch."""
        assert list(packed([])) == []

    @given(st.lists(st.tuples(st.integers(1, 500), st.integers(0, 4000)), max_size=60))
    def test_every_chunk_is_in_one_batch(self, shapes: list[tuple[int, int]]) -> None:
        """Whatever the chunks are like, each is in one batch, in order, and no batch is past its limits."""
        each = [
            Chunk(number, (member("p@mail.eu", bulk=bulk),) * size)
            for number, (size, bulk) in enumerate(shapes)
        ]
        groups = list(packed(each))
        assert [one for group in groups for one in group] == each
        for group in groups:
            members = [one for single in group for one in single.members]
            assert len(members) <= MAX_BATCH_MEMBERS
            assert len(group) == 1 or sum(len(one.payload) for one in members) <= MAX_BATCH_BYTES
