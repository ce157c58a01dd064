"""Who may not be sent is looked up over HTTP: what an unchanged run asks for, and what goes wrong meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_mailchimp_export.accounting.report import Report
from airflow_mailchimp_export.mailchimp.client import MailchimpClient
from airflow_mailchimp_export.planning import statuses as lookup
from airflow_mailchimp_export.rules import HELD_BACK
from airflow_mailchimp_export.state.run import ExportFolder, RunFolder
from airflow_mailchimp_export.state.statuses import STATUSES
from scripts.sandbox_service import Sandbox
from tests.contract.exports import dump, put, run
from tests.kit.people import hash_of, people

EARLIER = "2026-01-01T00:00:00+00:00"
MOST = 20
"""Requests of an unchanged run."""

ADA, BO, OUT = "ada@mail.eu", "bo@mail.eu", "out0@mail.eu"


def out(count: int) -> list[dict[str, str]]:
    """So many people who may not be sent, in all statuses."""
    each = [status.value for status in HELD_BACK]
    return [
        {"email": f"out{number}@mail.eu", "status": each[number % len(each)], "last_changed": EARLIER}
        for number in range(count)
    ]


@pytest.fixture
def again(quick: Sandbox, client: MailchimpClient, tmp_path: Path) -> Callable[..., Report]:
    """What runs the same export once more."""
    numbers = iter(range(9))

    def again(**how: object) -> Report:
        folder = RunFolder(tmp_path / "export" / f"run{next(numbers)}")
        return run(quick, client, folder, {"S": people(ADA, BO, OUT)}, name="export", **how)

    return again


def is_asked(report: Report) -> bool:
    """Whether a run asked for changes, and was content with them."""
    return report.look_up.startswith("asked") and report.look_up.endswith("totals agree")


@pytest.mark.parametrize("count", [13_000, 26_000])
def test_an_unchanged_run(quick: Sandbox, again: Callable[..., Report], count: int) -> None:
    """However many may not be sent, an unchanged run makes a score of requests at most, and the same number."""
    put(quick, *out(count))
    assert again(contact_limit=100_000).look_up == f"read all {count:,}"
    before = requests_of(quick)
    report = again(contact_limit=100_000)
    assert is_asked(report)
    assert (report.counts.unchanged, report.counts.suppressed) == (2, 1)
    assert requests_of(quick) - before == 18 <= MOST


def requests_of(sandbox: Sandbox) -> int:
    """How many requests the sandbox got."""
    return sum(sum(by_status.values()) for by_status in sandbox.stats()["requests"].values())


@pytest.mark.parametrize("fault_rate", [0.0, 0.3])
def test_what_happens_between_runs(
    quick: Sandbox,
    again: Callable[..., Report],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault_rate: float,
) -> None:
    """Nobody who said no is sent, whatever happens between two runs, also where many requests go wrong."""
    monkeypatch.setattr(lookup, "REQUESTS_TO_ASK", 0)
    put(quick, *out(10))
    quick.change(fault_rate=fault_rate, fault_delay=0.01)
    assert again().look_up == "read all 10"

    put(quick, {"email": ADA, "status": "archived"})
    assert is_asked(again(full=False))
    assert dump(quick)[hash_of(ADA)]["status"] == "archived"

    put(quick, {"email": "out3@mail.eu", "forgotten": True})
    assert again().look_up == "read all 10: total of transactional is 1, kept 2"

    put(quick, {"email": BO, "status": "pending", "last_changed": EARLIER})
    assert again().look_up == "read all 11: total of pending is 3, kept 2"

    folder = ExportFolder(tmp_path / "export")
    folder.put(STATUSES, folder.read(STATUSES)[:-50])
    put(
        quick,
        {"email": ADA, "status": "subscribed"},
        {"email": BO, "status": "cleaned", "last_changed": EARLIER},
    )
    report = again()
    assert report.look_up == f"read all 10: {STATUSES} is damaged"
    assert (report.counts.updated, report.counts.suppressed) == (1, 2)

    put(quick, {"email": OUT, "status": "subscribed"})
    report = again()
    assert is_asked(report)
    assert (report.counts.updated, report.counts.unchanged, report.counts.suppressed) == (1, 1, 1)
    assert {one["status"] for one in dump(quick).values() if one["hash"] in map(hash_of, (ADA, OUT))} == {
        "subscribed"
    }
