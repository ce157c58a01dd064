"""The data of the organisation, in tables of DuckDB."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from airflow_mailchimp_export.sandbox.customer_insights.choices import Emptied
from airflow_mailchimp_export.sandbox.customer_insights.segments import (
    CUSTOMER,
    Churn,
    Segment,
    choose,
    to_rows,
)
from airflow_mailchimp_export.sandbox.customer_insights.settings import Settings
from airflow_mailchimp_export.sandbox.customer_insights.tables import Attribute, Table, to_attribute

_DRAWN_FROM = 10_000
_SIZES = f"""SELECT name, count(DISTINCT customer_id)
    FROM (SELECT unnest(names) AS name, customer_id FROM membership WHERE kind = '{CUSTOMER}') GROUP BY name"""


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows of a table, as JSON that is separated by commas.

    :param last: the position of the last one.
    """

    text: str
    count: int
    last: int


class Store:
    """Profiles and memberships, each row with a position that paging goes by."""

    def __init__(self, source: str, segments: Sequence[Segment], settings: Settings, version: int) -> None:
        self.connection = duckdb.connect()
        self.segments = tuple(segments)
        self.revision = 0
        self._settings = settings
        self._load(source, version)
        self.refresh(version)

    def refresh(self, version: int, churn: Churn | None = None, *, shuffle: bool = False) -> None:
        """Build the segments anew from their rules: every row gets a new version.

        :param version: microseconds since 1970.
        :param shuffle: rows also come in another order from now on, as a reader between two pages may see it.
        """
        churn, sql, settings = churn or Churn(), self.connection, self._settings
        sql.execute(f"CREATE OR REPLACE TEMP TABLE chosen AS {choose(self.segments, churn, settings.seed)}")
        kept = settings.emptied is not Emptied.GONE and self.revision > 0
        emptied = (
            "SELECT DISTINCT customer_id, unit FROM membership WHERE kind = 'Customer' AND customer_id IN "
        )
        emptied += "(SELECT customer_id FROM chosen WHERE len(names) = 0)"
        nobody = "SELECT customer_id, unit FROM chosen LIMIT 0"
        sql.execute(f"CREATE OR REPLACE TEMP TABLE emptied AS {emptied if kept else nobody}")
        order = f"md5(identifier || '{churn.turn if shuffle else ''}')"
        sql.execute(
            f"CREATE OR REPLACE TABLE membership AS SELECT row_number() OVER (ORDER BY {order}) AS position, "
            f"{version}::bigint AS version, * FROM ({to_rows(settings, self.segments)}) ORDER BY position"
        )
        if self.revision:
            self._renew_profiles(version, f"md5(customer_id || '{churn.turn}')" if shuffle else "position")
        self._write_segments()

    def page(
        self, table: Table, columns: Mapping[str, str], condition: str, values: Sequence[Any], size: int
    ) -> Rows:
        """The first rows that meet a condition.

        :param columns: the SQL of each property of the answer.
        """
        packed = ", ".join(f'"{name}" := {sql}' for name, sql in columns.items())
        row = f"to_json(struct_pack({packed}))"
        if not self._settings.null_columns:
            row = f"json_merge_patch('{{}}', {row})"
        text, count, last = self._one(
            f"SELECT string_agg({row}::varchar, ',' ORDER BY position), count(*), max(position) FROM "
            f"(SELECT * FROM {table.source} WHERE {condition} ORDER BY position LIMIT {size})",
            values,
        )
        return Rows(text or "", count, last or 0)

    def exists(self, table: Table, condition: str, values: Sequence[Any]) -> bool:
        """Whether a row meets a condition."""
        first = f"SELECT 1 FROM {table.source} WHERE {condition} LIMIT 1"
        return bool(self._one(f"SELECT count(*) FROM ({first})", values)[0])

    def count(self, table: Table, condition: str, values: Sequence[Any]) -> int:
        """How many rows meet a condition."""
        return int(self._one(f"SELECT count(*) FROM {table.source} WHERE {condition}", values)[0])

    def changed(self) -> None:
        """Note that rows have changed."""
        self.revision += 1

    def _load(self, source: str, version: int) -> None:
        described = self.connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()
        self.attributes = tuple(to_attribute(name, kind) for name, kind, *_ in described)
        _check_names(self.attributes)
        names = [attribute.source for attribute in self.attributes]
        origin = '"customer_id"::varchar' if "customer_id" in names else "position::varchar"
        customer = f"if(regexp_full_match({origin}, '[0-9a-f]{{32}}'), {origin}, md5({origin}))"
        columns = "".join(f', "{one.source}" AS "{one.wire}"' for one in self.attributes)
        self.connection.execute(
            "CREATE TABLE profile AS SELECT *, md5('p' || customer_id)::uuid AS row_id, "
            f"{_draw('unit', self._settings.seed)} AS unit, {_draw('late', self._settings.seed)} AS late FROM ("
            f"SELECT position, {version}::bigint AS version, {customer} AS customer_id{columns} "
            f"FROM (SELECT row_number() OVER () AS position, * FROM {source})) ORDER BY position"
        )
        seen = "".join(f', "{one.wire}" AS "{one.source}"' for one in self.attributes)
        self.connection.execute(
            f'CREATE VIEW profiles AS SELECT customer_id AS "_customer", unit AS "_unit"{seen} FROM profile'
        )

    def _renew_profiles(self, version: int, order: str) -> None:
        self.connection.execute(
            f"CREATE OR REPLACE TABLE profile AS SELECT * REPLACE (row_number() OVER (ORDER BY {order}) AS position, "
            f"{version}::bigint AS version) FROM profile ORDER BY position"
        )

    def _write_segments(self) -> None:
        self.connection.execute(
            "CREATE OR REPLACE TABLE segment "
            "(position BIGINT, version BIGINT, name VARCHAR, friendly_name VARCHAR, row_id UUID, members BIGINT)"
        )
        sizes = dict(self.connection.execute(_SIZES).fetchall())
        for position, one in enumerate(self.segments, start=1):
            self.connection.execute(
                "INSERT INTO segment VALUES (?, 0, ?, ?, md5(?)::uuid, ?)",
                [position, one.name, one.friendly_name, one.name, sizes.get(one.name, 0)],
            )
        self.changed()

    def _one(self, sql: str, values: Sequence[Any] = ()) -> tuple[Any, ...]:
        found = self.connection.execute(sql, list(values)).fetchone()
        assert found is not None
        return found


def from_file(path: Path) -> str:
    """SQL that reads profiles from a Parquet or CSV file, or from a glob of several.

    :raises ValueError: it is neither.
    """
    readers = {".parquet": "read_parquet", ".csv": "read_csv"}
    if path.suffix not in readers:
        raise ValueError(f"Profiles come from a .parquet or a .csv file, not from {path.name!r}.")
    name = str(path).replace("'", "''")
    return f"{readers[path.suffix]}('{name}')"


def generated(count: int) -> str:
    """SQL that makes profiles of nobody, with the columns that the sample segments need, and a running number."""
    return f"""(SELECT
        'C' || lpad(number::varchar, 8, '0') AS customer_id,
        number,
        'person' || number || '@people.example' AS email,
        ['Ada', 'Bo', 'Chen', 'Dana', 'Eve'][number % 5 + 1] AS first_name,
        if(number % 7 = 0, NULL, 'Person ' || number % 1000) AS last_name,
        '+49 30 ' || (1000000 + number % 1000000) AS phone,
        DATE '1950-01-01' + (number % 20000)::integer AS birthday,
        ['Berlin', 'São Paulo', 'Łódź'][number % 3 + 1] AS city,
        ['DE', 'BR', 'PL'][number % 3 + 1] AS country,
        (number % 1300 + 0.5)::double AS lifetime_value,
        ['bronze', 'silver', 'gold', 'platinum'][number % 4 + 1] AS loyalty_tier,
        TIMESTAMP '2026-01-01' + INTERVAL (number % 400000) MINUTE AS last_purchase,
        number % 3 > 0 AS newsletter_opt_in
        FROM range(1, {count + 1}) AS numbers(number))"""


def _draw(what: str, seed: int) -> str:
    return f"(md5_number_lower(customer_id || '{what} {seed}') % {_DRAWN_FROM})::integer"


def _check_names(attributes: Sequence[Attribute]) -> None:
    names = [attribute.wire for attribute in attributes]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"Two columns of the profiles would both be {twice[0]}.")
