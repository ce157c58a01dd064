"""What Mailchimp answered, kept chunk by chunk: on disk before the chunk counts as done."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from airflow_mailchimp_export.model import Outcome
from airflow_mailchimp_export.state.run import RunFolder

SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("email", "effect", "status", "reason", "field", "words")),
        ("chunk", pa.int32()),
    ]
)

RENAMES = "renames"
"""The key of the answers to changed addresses."""

RENAMES_CHUNK = -1
"""Stands where the number of a chunk stands for others."""

Answer = tuple[int | None, Sequence[Outcome]]
"""The outcomes of one chunk; its number only where people leave by it, for they may leave by several."""

_REFUSED = "refused_chunks"

_COLUMNS = [attrgetter(name) for name in SCHEMA.names[:-1]]


def keep(folder: RunFolder, key: str, answers: Iterable[Answer], *, refused: Sequence[int] = ()) -> int:
    """Write the answers to one chunk, or to all chunks of one batch; return how many people they name.

    The answers may be a stream: nothing is kept when it breaks.

    :param refused: the numbers of the chunks that a batch could not deliver; looked at behind the last answer.
    """
    count = 0
    with folder.writing(folder.answer_name(key)) as draft, pq.ParquetWriter(draft, SCHEMA) as writer:
        for chunk, outcomes in answers:
            writer.write_batch(_to_batch(chunk, outcomes))
            count += len(outcomes)
        writer.add_key_value_metadata({_REFUSED: orjson.dumps(refused).decode()})
    return count


def refused_chunks(folder: RunFolder) -> frozenset[int]:
    """Return the numbers of all chunks that batches could not deliver."""
    refused: set[int] = set()
    for name in folder.answers():
        with folder.reading(name) as path:
            metadata = pq.read_metadata(path).metadata or {}
        refused.update(orjson.loads(metadata.get(_REFUSED.encode(), b"[]")))
    return frozenset(refused)


def _to_batch(chunk: int | None, outcomes: Sequence[Outcome]) -> pa.RecordBatch:
    columns = [pa.array(map(column, outcomes), pa.string()) for column in _COLUMNS]
    numbers = pa.array([chunk] * len(outcomes), pa.int32())
    return pa.record_batch([*columns, numbers], schema=SCHEMA)


def chunk_key(number: int) -> str:
    """Return the key of the answers to one chunk."""
    return f"chunk-{number:07d}"


def opted_out_key(number: int) -> str:
    """Return the key of those who were left out of a chunk's operation."""
    return f"spared-{number:07d}"


def batch_key(batch_id: str) -> str:
    """Return the key of the answers to one batch."""
    return f"batch-{batch_id}"
