"""Profile ids stay the same whatever the type in which a source gives them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_mailchimp_export.errors import SourceError
from tests.kit.life import Life

LONGEST = 2**53 - 1


def segment(email: str, ids: pa.Array) -> pa.Table:
    """One person with an id, and another one who may have none."""
    return pa.table({"email": [email, "bob@mail.eu"], "id": ids})


def ids_of(life: Life) -> dict[str, Any]:
    """The id of everybody in the ledger."""
    return {email: row["profile_id"] for email, row in life.ledger().items()}


@pytest.mark.parametrize("number", [0, 12345, 10**15, LONGEST])
def test_floats_are_the_integers(life: Life, number: int) -> None:
    """Who is an integer one day and a float the next is the same person, and is renamed."""
    life.options = {"profile_id": "id"}
    life.run({"S": segment("ada@old.eu", pa.array([number, 7], pa.int64()))})
    life.run({"S": segment("ada@new.eu", pa.array([number, None], pa.float64()))})
    assert ids_of(life)["ada@new.eu"] == str(number)
    assert set(life.audience()) == {"ada@new.eu", "bob@mail.eu"}


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (pa.array([16777215.0, 0.5], pa.float32()), ["16777215", "0.5"]),
        (pa.array([7.0, float("nan")], pa.float64()), ["7", None]),
        (pa.array([-0.0, -7.0], pa.float64()), ["0", "-7"]),
        (pa.array([2**63 - 1, None], pa.int64()), ["9223372036854775807", None]),
        (pa.array(["007", "12345e6789"]), ["007", "12345e6789"]),
    ],
    ids=["float", "nan", "negative", "integer", "text"],
)
def test_ids(life: Life, ids: pa.Array, expected: list[str | None]) -> None:
    """Whole floats are spelled as integers, what is no number is no id, and text stays as it is."""
    life.run({"S": segment("ada@mail.eu", ids)}, profile_id="id")
    assert [ids_of(life)[email] for email in ("ada@mail.eu", "bob@mail.eu")] == expected


@pytest.mark.parametrize(
    "ids",
    [
        pa.array([2.0**53, None], pa.float64()),
        pa.array([-(2.0**53), None], pa.float64()),
        pa.array([2.0**24, None], pa.float32()),
        pa.array(["1.2345678901234568e+18", None]),
    ],
    ids=["double", "negative", "float", "text"],
)
def test_ids_that_lost_digits(life: Life, ids: pa.Array) -> None:
    """Ids that a float cannot hold are refused with the remedy, before anything is sent."""
    with pytest.raises(SourceError, match=r"'S': column 'id' .* Give the ids as text or as integers"):
        life.run({"S": segment("ada@mail.eu", ids)}, profile_id="id")
    assert life.carriers() == []


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """A folder for a segment."""
    folder = tmp_path / "lake"
    folder.mkdir()
    return folder


def test_files_of_several_types(life: Life, lake: Path) -> None:
    """Ids that are integers in one file and floats in the other are spelled alike."""
    pq.write_table(pa.table({"email": ["ada@mail.eu"], "id": [10**15]}), lake / "1.parquet")
    pq.write_table(pa.table({"email": ["bob@mail.eu"], "id": [2e15]}), lake / "2.parquet")
    life.run({"S": str(lake)}, profile_id="id")
    assert ids_of(life) == {"ada@mail.eu": "1000000000000000", "bob@mail.eu": "2000000000000000"}


def test_files_of_several_types_that_lost_digits(life: Life, lake: Path) -> None:
    """An id that was a float too long is refused beside a file of integers as well."""
    pq.write_table(pa.table({"email": ["ada@mail.eu"], "id": [10**17]}), lake / "1.parquet")
    pq.write_table(pa.table({"email": ["bob@mail.eu"], "id": [1e17]}), lake / "2.parquet")
    with pytest.raises(SourceError, match=r"'S': column 'id' .* Give the ids as text or as integers"):
        life.run({"S": str(lake)}, profile_id="id")


def test_no_ids(life: Life) -> None:
    """A column that text cannot tell is told by name."""
    ids = pa.array([{"a": 1}, None])
    with pytest.raises(SourceError, match=r"Each segment: column 'id' holds struct.* which is no profile id"):
        life.run({"S": segment("ada@mail.eu", ids)}, profile_id="id")
