"""One segment, from its rule to its file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from airflow_mailchimp_export.settings.segments import Segment, SegmentSource
from airflow_mailchimp_export.snapshots.manifest import Snapshot
from airflow_mailchimp_export.snapshots.querying import answering
from airflow_mailchimp_export.snapshots.store import Snapshots
from airflow_mailchimp_export.sources.databases.result import ConnectionFactory
from airflow_mailchimp_export.sources.finding import PathFactory
from airflow_mailchimp_export.sources.opening import no_connection, open_source
from airflow_mailchimp_export.sources.source import Source
from airflow_mailchimp_export.state.parquet import sealed_writer


@dataclass(frozen=True, slots=True)
class Rule:
    """Who belongs to a segment.

    :param source: where profiles are.
    :param query: the query over ``profiles``, in DuckDB's SQL; empty where the segment is all that the source has.
    """

    key: str
    name: str
    source: SegmentSource
    query: str = ""


def build(
    rule: Rule,
    refresh: str,
    snapshots: Snapshots,
    *,
    path_factory: PathFactory,
    connection_factory: ConnectionFactory = no_connection,
) -> Snapshot:
    """Write the file of a segment, whole or not at all.

    :param refresh: the refresh that it is of.
    :param path_factory: makes a path of a URI and the id of an Airflow connection.
    :param connection_factory: opens the connection to a database of which an Airflow connection has the id.
    :raises SourceError: profiles cannot be read.
    :raises ConfigError: the rule is wrong, or the file cannot be written.
    """
    segment = Segment(rule.name, rule.name, rule.source)
    opened = open_source(segment, None, path_factory=path_factory, connection_factory=connection_factory)
    with (
        closing(opened) as source,
        snapshots.writing(refresh, rule.key) as draft,
    ):
        with _answer(rule, source) as (schema, batches):
            rows = _write(draft, schema, batches)
        return Snapshot(
            key=rule.key,
            name=rule.name,
            refresh=refresh,
            rows=rows,
            size=draft.stat().st_size,
            options=source.spelling.as_options(),
        )


@contextmanager
def _answer(rule: Rule, source: Source) -> Iterator[tuple[pa.Schema, Iterable[pa.RecordBatch]]]:
    if not rule.query:
        yield source.schema, source.batches()
        return
    with answering(rule.query, source) as reader:
        yield reader.schema, reader


def _write(draft: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> int:
    with sealed_writer(draft, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return writer.rows
