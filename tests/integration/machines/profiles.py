"""The people of these tests: by region, each region the segment of an export."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

REGIONS = {"north": 3_000, "south": 1_500, "west": 1_500, "east": 1_200}
"""How many people each has."""

TAGS = {region: region.capitalize() for region in REGIONS}


def write_profiles(file: Path, *, names: Mapping[str, str]) -> None:
    """Write everybody.

    :param names: the last name of all people of a region.
    """
    people = [(region, number) for region, count in REGIONS.items() for number in range(count)]
    columns = {
        "region": [region for region, _ in people],
        "email": [address(region, number) for region, number in people],
        "first_name": [f"Çelik {number}" for _, number in people],
        "last_name": [names[region] for region, _ in people],
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), file)


def address(region: str, number: int) -> str:
    """Make the address of a person, by which the person is known again."""
    return f"{number}.{region}@brieftaube.eu"


def standing(*, names: Mapping[str, str]) -> dict[str, tuple[str, list[str], str]]:
    """Work out what the audience has to hold: everyone's status, tags and last name."""
    return {
        address(region, number): ("subscribed", [TAGS[region]], names[region])
        for region, count in REGIONS.items()
        for number in range(count)
    }
