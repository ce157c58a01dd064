"""The figures as tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rich.table import Table

MEGABYTE = 1_000_000


def plan_table(figures: Mapping[str, Any], profiles: int) -> Table:
    """What each phase took."""
    title = f"Read, plan and encode {profiles:,} profiles"
    table = _table(title, "phase", "CPU s", "wall s", "profiles/CPU s", "peak MB")
    phases: Mapping[str, Mapping[str, float]] = figures["phases"]
    for phase, spent in phases.items():
        memory = f"{spent['memory'] / MEGABYTE:,.0f}"
        table.add_row(
            phase, f"{spent['cpu']:.2f}", f"{spent['wall']:.2f}", _rate(profiles, spent["cpu"]), memory
        )
    cpu, wall = (sum(spent[kind] for spent in phases.values()) for kind in ("cpu", "wall"))
    table.add_section()
    table.add_row("all", f"{cpu:.2f}", f"{wall:.2f}", _rate(profiles, cpu))
    return _with_memory(table, figures)


def direct_table(figures: Mapping[str, Any], profiles: int) -> Table:
    """How full the connections were."""
    connections = figures["in_flight"]["max"]
    table = _table(f"Direct delivery of {profiles:,} profiles", "", "")
    rows = {
        f"calls, {figures['seconds_per_call']:.2f} s each": f"{figures['calls']:,}",
        "most in flight": f"{connections}",
        "delivery": f"{figures['delivery']:.2f} s",
        "at best": f"{figures['ideal']:.2f} s",
        "share of the best": f"{figures['share_of_ideal']:.1%}",
        f"the same of calls as they took, {figures['measured_per_call']:.3f} s": f"{figures['share_of_measured']:.1%}",
        "all connections busy": f"{figures['share_all_busy']:.1%}",
        "whole export": f"{figures['wall']:.2f} s",
    }
    _add_rows(table, {**rows, **_outcome(figures)})
    return _with_memory(table, figures)


def batch_table(figures: Mapping[str, Any], profiles: int) -> Table:
    """What submitting, waiting and settling took."""
    table = _table(f"Batch delivery of {profiles:,} profiles", "", "")
    phases = {
        phase: f"{spent['wall']:.2f} s, of it CPU {spent['cpu']:.2f} s"
        for phase, spent in figures["phases"].items()
    }
    _add_rows(table, {"batches": f"{figures['batches']:,}", **phases, **_outcome(figures)})
    return _with_memory(table, figures)


def long_table(figures: Mapping[str, Any], profiles: int) -> Table:
    """How much memory long texts take."""
    table = _table("Planning 20,000 profiles with texts of 20 KB", "texts", "peak MB")
    for kind, measured in figures["kinds"].items():
        table.add_row(kind, f"{measured['memory'] / MEGABYTE:,.0f}")
    table.add_section()
    table.add_row("more, at most", f"{figures['more'] / MEGABYTE:,.0f}")
    return table


def databases_table(figures: Mapping[str, Any], profiles: int) -> Table:
    """What it takes to read and plan profiles from each kind of source."""
    table = _table(
        f"Planning {profiles:,} profiles",
        "source",
        "read: CPU s",
        "read: s",
        "all: CPU s",
        "all: s",
        "peak MB",
    )
    for source, measured in figures["sources"].items():
        phases, read = measured["phases"], measured["phases"]["read"]
        cpu, wall = (sum(spent[kind] for spent in phases.values()) for kind in ("cpu", "wall"))
        shown = (read["cpu"], read["wall"], cpu, wall)
        table.add_row(
            source, *(f"{seconds:.2f}" for seconds in shown), f"{measured['memory'] / MEGABYTE:,.0f}"
        )
    for source, why in figures["missing"].items():
        table.add_row(source, f"no server answers ({why})")
    return table


_SPENT: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "CPU s": lambda run: f"{run['cpu']:.2f}",
    "wall s": lambda run: f"{run['wall']:.2f}",
    "peak memory, MB": lambda run: f"{run['memory'] / MEGABYTE:,.0f}",
    "requests": lambda run: f"{run['requests']:,}",
}
"""What a run took, in the words of the rows."""


def life_table(figures: Mapping[str, Any], profiles: int) -> Table:
    """What each run of an export took, and asked of Mailchimp."""
    runs: Mapping[str, Mapping[str, Any]] = figures["runs"]
    table = _table(f"Life of an export of {profiles:,} profiles", "", *runs)
    rows: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
        **_SPENT,
        "of them change something": lambda run: f"{run['changing_calls']:,}",
        "members sent": lambda run: f"{run['members_sent']:,}",
        "MB to Mailchimp": lambda run: f"{run['bytes_in'] / MEGABYTE:,.2f}",
        "MB from Mailchimp": lambda run: f"{run['bytes_out'] / MEGABYTE:,.2f}",
        "created": lambda run: f"{run['counts']['created']:,}",
        "updated": lambda run: f"{run['counts']['updated']:,}",
        "unchanged": lambda run: f"{run['counts']['unchanged']:,}",
        "removed": lambda run: f"{run['counts']['removed']:,}",
        "ledger, MB": lambda run: f"{run['ledger'] / MEGABYTE:,.1f}",
    }
    for name, shown in rows.items():
        table.add_row(name, *(shown(run) for run in runs.values()))
    table.caption = (
        f"calls of the last run that change something: {figures['share_of_calls']:.2%} of the first's"
    )
    return table


def upheavals_table(figures: Mapping[str, Any], profiles: int) -> Table:
    """What it takes when nearly nobody is as they were."""
    runs: Mapping[str, Mapping[str, Any]] = figures["runs"]
    table = _table(f"{profiles:,} profiles in four segments, of which everything changes", "", *runs)
    for name, shown in _SPENT.items():
        table.add_row(name, *(shown(run) for run in runs.values()))
    return table


def lookups_table(figures: Mapping[str, Any], profiles: int) -> Table:
    """What it takes to know who may not be sent."""
    runs: Mapping[str, Mapping[str, Any]] = figures["runs"]
    table = _table(f"100 profiles, {figures['opted_out']:,} who may not be sent", "", *runs)
    rows: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
        **_SPENT,
        "MB from Mailchimp": lambda run: f"{run['bytes_out'] / MEGABYTE:,.2f}",
        "kept, MB": lambda run: f"{run['statuses'] / MEGABYTE:,.1f}",
    }
    for name, shown in rows.items():
        table.add_row(name, *(shown(run) for run in runs.values()))
    table.caption = "\n".join(f"{name}: {run['look_up']}" for name, run in runs.items())
    return table


def peers_table(figures: Mapping[str, Any], profiles: int) -> Table:
    """How fast each is, beside the others."""
    peers: Mapping[str, Mapping[str, Any]] = figures["peers"]
    names = {"ours": "direct delivery", "bulk": "official, 500 a call", "puts": "official, PUT, 10 threads"}
    table = _table("The same people, sent by others", "", *(names[peer] for peer in peers))
    ours = peers["ours"]["per_second"]
    rows: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
        "people": lambda peer: f"{peer['people']:,}",
        "arrived": lambda peer: f"{peer['arrived']:,}",
        "calls": lambda peer: f"{peer['calls']:,}",
        "wall s": lambda peer: f"{peer['wall']:.2f}",
        "people/s": lambda peer: f"{peer['per_second']:,.0f}",
        "ours is so many times as fast": lambda peer: f"{ours / peer['per_second']:.1f}",
        "CPU ms per 1,000 people": lambda peer: f"{peer['cpu'] / peer['people'] * 1_000_000:,.0f}",
    }
    for name, shown in rows.items():
        table.add_row(name, *(shown(peer) for peer in peers.values()))
    return table


def parse_table(figures: Mapping[str, Any], profiles: int) -> Table:
    """What the DAG processor spends on a configuration."""
    table = _table(f"Reading {figures['dags']} DAGs of exports.yaml", "phase", "CPU s", "wall s")
    phases: Mapping[str, Mapping[str, float]] = figures["phases"]
    for phase, spent in phases.items():
        table.add_row(phase, f"{spent['cpu']:.2f}", f"{spent['wall']:.2f}")
    cpu, wall = (sum(spent[kind] for spent in phases.values()) for kind in ("cpu", "wall"))
    table.add_section()
    table.add_row("all", f"{cpu:.2f}", f"{wall:.2f}")
    return _with_memory(table, figures)


def insights_table(figures: Mapping[str, Any], profiles: int) -> Table:
    """What reading segments of Customer Insights took, by id and by reading all profiles."""
    title = f"Segments of a local Customer Insights with {figures['profiles']:,} profiles"
    table = _table(title, "segment", "members", "requests", "CPU s", "wall s", "peak MB")
    for name, run in figures["runs"].items():
        memory = f"{run['memory'] / MEGABYTE:,.0f}"
        table.add_row(
            name,
            f"{run['rows']:,}",
            f"{run['requests']:,}",
            f"{run['cpu']:.1f}",
            f"{run['wall']:.1f}",
            memory,
        )
    plan = figures["plan"]
    peak = f"{plan['memory'] / MEGABYTE:,.0f}"
    table.caption = f"half, read, planned and handed over: CPU {plan['cpu']:.1f} s, peak memory {peak} MB"
    return table


SHOWN: Mapping[str, Callable[[Mapping[str, Any], int], Table]] = {
    "plan": plan_table,
    "direct": direct_table,
    "batch": batch_table,
    "life": life_table,
    "upheavals": upheavals_table,
    "lookups": lookups_table,
    "long": long_table,
    "databases": databases_table,
    "peers": peers_table,
    "parse": parse_table,
    "insights": insights_table,
}


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, min_width=44, title_justify="left", caption_justify="left", show_edge=False)
    table.show_header = any(columns)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    return table


def _add_rows(table: Table, rows: Mapping[str, str]) -> None:
    for name, value in rows.items():
        table.add_row(name, value)


def _outcome(figures: Mapping[str, Any]) -> dict[str, str]:
    counts = figures["counts"]
    return {
        "verdict": f"{figures['verdict']}, {counts['created']:,} created",
        "CPU": f"{figures['cpu']:.2f} s",
    }


def _with_memory(table: Table, figures: Mapping[str, Any]) -> Table:
    peak, start = figures["memory"] / MEGABYTE, figures["memory_at_start"] / MEGABYTE
    table.caption = f"peak memory {peak:,.0f} MB; {start:,.0f} MB at the start"
    return table


def _rate(profiles: int, seconds: float) -> str:
    return f"{profiles / seconds:,.0f}" if seconds >= 0.01 else ""
