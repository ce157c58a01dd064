"""Profiles to measure with: the same at every run, on every machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

SEED = 20_260_101
BLOCK_ROWS = 100_000
DOMAINS = ("inkwell.invalid", "Post-Haste.invalid", "quill-and-paper.invalid", "carrier.pigeon.invalid")
FIRST_NAMES = ("Ada", "Zoë", "Łukasz", "Ayşe", "Søren", "José", "Мария", "佳子", "Grace", "Anne-Marie")
LAST_NAMES = ("Lovelace", "O'Brien", "Müller", "Nguyễn", "García", "Иванова", "山田", "Hopper", "de la Cruz")
DAYS_BEFORE_2010 = 40 * 365

SCHEMA = pa.schema(
    [
        ("email", pa.string()),
        ("first_name", pa.string()),
        ("last_name", pa.string()),
        ("birthday", pa.date32()),
    ]
)
FIELD_MAP = {"EMAIL": "email", "FNAME": "first_name", "LNAME": "last_name", "BIRTHDAY": "birthday"}


def write_profiles(path: Path, profiles: int) -> None:
    """Write so many profiles, each of another person, as Parquet."""
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        for block in blocks(profiles):
            writer.write_batch(block)


def write_later_profiles(path: Path, profiles: int) -> None:
    """Write them as they are a day later: of each hundred one is gone, and another has a new name."""
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        for block in blocks(profiles):
            # The size of a block is a multiple of a hundred, so a row is of the same kind wherever its block begins.
            kinds = np.arange(block.num_rows) % 100
            renamed = pc.if_else(pa.array(kinds == 1), "Renamed", block.column("first_name"))
            later = block.set_column(1, SCHEMA.field("first_name"), renamed)
            writer.write_batch(later.filter(pa.array(kinds != 0)))


def write_upheaval(path: Path, profiles: int, kind: str) -> None:
    """Write profiles that all have a new name, or nobody's, or those of as many others whom Mailchimp refuses."""
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        for block in blocks(0 if kind == "nobody" else profiles):
            if kind == "later":
                new = pc.binary_join_element_wise(block.column("first_name"), "II", " ")
                writer.write_batch(block.set_column(1, SCHEMA.field("first_name"), new))
            else:
                taken = pc.replace_substring_regex(block.column("email"), "@.*", f"@{REFUSED_DOMAIN}")
                writer.write_batch(block.set_column(0, SCHEMA.field("email"), taken))


REFUSED_DOMAIN = "example.com"
"""Whose addresses look fake to Mailchimp."""


def write_long_profiles(path: Path, profiles: int, kind: str) -> None:
    """Write profiles whose last names are short, long, or one long text that is repeated."""
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        for block in blocks(profiles):
            for start in range(0, block.num_rows, LONG_BLOCK):
                part = block.slice(start, LONG_BLOCK)
                names = pa.array(
                    [LAST_NAMES_OF[kind](start + row) for row in range(part.num_rows)], pa.string()
                )
                writer.write_batch(part.set_column(2, SCHEMA.field("last_name"), names))


LONG_BLOCK = 20_000

LONG_TEXT = 20_000
"""Bytes of a long text."""

LAST_NAMES_OF: Mapping[str, Callable[[int], str]] = {
    "short": lambda row: f"Lovelace {row}",
    "long": lambda row: f"{row} ".ljust(10, "x") * (LONG_TEXT // 10),
    "repeated": lambda row: "x" * LONG_TEXT,
}


def blocks(profiles: int) -> Iterator[pa.RecordBatch]:
    """Make profiles, block by block."""
    draws = np.random.default_rng(SEED)
    for start in range(0, profiles, BLOCK_ROWS):
        rows = min(BLOCK_ROWS, profiles - start)
        columns = [
            _addresses(draws, start, rows),
            _picked(draws, FIRST_NAMES, rows),
            _picked(draws, LAST_NAMES, rows),
            pa.array(draws.integers(-DAYS_BEFORE_2010 // 2, DAYS_BEFORE_2010, rows), pa.int32()).cast(
                pa.date32()
            ),
        ]
        yield pa.record_batch(columns, schema=SCHEMA)


def _addresses(draws: np.random.Generator, start: int, rows: int) -> pa.Array:
    """Every tenth begins with a capital letter; some domains have them too."""
    domains = draws.integers(0, len(DOMAINS), rows)
    capital = draws.random(rows) < 0.1
    return pa.array(
        f"{'P' if capital[row] else 'p'}erson.{start + row:08d}@{DOMAINS[domains[row]]}"
        for row in range(rows)
    )


def _picked(draws: np.random.Generator, words: tuple[str, ...], rows: int) -> pa.Array:
    return pa.array(words).take(pa.array(draws.integers(0, len(words), rows)))
