"""The export to Azure Blob Storage: a folder for each run, and one ``model.json`` that names the newest files."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from airflow_mailchimp_export.sandbox.customer_insights.choices import ExportDefect, HeaderForm
from airflow_mailchimp_export.sandbox.customer_insights.organisation import Organisation
from airflow_mailchimp_export.sandbox.customer_insights.segments import CUSTOMER, Segment
from airflow_mailchimp_export.sandbox.customer_insights.settings import Settings
from airflow_mailchimp_export.sandbox.customer_insights.tables import Attribute

CONTAINER = "Dynamics365CustomerInsights"
STORE = f"https://sandbox.blob.core.windows.net/{CONTAINER}"
MODEL = "model.json"
WITH_LINE = frozenset({HeaderForm.DECLARED, HeaderForm.UNDECLARED})
_MINUTE = 60


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a table."""

    name: str
    path: Path
    text: str


def export_path(organisation: Organisation) -> Path | None:
    """The folder of the export, which holds ``model.json``; none, if nothing is exported."""
    if organisation.export_folder is None:
        return None
    return organisation.export_folder / _folder(organisation)


def write_export(organisation: Organisation) -> None:
    """Write the files of every segment into a new folder, and then ``model.json``; earlier files stay.

    Each export has a minute of its own, however soon it follows the one before.
    """
    root, settings = export_path(organisation), organisation.settings
    if root is None:
        return
    minute = max(int(organisation.now()) // _MINUTE, organisation.exported_minute + 1)
    organisation.exported_minute = minute
    moment = datetime.fromtimestamp(minute * _MINUTE, UTC)
    tables = {
        segment: list(_parts(organisation, segment, root / segment.name / moment.strftime("%Y/%m/%d/%H%M")))
        for segment in organisation.store.segments
    }
    for parts in tables.values():
        _write(parts, settings)
    if settings.export_defect is ExportDefect.UNFINISHED:
        return
    if settings.export_defect is ExportDefect.NO_MODEL:
        (root / MODEL).unlink(missing_ok=True)
        return
    model = _model(organisation, tables, moment)
    _write_text(root / MODEL, orjson.dumps(model, option=orjson.OPT_INDENT_2).decode(), settings)


def _parts(organisation: Organisation, segment: Segment, folder: Path) -> Iterator[Part]:
    """The files of one segment: at least one, which is empty where nobody is in it."""
    settings, rows = organisation.settings, _members(organisation, segment)
    for number, chunk in enumerate(_chunked(rows, settings.export_part_rows), start=1):
        name = f"{segment.name}_{number}"
        yield Part(name, folder / f"{name}.csv", _to_csv(organisation, chunk))


def _members(organisation: Organisation, segment: Segment) -> list[tuple[Any, ...]]:
    columns = ", ".join(_value(attribute) for attribute in organisation.store.attributes)
    member = f"SELECT customer_id FROM membership WHERE kind = '{CUSTOMER}' AND list_contains(names, ?)"
    sql = f"SELECT customer_id, {columns} FROM profile WHERE customer_id IN ({member}) ORDER BY position"
    return organisation.store.connection.execute(sql, [segment.name]).fetchall()


def _chunked(rows: Sequence[tuple[Any, ...]], size: int) -> Iterator[Sequence[tuple[Any, ...]]]:
    for start in range(0, max(len(rows), 1), size):
        yield rows[start : start + size]


def _to_csv(organisation: Organisation, rows: Sequence[tuple[Any, ...]]) -> str:
    settings, text = organisation.settings, io.StringIO()
    writer = csv.writer(
        text,
        delimiter=settings.export_delimiter,
        quoting=csv.QUOTE_ALL if settings.export_quote_all else csv.QUOTE_MINIMAL,
        lineterminator="\n",
    )
    if settings.export_header in WITH_LINE:
        writer.writerow(_names(organisation))
    writer.writerows(rows)
    if settings.export_defect is ExportDefect.RAGGED_ROW and rows:
        writer.writerow(rows[-1][:-1])
    return text.getvalue()


def _write(parts: Sequence[Part], settings: Settings) -> None:
    defect = settings.export_defect
    unwritten = defect in {ExportDefect.MISSING_PART, ExportDefect.UNFINISHED}
    for part in parts[:-1] if unwritten else parts:
        text = part.text
        if defect is ExportDefect.CUT_PART and part is parts[-1]:
            text = text[: len(text) // 2]
        _write_text(part.path, text, settings)
    parts[-1].path.parent.mkdir(parents=True, exist_ok=True)


def _write_text(path: Path, text: str, settings: Settings) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode("utf-8-sig" if settings.export_bom else "utf-8"))


def _model(organisation: Organisation, tables: dict[Segment, list[Part]], moment: datetime) -> dict[str, Any]:
    settings = organisation.settings
    return {
        "name": settings.export_name,
        "version": "1.0",
        "modifiedTime": moment.isoformat(),
        "entities": [
            {
                "$type": "LocalEntity",
                "name": segment.name,
                "attributes": _attributes(organisation),
                "partitions": []
                if settings.export_defect is ExportDefect.NO_PARTITIONS
                else [_partition(organisation, part, moment) for part in parts],
            }
            for segment, parts in tables.items()
        ],
    }


def _partition(organisation: Organisation, part: Part, moment: datetime) -> dict[str, Any]:
    inside = part.path.relative_to(organisation.export_folder or Path())
    return {
        "name": part.name,
        "refreshTime": moment.isoformat(),
        "location": f"{STORE}/{inside.as_posix()}",
        "fileFormatSettings": _format(organisation.settings),
    }


def _format(settings: Settings) -> dict[str, Any]:
    found: dict[str, Any] = {"$type": "CsvFormatSettings", "delimiter": settings.export_delimiter}
    if settings.export_header is not HeaderForm.UNMENTIONED:
        found["columnHeaders"] = settings.export_header is HeaderForm.DECLARED
    if not settings.export_quote_all:
        found["csvStyle"] = "CsvStyle.QuoteAfterDelimiter"
    return found


def _attributes(organisation: Organisation) -> list[dict[str, str]]:
    attributes = organisation.store.attributes
    kinds = ["string", *(_data_type(one) for one in attributes)]
    return [{"name": name, "dataType": kind} for name, kind in zip(_names(organisation), kinds, strict=True)]


def _names(organisation: Organisation) -> list[str]:
    return ["CustomerId", *(attribute.name for attribute in organisation.store.attributes)]


def _data_type(attribute: Attribute) -> str:
    kind = attribute.kind.partition("(")[0]
    if kind in {"TINYINT", "SMALLINT", "INTEGER", "BIGINT"}:
        return "int64"
    if kind == "DATE" or kind.startswith("TIMESTAMP"):
        return "dateTime"
    return {"BOOLEAN": "boolean", "DOUBLE": "double", "FLOAT": "double", "DECIMAL": "decimal"}.get(
        kind, "string"
    )


def _value(attribute: Attribute) -> str:
    name = f'"{attribute.wire}"'
    if _data_type(attribute) == "dateTime":
        return f"strftime({name}, '%Y-%m-%dT%H:%M:%SZ')"
    return f"{name}::varchar"


def _folder(organisation: Organisation) -> Path:
    instance = organisation.identifier("instance")
    return Path(f"CustomerInsights_{instance}") / organisation.settings.export_name
