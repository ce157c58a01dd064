"""A ledger of which a single bit is another is not believed, unless that bit means nothing."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.state import ledger
from airflow_mailchimp_export.state.ledger import LEDGER, LedgerMark
from airflow_mailchimp_export.state.run import ExportFolder

MARK = LedgerMark("export", "a1b2c3d4e5", 3, "run1", tags=("A",))

ROWS = pa.table(
    {
        "subscriber_hash": [hashlib.md5(bytes([number])).hexdigest() for number in range(60)],
        "email": [f"p{number:06d}@mail.eu" for number in range(60)],
        "state": ["member"] * 60,
        "fingerprint": pa.array([number * 7919**4 % 2**63 for number in range(60)], pa.uint64()),
        "tags": [["A"]] * 60,
    }
)


@pytest.mark.parametrize("bit", [0x01, 0x10])
def test_one_bit(tmp_path: Path, bit: int) -> None:
    """Wherever it is, the ledger is refused, or says and holds what was written."""
    folder = ExportFolder(tmp_path)
    ledger.write(folder, MARK, ROWS.to_reader())
    content = (tmp_path / LEDGER).read_bytes()
    refused = 0
    for place in range(bit % 7, len(content), 7):
        damaged = bytearray(content)
        damaged[place] ^= bit
        (tmp_path / LEDGER).write_bytes(damaged)
        try:
            with ledger.opened(folder) as known:
                assert known
                assert known.mark == MARK
                assert pq.read_table(known.path).equals(ROWS), place
        except ConfigError:
            refused += 1
    assert refused > len(content) // 20


def test_rows_that_were_written_are_all_there(tmp_path: Path) -> None:
    """A ledger whose footer tells of fewer rows than were written is refused."""
    folder = ExportFolder(tmp_path)
    ledger.write(folder, MARK, ROWS.to_reader())
    seal = pq.ParquetFile(tmp_path / LEDGER).metadata.metadata
    with pq.ParquetWriter(tmp_path / LEDGER, ROWS.schema.with_metadata(seal)) as writer:
        writer.write_table(ROWS.slice(0, 59))
    with pytest.raises(ConfigError, match="is damaged"), ledger.opened(folder):
        pass
