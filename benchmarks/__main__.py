"""Measures exports: planning alone, direct delivery and batch delivery; see docs/benchmarks.md."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from airflow_mailchimp_export.model import MAX_CHUNK_MEMBERS
from benchmarks import tables
from benchmarks.people import write_profiles
from scripts.sandbox_service import Sandbox, start_sandbox

RESULTS = Path(__file__).with_name("results.json")
LATENCY, LATENCY_PER_MEMBER = 0.2, 0.002
"""Seconds that a call takes at the other end; no true figure of Mailchimp's is known."""

MAX_MEMBERS = 1_000_000
"""Most profiles of one export, unless its options say otherwise."""


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


MEASUREMENTS: Mapping[str, Callable[[Path, argparse.Namespace], dict[str, Any]]] = {
    "plan": measure_plan,
    "direct": measure_direct,
    "batch": measure_batch,
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
    return {"profiles": str(folder / "profiles.parquet"), "folder": str(folder / what)}


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
    if not 1 <= profiles <= MAX_MEMBERS:
        raise argparse.ArgumentTypeError(f"1 to {MAX_MEMBERS:,} profiles")
    return profiles


def _is_complete(figures: Mapping[str, Any]) -> bool:
    return bool(figures.get("verdict", "success") == "success")


if __name__ == "__main__":
    sys.exit(main())
