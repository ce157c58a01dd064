"""Measures exports: planning, both deliveries, the life of an export, and others; see docs/benchmarks.md."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from airflow_mailchimp_export.model import MAX_CHUNK_MEMBERS
from airflow_mailchimp_export.state.statuses import STATUSES
from benchmarks import tables
from benchmarks.databases import QUERY, READINGS, profiles_in_databases
from benchmarks.people import (
    LAST_NAMES_OF,
    write_later_profiles,
    write_long_profiles,
    write_profiles,
    write_upheaval,
)
from scripts.insights_service import start_insights
from scripts.sandbox_service import Sandbox, start_sandbox

RESULTS = Path(__file__).with_name("results.json")
LATENCY, LATENCY_PER_MEMBER = 0.2, 0.002
"""Seconds that a call takes at the other end; no true figure of Mailchimp's is known."""

LOGGED = 10_000
"""Requests that the sandbox remembers one by one."""

MAX_PROFILES = 10_000_000

LIFE = ("first", "unchanged", "changed")
"""The runs of an export: on the profiles, on the same again, and with 1 % changed and 1 % gone."""

OPTED_OUT = 300_000
"""Members who may not be sent, where it is measured how they are looked up."""

LOOK_UPS = ("first", "unchanged", "some changed", "all read")
"""The runs there: what the first one kept is used by the next two, and removed before the last."""

MOST_UNCHANGED = 20
"""Requests that the run may take that finds nothing changed."""

UPHEAVALS: Mapping[str, tuple[str, str]] = {
    "first": ("everybody", "everybody"),
    "all changed": ("later", "later"),
    "all leave two": ("nobody", "later"),
    "all refused": ("nobody", "refused"),
}
"""Runs after which nearly nobody is as they were: who is in two segments, and who in two others."""

CHANGED_BY_UPHEAVALS = {
    "first": "created",
    "all changed": "updated",
    "all leave two": "removed",
    "all refused": "rejected",
}
"""What becomes of everybody there."""

LONG_PROFILES = 20_000
"""Profiles with long texts."""

MORE_MEMORY = 150_000_000
"""Bytes that they, or profiles in a database, may take more than profiles with short texts in a file do, at most."""

PEERS: Mapping[str, int] = {"ours": 100_000, "bulk": 10_000, "puts": 2_000}
"""Who is compared, and with how many people at most: the slower, the fewer."""

SHARES: Mapping[str, int] = {"half": 2, "break_even": 125, "thousandth": 1_000}
"""Segments of Customer Insights, by which part of all profiles is in them."""

MOST_BY_ID = 5_000
"""Members whose profiles are asked for by id; of more that would take too long to be measured."""

CONFIGURED = (50, 200)
"""Exports, and segments of each, whose DAGs are read."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and keep the figures; 0 if every profile arrived."""
    wanted = to_parser().parse_args(arguments)
    console = Console()
    results: dict[str, Any] = {
        "profiles": wanted.profiles,
        "connections": wanted.connections,
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
    }
    with tempfile.TemporaryDirectory(prefix="mailchimp-benchmarks-") as folder:
        profiles = Path(folder) / "profiles.parquet"
        console.print(f"bench: {results['cores']} cores, load {results['load']:.1f}")
        console.print(f"bench: writing {wanted.profiles:,} profiles")
        write_profiles(profiles, wanted.profiles)
        for what in wanted.only:
            console.print(f"bench: measuring {what}")
            results[what] = MEASUREMENTS[what](Path(folder), wanted)
            console.print(tables.SHOWN[what](results[what], wanted.profiles))
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    console.print(f"bench: figures are in {RESULTS.parent.name}/{RESULTS.name}")
    return 0 if all(_is_complete(results[what]) for what in wanted.only) else 1


def to_parser() -> argparse.ArgumentParser:
    """What can be asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--profiles", type=_amount, default=100_000, help="default: %(default)s")
    parser.add_argument(
        "--connections", type=int, choices=range(1, 11), default=8, help="default: %(default)s"
    )
    parser.add_argument(
        "--only", nargs="+", choices=tuple(MEASUREMENTS), default=tuple(MEASUREMENTS), help="default: all"
    )
    return parser


def measure_plan(folder: Path, wanted: argparse.Namespace) -> dict[str, Any]:
    """Read, plan and encode, without anything at the other end."""
    return _in_child("plan", {**_task(folder, "plan"), "audience_id": "a1b2c3d4e5"})


def measure_direct(folder: Path, wanted: argparse.Namespace) -> dict[str, Any]:
    """Deliver call by call to a sandbox that takes its time, and compare with what is possible at best.

    The sandbox waits for so long as a call takes, and then works as long as it has to, which counts as a part of the
    call where the times that it measured itself are taken.
    """
    options = ("--latency", str(LATENCY), "--latency-per-member", str(LATENCY_PER_MEMBER))
    figures, stats = _against_sandbox("direct", folder, wanted, options)
    call = LATENCY + LATENCY_PER_MEMBER * MAX_CHUNK_MEMBERS
    rounds = wanted.profiles / MAX_CHUNK_MEMBERS / wanted.connections
    taken = [entry["seconds"] for entry in stats["log"] if entry["members"]]
    measured = sum(taken) / len(taken)
    busy = stats["in_flight"]["seconds"].get(str(wanted.connections), 0.0)
    return {
        **figures,
        "seconds_per_call": call,
        "measured_per_call": measured,
        "ideal": rounds * call,
        "share_of_ideal": rounds * call / figures["delivery"],
        "share_of_measured": rounds * measured / figures["delivery"],
        "share_all_busy": busy / figures["delivery"],
        "in_flight": stats["in_flight"],
    }


def measure_batch(folder: Path, wanted: argparse.Namespace) -> dict[str, Any]:
    """Deliver as batches to a sandbox that works them off at once."""
    figures, stats = _against_sandbox("batch", folder, wanted, ())
    return {**figures, "requests": stats["requests"]}


def measure_long(folder: Path, wanted: argparse.Namespace) -> dict[str, Any]:
    """Plan profiles with short and with long texts, and compare the memory that it takes."""
    kinds: dict[str, Any] = {}
    for kind in LAST_NAMES_OF:
        profiles = folder / f"{kind}.parquet"
        write_long_profiles(profiles, LONG_PROFILES, kind)
        task = {"profiles": str(profiles), "folder": str(folder / kind / "run"), "audience_id": "a1b2c3d4e5"}
        kinds[kind] = _in_child("plan", task)
    more = max(kinds[kind]["memory"] for kind in kinds) - kinds["short"]["memory"]
    return {"kinds": kinds, "more": more, "verdict": "success" if more <= MORE_MEMORY else "failed"}


def measure_databases(folder: Path, wanted: argparse.Namespace) -> dict[str, Any]:
    """Plan profiles out of a file and out of each database that answers, and compare the memory that it takes."""
    task = {**_task(folder, "databases"), "audience_id": "a1b2c3d4e5"}
    sources: dict[str, Any] = {"Parquet": _in_child("plan", task)}
    with profiles_in_databases(wanted.profiles) as missing:
        for reading, how in READINGS.items():
            if reading not in missing:
                segment = {"conn_id": reading, "sql": QUERY, **how.segment}
                run = str(folder / reading / "run")
                sources[reading] = _in_child("plan", {**task, "folder": run, "segment": segment})
    more = max(one["memory"] for one in sources.values()) - sources["Parquet"]["memory"]
    verdict = "success" if more <= MORE_MEMORY else "failed"
    return {"sources": sources, "missing": missing, "more": more, "verdict": verdict}


def measure_life(folder: Path, wanted: argparse.Namespace) -> dict[str, Any]:
    """Export three times to one sandbox that takes no time, and count what each run asks of it."""
    later = folder / "later.parquet"
    write_later_profiles(later, wanted.profiles)
    sandbox = start_sandbox(folder / "life-sandbox.log", options=("--no-count-distinct",))
    runs: dict[str, Any] = {}
    try:
        before = sandbox.stats()
        for run in LIFE:
            task = {**_task(folder, "life"), **_address(sandbox, wanted)}
            task["folder"] = str(folder / "life" / run)
            if run == LIFE[-1]:
                task["profiles"] = str(later)
            figures = _in_child("life", task)
            after = sandbox.stats()
            runs[run] = {**figures, **traffic(before, after)}
            before = after
    finally:
        sandbox.stop()
    share = runs["changed"]["changing_calls"] / runs["first"]["changing_calls"]
    return {"runs": runs, "share_of_calls": share, "verdict": _worst(runs)}


def measure_upheavals(folder: Path, wanted: argparse.Namespace) -> dict[str, Any]:
    """Export four segments in which everybody is, and change everything from run to run."""
    who = {"everybody": folder / "profiles.parquet"}
    for name in ("later", "nobody", "refused"):
        who[name] = folder / f"{name}-of-upheavals.parquet"
        write_upheaval(who[name], wanted.profiles, name)
    sandbox = start_sandbox(folder / "upheavals-sandbox.log", options=("--no-count-distinct",))
    runs: dict[str, Any] = {}
    try:
        for run, (first, second) in UPHEAVALS.items():
            before = sandbox.stats()
            segments = {f"Segment {number}": str(who[first if number < 2 else second]) for number in range(4)}
            options = {"max_removal_ratio": 1, "max_reject_ratio": 1, "max_profiles": 4 * MAX_PROFILES}
            task = {"segments": segments, "options": options, "folder": str(folder / "upheavals" / run)}
            figures = _in_child("upheavals", {**task, **_address(sandbox, wanted)})
            runs[run] = {**figures, **traffic(before, sandbox.stats())}
    finally:
        sandbox.stop()
    removed_last = runs["all refused"]["counts"]["removed"] == wanted.profiles
    done = removed_last and all(
        runs[run]["counts"][counted] == wanted.profiles for run, counted in CHANGED_BY_UPHEAVALS.items()
    )
    return {"runs": runs, "verdict": "success" if done else "failed"}


def measure_lookups(folder: Path, wanted: argparse.Namespace) -> dict[str, Any]:
    """Export a hundred people to an audience in which many opted out, and count what is asked for these."""
    profiles = folder / "few.parquet"
    write_profiles(profiles, 100)
    sandbox = start_sandbox(folder / "lookups-sandbox.log", options=("--no-count-distinct",))
    runs: dict[str, Any] = {}
    try:
        _opt_out(sandbox, range(OPTED_OUT), "2026-01-01T00:00:00Z")
        for run in LOOK_UPS:
            if run == "some changed":
                _opt_out(sandbox, range(OPTED_OUT, OPTED_OUT + 12))
            if run == "all read":
                (folder / "lookups" / STATUSES).unlink()
            before = sandbox.stats()
            task = {"profiles": str(profiles), "folder": str(folder / "lookups" / run)}
            figures = _in_child("life", {**task, **_address(sandbox, wanted)})
            runs[run] = {**figures, **traffic(before, sandbox.stats())}
    finally:
        sandbox.stop()
    few = runs["unchanged"]["requests"] <= MOST_UNCHANGED
    return {"runs": runs, "opted_out": OPTED_OUT, "verdict": _worst(runs) if few else "failed"}


def _opt_out(sandbox: Sandbox, numbers: range, moment: str | None = None) -> None:
    """Put people into the audience who unsubscribed, bounced, or were archived."""
    statuses = ("unsubscribed", "cleaned", "archived")
    for start in range(numbers.start, numbers.stop, 20_000):
        rows = [
            {"email": f"out{number}@mail.eu", "status": statuses[number % 3], "last_changed": moment}
            for number in range(start, min(start + 20_000, numbers.stop))
        ]
        sandbox.control("members", {"members": rows})


def measure_peers(folder: Path, wanted: argparse.Namespace) -> dict[str, Any]:
    """Send the same people by the official client and by direct delivery, to a sandbox that takes its time."""
    options = ("--latency", str(LATENCY), "--latency-per-member", str(LATENCY_PER_MEMBER))
    sandbox = start_sandbox(folder / "peers-sandbox.log", options=options)
    peers: dict[str, Any] = {}
    try:
        for peer, most in PEERS.items():
            people = min(most, wanted.profiles)
            profiles = folder / f"{peer}.parquet"
            write_profiles(profiles, people)
            sandbox.reset()
            task = {
                "profiles": str(profiles),
                "folder": str(folder / peer / "run"),
                **_address(sandbox, wanted),
            }
            peers[peer] = {"people": people, **_in_child(peer, task)}
            arrived = sandbox.audience()["statuses"].get("subscribed", 0)
            peers[peer] |= {"arrived": arrived, "per_second": arrived / peers[peer]["wall"]}
    finally:
        sandbox.stop()
    return {"peers": peers, "verdict": _worst(peers)}


def measure_parse(folder: Path, wanted: argparse.Namespace) -> dict[str, Any]:
    """Read the DAGs of many exports as the DAG processor does, which has yet to import the package."""
    environment = {**os.environ, "AIRFLOW_HOME": str(folder / "airflow")}
    command = [sys.executable, "-m", "benchmarks.parsing", str(folder), *map(str, CONFIGURED)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True, env=environment)
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def measure_insights(folder: Path, wanted: argparse.Namespace) -> dict[str, Any]:
    """Read segments of a local Customer Insights that has twice as many profiles, and plan an export of the largest."""
    profiles = 2 * wanted.profiles
    sizes = {name: max(1, profiles // divisor) for name, divisor in SHARES.items()}
    rules = [f"--segment={name}=number <= {size}" for name, size in sizes.items()]
    options = ("--generate", str(profiles), *rules, "--request-limit", "1000000", "--time-limit", "1000000")
    insights = start_insights(folder / "insights.log", *options)
    runs: dict[str, Any] = {}
    try:
        for name, size in sizes.items():
            for way in ("scan", "by_id") if size <= MOST_BY_ID else ("scan",):
                task = {"connection": insights.connection(), "segment": name, "way": way}
                runs[f"{name} {way}"] = {"members": size, **_in_child("insights", task)}
        task = {"connection": insights.connection(), "segment": "half", "way": "scan"}
        whole = _in_child("insights_plan", {**task, **_task(folder, "insights"), "audience_id": "a1b2c3d4e5"})
    finally:
        insights.stop()
    complete = all(run["rows"] == run["members"] for run in runs.values())
    return {"profiles": profiles, "runs": runs, "plan": whole, "verdict": "success" if complete else "failed"}


def traffic(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, int]:
    """What arrived at a sandbox between two looks at its counters."""
    calls = _calls(after) - _calls(before)
    return {
        "requests": calls.total(),
        "changing_calls": sum(number for route, number in calls.items() if not route.startswith("GET ")),
        "members_sent": after["member_rows"]["received"] - before["member_rows"]["received"],
        "bytes_in": after["bytes"]["in"] - before["bytes"]["in"],
        "bytes_out": after["bytes"]["out"] - before["bytes"]["out"],
    }


def _calls(stats: Mapping[str, Any]) -> Counter[str]:
    return Counter({route: sum(by_status.values()) for route, by_status in stats["requests"].items()})


def _worst(parts: Mapping[str, Mapping[str, Any]]) -> str:
    return next((part["verdict"] for part in parts.values() if part["verdict"] != "success"), "success")


MEASUREMENTS: Mapping[str, Callable[[Path, argparse.Namespace], dict[str, Any]]] = {
    "plan": measure_plan,
    "direct": measure_direct,
    "batch": measure_batch,
    "life": measure_life,
    "upheavals": measure_upheavals,
    "lookups": measure_lookups,
    "long": measure_long,
    "databases": measure_databases,
    "peers": measure_peers,
    "parse": measure_parse,
    "insights": measure_insights,
}


def _against_sandbox(
    what: str, folder: Path, wanted: argparse.Namespace, options: tuple[str, ...]
) -> tuple[dict[str, Any], dict[str, Any]]:
    sandbox = start_sandbox(folder / f"{what}-sandbox.log", options=options)
    try:
        figures = _in_child(what, {**_task(folder, what), **_address(sandbox, wanted)})
        log = sandbox.control(f"requests?last={LOGGED}")["requests"]
        return figures, {**sandbox.stats(), "log": log}
    finally:
        sandbox.stop()


def _task(folder: Path, what: str) -> dict[str, Any]:
    return {"profiles": str(folder / "profiles.parquet"), "folder": str(folder / what / "run")}


def _address(sandbox: Sandbox, wanted: argparse.Namespace) -> dict[str, Any]:
    return {
        "url": sandbox.url,
        "key": sandbox.key,
        "audience_id": sandbox.audience_id,
        "connections": wanted.connections,
    }


def _in_child(what: str, task: Mapping[str, Any]) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.measured", what, json.dumps(task)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def _amount(text: str) -> int:
    profiles = int(text.replace("_", "").replace(",", ""))
    if not 1 <= profiles <= MAX_PROFILES:
        raise argparse.ArgumentTypeError(f"1 to {MAX_PROFILES:,} profiles")
    return profiles


def _is_complete(figures: Mapping[str, Any]) -> bool:
    return bool(figures.get("verdict", "success") == "success")


if __name__ == "__main__":
    sys.exit(main())
