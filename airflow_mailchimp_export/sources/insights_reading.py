"""One reading of Customer Insights: members first, their profiles then, joined out of core.

The two are no snapshot: a refresh writes them side by side. Members are read first, so that whoever has no profile yet
is known, counted and told.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from airflow_mailchimp_export.customer_insights.catalog import read_catalog
from airflow_mailchimp_export.customer_insights.columns import (
    ID,
    arrow_type,
    batch_schema,
    find_columns,
    own_columns,
)
from airflow_mailchimp_export.customer_insights.memberships import (
    customer_of,
    membership_pages,
    segments_of,
)
from airflow_mailchimp_export.customer_insights.pages import Row
from airflow_mailchimp_export.customer_insights.profiles import (
    all_profiles,
    count_profiles,
    is_scan_cheaper,
    profiles_of,
)
from airflow_mailchimp_export.customer_insights.reader import Reader
from airflow_mailchimp_export.customer_insights.tables import (
    CUSTOMER_ID,
    MEMBERSHIP,
    PROFILE,
    SEGMENTS,
    Table,
    read_table,
    with_dates,
)
from airflow_mailchimp_export.database import Database
from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.settings.insights_segments import ProfileRead
from airflow_mailchimp_export.sources.blocks import regrouped
from airflow_mailchimp_export.sources.insights_checks import Wanted, check_members, check_missing

log = logging.getLogger(__name__)

ASKED_AGAIN: Final = 4_000
"""Members at most who are asked for by id where a reading of all profiles did not have them: a page may lose a row
while rows are written."""

_MOST_OTHERS: Final = 10_000
"""Names of other segments that are kept, to tell which of them was meant."""

_IDS_AT_A_TIME: Final = 5_000


class Reading:
    """Knows the tables of an organisation, and reads segments of it.

    :param names: the wanted columns of profiles, each once; ``None`` for all.
    :ivar names: those that are read.
    :raises ConfigError: a table or column is not there.
    """

    def __init__(self, client: Reader, names: Sequence[str] | None) -> None:
        self._client = client
        self._memberships = _table(client, MEMBERSHIP, CUSTOMER_ID, SEGMENTS)
        self._profiles = _table(client, PROFILE, CUSTOMER_ID)
        self.names = own_columns(self._profiles) if names is None else names
        self.columns = with_dates(client, self._profiles, find_columns(self._profiles, self.names))

    def write(self, wanted: Sequence[Wanted], folder: Path) -> list[Path]:
        """Read segments, and write the profiles of each into a file, in the order of their ids.

        :raises SourceError: something is not read to its end, or too many members have no profile.
        """
        with Database(folder, "sources/insights.sql") as database:
            database.run("create")
            others = self._read_members(database, wanted)
            counts = dict(database.rows("counts"))
            check_members(wanted, counts, read_catalog(self._client), others)
            self._read_profiles(database, {each.spec.profile_read for each in wanted})
            check_missing(wanted, counts, dict(database.rows("missing")))
            return [self._written(database, number, folder) for number in range(len(wanted))]

    def _read_members(self, database: Database, wanted: Sequence[Wanted]) -> set[str]:
        """Keep who is in the wanted segments; return the names of others."""
        numbers: dict[str, list[int]] = {}
        for number, each in enumerate(wanted):
            numbers.setdefault(each.spec.segment, []).append(number)
        others: set[str] = set()
        rows = 0
        for page in membership_pages(self._client, self._memberships, list(numbers)):
            pairs = [(segment, customer) for customer, segment in _memberships(page)]
            _add_members(database, [(n, who) for name, who in pairs for n in numbers.get(name, ())])
            if len(others) < _MOST_OTHERS:
                others.update(name for name, _ in pairs if name not in numbers)
            rows += len(page)
        database.run("settle_members")
        log.info("%s rows of memberships were read", f"{rows:,}")
        return others

    def _read_profiles(self, database: Database, ways: set[ProfileRead]) -> None:
        with database.incoming(pa.Table.from_batches([], schema=batch_schema(self.columns))):
            database.run("create_profiles")
        ((people,),) = database.rows("number_of_people")
        if not self._scans(people, ways):
            _add_profiles(database, self._by_id(database, "ids"))
        else:
            _add_profiles(database, all_profiles(self._client, self._profiles, self.columns))
            ((missing,),) = database.rows("number_of_missing")
            if 0 < missing <= ASKED_AGAIN:
                _add_profiles(database, self._by_id(database, "missing_ids"))
        _settle_duplicates(database)

    def _by_id(self, database: Database, statement: str) -> Iterator[pa.RecordBatch]:
        # All ids at once, because the database takes in what is found while further ones are asked for.
        ids = list(database.batches(statement))
        few = (
            batch.column(0).slice(start, _IDS_AT_A_TIME).to_pylist()
            for batch in ids
            for start in range(0, batch.num_rows, _IDS_AT_A_TIME)
        )
        return profiles_of(self._client, self._profiles, self.columns, chain.from_iterable(few))

    def _scans(self, people: int, ways: set[ProfileRead]) -> bool:
        """Whether all profiles are read: as a segment says, else as it is cheaper."""
        if people == 0:
            return False
        if said := ways - {ProfileRead.AUTO}:
            return ProfileRead.SCAN in said
        profiles = count_profiles(self._client)
        scans = is_scan_cheaper(people, profiles)
        log.info(
            "The profiles of %s people are read %s; the number of all profiles is %s",
            f"{people:,}",
            "with all others" if scans else "by id",
            "not known" if profiles is None else f"about {profiles:,}",
        )
        return scans

    def _written(self, database: Database, number: int, folder: Path) -> Path:
        wanted = [(f"column_{index}", arrow_type(column)) for index, column in enumerate(self.columns)]
        schema = pa.schema([(ID, pa.string()), *wanted])
        path = folder / f"segment-{number}.parquet"
        with pq.ParquetWriter(path, schema, compression="zstd") as writer:
            for batch in database.batches("profiles_of", segment=number):
                writer.write_table(pa.Table.from_batches([batch]).cast(schema))
        return path


def _table(client: Reader, name: str, *needed: str) -> Table:
    table = read_table(client, name)
    if table.has(*needed) != list(needed):
        raise ConfigError(
            f"Table {name} has not the columns {', '.join(needed)}",
            "Check that Organisation URL (host) leads to the environment that Customer Insights - Data writes to",
        )
    log.info("Table %s is %s", name, table.kind or "of a type that is not told")
    return table


def _memberships(page: Sequence[Row]) -> Iterator[tuple[str, str]]:
    """Yield the customer and each segment of the rows that are of customers."""
    for row in page:
        customer = customer_of(row)
        if customer is not None:
            for name in segments_of(row):
                yield customer, name


def _add_members(database: Database, pairs: Sequence[tuple[int, str]]) -> None:
    if pairs:
        segments, ids = zip(*pairs, strict=True)
        table = pa.table({"segment": pa.array(segments, pa.int32()), "id": pa.array(ids, pa.string())})
        with database.incoming(table):
            database.run("add_members")


def _add_profiles(database: Database, batches: Iterator[pa.RecordBatch]) -> None:
    for batch in regrouped(batches):
        with database.incoming(batch):
            database.run("add_profiles")


def _settle_duplicates(database: Database) -> None:
    """Keep one row of each customer, the newest, and tell where there were several."""
    ((several, different),) = database.rows("duplicates")
    if not several:
        return
    database.run("keep_newest")
    counts: Mapping[str, int] = {
        "rows of several profiles": different,
        "the same row twice": several - different,
    }
    for what, number in counts.items():
        if number:
            log.warning("%s customers came with %s: the newest counts", f"{number:,}", what)
