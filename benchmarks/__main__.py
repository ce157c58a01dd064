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
from benchmarks import tables
from benchmarks.people import LAST_NAMES_OF, write_later_profiles, write_long_profiles, write_profiles
from scripts.sandbox_service import Sandbox, start_sandbox

RESULTS = Path(__file__).with_name("results.json")
LATENCY, LATENCY_PER_MEMBER = 0.2, 0.002
"""Seconds that a call takes at the other end; no true figure of Mailchimp's is known."""

MAX_PROFILES = 10_000_000

LIFE = ("first", "unchanged", "changed")
"""The runs of an export: on the profiles, on the same again, and with 1 % changed and 1 % gone."""

LONG_PROFILES = 20_000
"""Profiles with long texts."""

MORE_MEMORY = 150_000_000
"""Bytes that they may take more than profiles with short texts do, at most."""

PEERS: Mapping[str, int] = {"ours": 100_000, "bulk": 10_000, "puts": 2_000}
"""Who is compared, and with how many people at most: the slower, the fewer."""

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
    """Deliver call by call to a sandbox that takes its time, and compare with what is possible at best."""
    options = ("--latency", str(LATENCY), "--latency-per-member", str(LATENCY_PER_MEMBER))
    figures, stats = _against_sandbox("direct", folder, wanted, options)
    call = LATENCY + LATENCY_PER_MEMBER * MAX_CHUNK_MEMBERS
    ideal = wanted.profiles / MAX_CHUNK_MEMBERS / wanted.connections * call
    busy = stats["in_flight"]["seconds"].get(str(wanted.connections), 0.0)
    return {
        **figures,
        "seconds_per_call": call,
        "ideal": ideal,
        "share_of_ideal": ideal / figures["delivery"],
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
    "long": measure_long,
    "peers": measure_peers,
    "parse": measure_parse,
}


def _against_sandbox(
    what: str, folder: Path, wanted: argparse.Namespace, options: tuple[str, ...]
) -> tuple[dict[str, Any], dict[str, Any]]:
    sandbox = start_sandbox(folder / f"{what}-sandbox.log", options=options)
    try:
        figures = _in_child(what, {**_task(folder, what), **_address(sandbox, wanted)})
        return figures, sandbox.stats()
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
