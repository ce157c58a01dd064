"""What tests of exports over HTTP are written with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import requests

from airflow_mailchimp_export.accounting.report import Report
from airflow_mailchimp_export.definition import RunContext, RunIdentity
from airflow_mailchimp_export.export import Export
from airflow_mailchimp_export.finalizing import finalize
from airflow_mailchimp_export.mailchimp.client import MailchimpClient
from airflow_mailchimp_export.mailchimp.gateway import Gateway
from airflow_mailchimp_export.mailchimp.pace import Pace
from airflow_mailchimp_export.sources.opening import plain_path
from airflow_mailchimp_export.state.run import RunFolder
from scripts.sandbox_service import Sandbox
from tests.kit.exports import define
from tests.kit.waiting import PATIENCE, wait_until

BRISK = Pace(first_pause=0.005, longest_pause=0.02, timeout_pause=0.005)


def to_client(sandbox: Sandbox, **options: Any) -> MailchimpClient:
    """Make a client that hardly pauses."""
    return MailchimpClient(f"{sandbox.url}/3.0", sandbox.key, pace=BRISK, timeout=PATIENCE, **options)


def export(
    client: MailchimpClient,
    folder: RunFolder,
    segments: Mapping[str, Any],
    *,
    permit: Callable[[], None] = lambda: None,
    **how: Any,
) -> Export:
    """Make an export to the sandbox."""
    identity = RunIdentity(
        run_id="manual__1", dag_id="dag", export_user="Ada", started_at="2026-01-02T03:04:05Z"
    )
    return Export(
        RunContext(
            definition=define(segments, **how),
            identity=identity,
            gateway=Gateway(client, permit, sleep=_no_pause),
            folder=folder,
            path_factory=plain_path,
        )
    )


def run(
    sandbox: Sandbox, client: MailchimpClient, folder: RunFolder, segments: Mapping[str, Any], **how: Any
) -> Report:
    """Export, wait for the batches, and settle."""
    submission = export(client, folder, segments, **how).submit()
    if submission.report:
        return submission.report
    finish(sandbox)
    return finalize(folder, gateway=Gateway(client, lambda: None, sleep=_no_pause))


def finish(sandbox: Sandbox) -> None:
    """Wait until the sandbox has no batch at work."""
    wait_until(
        lambda: all(batch["status"] == "finished" for batch in overview(sandbox)["batches"]),
        "the end of all batches",
    )


def put(sandbox: Sandbox, *members: Mapping[str, Any]) -> None:
    """Put members into the audience, past every rule."""
    answer = requests.post(f"{sandbox.url}/sandbox/members", json={"members": members}, timeout=PATIENCE)
    answer.raise_for_status()


def dump(sandbox: Sandbox) -> dict[str, dict[str, Any]]:
    """Everybody in the audience, by hash."""
    return {one["hash"]: one for one in sandbox.members()}


def received(sandbox: Sandbox) -> int:
    """How many members the sandbox was sent."""
    rows: dict[str, int] = sandbox.stats()["member_rows"]
    return rows["received"] + rows["handled"]


def _no_pause(seconds: float) -> None:
    """Go on at once."""


def overview(sandbox: Sandbox) -> dict[str, Any]:
    """What the sandbox holds, in short."""
    answer = requests.get(f"{sandbox.url}/sandbox/overview", timeout=PATIENCE)
    answer.raise_for_status()
    content: dict[str, Any] = answer.json()
    return content
