"""Prints the account of an export: what the report says, and what the audience holds now."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


def show_report(report: Path, console: Console | None = None) -> None:
    """Print a report, and where it lies."""
    console = console or Console()
    content = json.loads(report.read_text(encoding="utf-8"))
    console.print(f"\n[bold]Export {content['export']}: {content['verdict']}[/bold]")
    console.print(counted("Profiles", content["counts"]))
    for title, key in (
        ("Rejected because of", "rejects_by_reason"),
        ("Left alone, as", "suppressed_by_reason"),
    ):
        if content.get(key):
            console.print(counted(title, content[key]))
    console.print(segments_table(content["segments"]))
    for name in ("report.json", "rejects.csv"):
        console.print(f"{name}: {report.with_name(name)}", soft_wrap=True, highlight=False)


def show_audience(audience: Mapping[str, Any], console: Console | None = None) -> None:
    """Print what an audience of the sandbox holds."""
    console = console or Console()
    console.print(f"\n[bold]{audience['name']} {audience['id']} now[/bold]")
    console.print(counted("Status", audience["statuses"]))
    console.print(
        counted("Tag (subscribed members)", {tag["name"]: tag["members"] for tag in audience["tags"]})
    )


def counted(title: str, counts: Mapping[str, int]) -> Table:
    """Names and numbers, one below the other."""
    table = Table(title, "", show_edge=False, min_width=40)
    table.columns[1].justify = "right"
    for name, count in counts.items():
        table.add_row(name.replace("_", " "), f"{count:,}")
    return table


def segments_table(segments: Mapping[str, Mapping[str, int]]) -> Table:
    """What became of each segment."""
    table = Table("Segment", show_edge=False, min_width=40)
    columns = list(dict.fromkeys(column for segment in segments.values() for column in segment))
    for column in columns:
        table.add_column(column, justify="right")
    for name, segment in segments.items():
        table.add_row(name, *(f"{segment.get(column, 0):,}" for column in columns))
    return table
