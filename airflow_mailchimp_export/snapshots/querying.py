"""A rule in SQL, run by DuckDB over profiles of any source, in bounded memory.

DuckDB reads Parquet, and of it only what a rule needs: plain files on this machine's disks as they are, all else in a
copy that the package's own sources fill, for a rule may name ``profiles`` more than once, and a stream ends.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa

from airflow_mailchimp_export.database import connect, quoted
from airflow_mailchimp_export.errors import ConfigError, SourceError
from airflow_mailchimp_export.machine_limits import WorkingMemory, working
from airflow_mailchimp_export.masking import masked
from airflow_mailchimp_export.sources.files import FileSource
from airflow_mailchimp_export.sources.source import Source
from airflow_mailchimp_export.state.parquet import sealed_writer
from airflow_mailchimp_export.state.scratch import scratch_dir, writable

BLOCK_ROWS: Final = 20_000
"""Rows of an answer that are written at a time."""

_WRONG_RULE: Final = (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException)
"""What is found out before any value is read, so that what DuckDB says quotes the rule alone."""

_QUOTED_RULE: Final = re.compile(r"\n+LINE \d+:.*", re.DOTALL)


@contextmanager
def answering(query: str, source: Source) -> Iterator[pa.RecordBatchReader]:
    """Lend what reads the answer to a query over ``profiles``.

    :raises ConfigError: the query is no single SELECT, or names what is not there.
    :raises SourceError: a value is not what the query takes it for, or the profiles cannot be read.
    """
    with (
        scratch_dir() as folder,
        closing(connect(folder / "rule.duckdb")) as connection,
        _telling(source.segment),
    ):
        # Of a person with many rows the first one counts, in whatever refresh.
        connection.execute("SET preserve_insertion_order = true")
        _declare(connection, source.schema)
        _check_rule(connection, query, source.segment)
        plain = source.plain_parquet if isinstance(source, FileSource) else ()
        _provide(connection, plain or [_staged(source, folder)], source.schema.names)
        plain_schema, batches = WorkingMemory(connection).reader(query, {}, BLOCK_ROWS)
        schema = pa.schema([_in_its_zone(field, source.schema) for field in plain_schema])
        yield pa.RecordBatchReader.from_batches(schema, (batch.cast(schema) for batch in batches))


def _declare(connection: duckdb.DuckDBPyConnection, schema: pa.Schema) -> None:
    """Let a rule be checked against the profiles' columns, of which no value is there yet."""
    with working():
        connection.register("incoming", schema.empty_table())
        connection.execute("CREATE TABLE profiles AS FROM incoming")
        connection.unregister("incoming")


def _provide(connection: duckdb.DuckDBPyConnection, files: Sequence[Path], columns: Sequence[str]) -> None:
    names, selected = ", ".join(map(quoted, files)), ", ".join(map(_identifier, columns))
    with working():
        connection.execute("DROP TABLE profiles")
        connection.execute(
            f"CREATE VIEW profiles AS SELECT {selected} "
            f"FROM read_parquet([{names}], union_by_name = true, hive_partitioning = false)"
        )


def _staged(source: Source, folder: Path) -> Path:
    """Write the profiles into a file that can be read again and again."""
    file = folder / "profiles.parquet"
    with writable(), sealed_writer(file, source.schema) as writer:
        for batch in source.batches():
            writer.write_batch(batch)
    return file


def _check_rule(connection: duckdb.DuckDBPyConnection, query: str, segment: str) -> None:
    """Find out what is wrong with a rule before any profile is read."""
    statements = connection.extract_statements(query)
    if [statement.type for statement in statements] != [duckdb.StatementType.SELECT]:
        raise ConfigError(
            f"Segment {segment!r}: its rule is not one SELECT",
            "Write one query that selects its profiles, and nothing else",
        )
    connection.sql(query)


@contextmanager
def _telling(segment: str) -> Iterator[None]:
    """Tell what is wrong with a rule; never a value of a profile."""
    try:
        yield
    except _WRONG_RULE as error:
        words = masked(_QUOTED_RULE.sub("", str(error)).strip())
        raise ConfigError(
            f"Segment {segment!r}: DuckDB does not understand its rule. {words}",
            "Correct the segment's rule in the configuration, or the columns of the profiles",
        ) from None
    except (duckdb.Error, pa.ArrowException) as error:
        raise SourceError(
            f"Segment {segment!r}: DuckDB cannot apply its rule to the values of the profiles ({_kind_of(error)})",
            "Cast what may not fit with TRY_CAST, such as TRY_CAST(spent AS DOUBLE) >= 1000: each column of CSV and "
            "JSON lines is text. Where nothing is to be cast, a file may be damaged: write it again",
        ) from None


def _kind_of(error: Exception) -> str:
    """Name what went wrong, as DuckDB calls it, also where Arrow hands it on."""
    told = re.match(r"([A-Z][A-Za-z ]+ Error):", str(error))
    return told[1] if told else type(error).__name__


def _in_its_zone(field: pa.Field, profiles: pa.Schema) -> pa.Field:
    """Return a column of moments in the zone that it has in the profiles: DuckDB knows but one, and days differ."""
    if not (pa.types.is_timestamp(field.type) and field.type.tz and field.name in profiles.names):
        return field
    zone = getattr(profiles.field(field.name).type, "tz", None)
    return field.with_type(pa.timestamp(field.type.unit, zone)) if zone else field


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
