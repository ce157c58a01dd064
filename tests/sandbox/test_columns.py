"""The index by status, against a plain scan."""

from __future__ import annotations

from random import Random

from airflow_mailchimp_export.sandbox.columns import LISTED, Column, Status


def test_like_a_scan() -> None:
    """Counts and pages are those of a plain scan, whatever was put in and taken out before."""
    chance = Random(5)
    column, plain = Column(), [0] * 20_000
    for _ in range(60_000):
        seq, code = chance.randrange(len(plain)), chance.choice([0, *Status])
        column.put(seq, code)
        plain[seq] = code
    for wanted in (LISTED, frozenset(Status), frozenset({Status.CLEANED}), frozenset[Status]()):
        expected = [seq for seq, code in enumerate(plain) if code in wanted]
        assert column.count(wanted) == len(expected)
        assert column.select(wanted) == expected
        for offset in (0, 1, 999, len(expected), 30_000):
            assert column.select(wanted, offset, 1000) == expected[offset : offset + 1000]


def test_membership() -> None:
    """A place is in the column if it was given a status, and has not lost it."""
    column = Column()
    column.put(3, Status.PENDING)
    assert [seq for seq in (0, 3, 9999) if seq in column] == [3]
    column.put(3, 0)
    assert 3 not in column
