"""An export that is run again and again, against the sandbox in a thread of this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import requests

from airflow_mailchimp_export.accounting.report import Report
from airflow_mailchimp_export.definition import ExportDefinition, RunIdentity
from airflow_mailchimp_export.export import Export, Submission
from airflow_mailchimp_export.fields.field_map import parse_field_map
from airflow_mailchimp_export.finalizing import finalize
from airflow_mailchimp_export.mailchimp import calls
from airflow_mailchimp_export.mailchimp.client import MailchimpClient
from airflow_mailchimp_export.mailchimp.gateway import Gateway
from airflow_mailchimp_export.mailchimp.pace import Pace
from airflow_mailchimp_export.model import Delivery
from airflow_mailchimp_export.options import ExportOptions
from airflow_mailchimp_export.settings.segments import parse_segments
from airflow_mailchimp_export.sources.opening import plain_path
from airflow_mailchimp_export.state.ledger import LEDGER
from airflow_mailchimp_export.state.run import OUTCOMES, ExportFolder, RunFolder

if TYPE_CHECKING:
    from airflow_mailchimp_export.sandbox.account import Account
    from airflow_mailchimp_export.sandbox.meter import Entry

AUDIENCE = "a1b2c3d4e5"
QUICK = Pace(attempts=3, first_pause=0.001, longest_pause=0.002, timeout_pause=0.001)
DEFINED = frozenset({"delivery", "on_leave", "dry_run", "full", "contact_limit", "name", "audience_id"})
SENDING = frozenset({"POST", "PUT", "PATCH", "DELETE"})


@dataclass
class Life:
    """An export, its folder, and the audience that it fills.

    :ivar runs: how many runs there were.
    """

    account: Account
    folder: ExportFolder
    field_map: Mapping[str, Any] = field(default_factory=lambda: {"EMAIL": "email"})
    options: Mapping[str, Any] = field(default_factory=dict)
    runs: int = 0

    def run(self, segments: Mapping[str, Any], *, name: str | None = None, **how: Any) -> Report:
        """Export, wait for the batches, and account.

        :param name: the run's; the next one's unless given.
        :param how: parts of the definition, and options.
        """
        submission, folder = self.submit(segments, name=name, **how)
        if submission.report:
            return submission.report
        self.wait(submission.batch_ids)
        return self.finalize(folder)

    def submit(
        self,
        segments: Mapping[str, Any],
        *,
        name: str | None = None,
        permit: Callable[[], None] = lambda: None,
        on_batch: Callable[[str], None] = lambda batch_id: None,
        **how: Any,
    ) -> tuple[Submission, RunFolder]:
        """Plan and send; returned is what was handed over, and the folder of the run."""
        if name is None:
            self.runs += 1
        folder = self.folder.run(name or f"run{self.runs}")
        identity = RunIdentity(run_id=folder.name, dag_id="dag", export_user="Ada", started_at="")
        with self._client() as client:
            export = Export(
                self._definition(segments, how),
                identity,
                gateway=Gateway(client, permit, sleep=_no_wait),
                folder=folder,
                path_factory=plain_path,
            )
            return export.submit(on_batch=on_batch), folder

    def finalize(self, folder: RunFolder) -> Report:
        """Account for a run."""
        with self._client() as client:
            return finalize(folder, gateway=Gateway(client, lambda: None, sleep=_no_wait))

    def wait(self, batch_ids: Iterable[str]) -> None:
        """Wait until batches are finished."""
        with self._client() as client:
            for batch_id in batch_ids:
                while not client.send(calls.batch(batch_id)).finished:
                    pass

    def put(self, *emails: str, status: str = "subscribed", tags: Iterable[str] = (), **row: Any) -> None:
        """Put people into the audience as they are to be, past every rule."""
        rows = [{"email": email, "status": status, "tags": list(tags), **row} for email in emails]
        url = f"{self.account.url}/sandbox/members"
        requests.post(url, json={"audience": AUDIENCE, "members": rows}, timeout=10).raise_for_status()

    def change(self, email: str, **row: Any) -> None:
        """Change somebody who is in the audience."""
        url = f"{self.account.url}/sandbox/members"
        body = {"audience": AUDIENCE, "members": [{"email": email, **row}]}
        requests.post(url, json=body, timeout=10).raise_for_status()

    def audience(self) -> dict[str, tuple[str, set[str]]]:
        """Status and tags of everybody, by address."""
        answer = requests.get(f"{self.account.url}/sandbox/members", timeout=10).json()
        return {member["email"]: (member["status"], set(member["tags"])) for member in answer["members"]}

    def tags(self, email: str) -> set[str]:
        """The tags of somebody."""
        return self.audience()[email][1]

    def ledger(self) -> dict[str, dict[str, Any]]:
        """What the ledger holds, by address."""
        with self.folder.reading(LEDGER) as path:
            return {row["email"]: row for row in pq.read_table(path).to_pylist()}

    def outcomes(self, run: str) -> list[dict[str, Any]]:
        """What became of each profile in a run."""
        with RunFolder(Path(self.folder.uri) / run).reading(OUTCOMES) as path:
            rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
        return rows

    @contextmanager
    def watched(self) -> Iterator[list[Entry]]:
        """Collect the requests made meanwhile."""
        seen: list[Entry] = []
        before = len(self.account.meter.log)
        yield seen
        seen += list(self.account.meter.log)[before:]

    def _client(self) -> MailchimpClient:
        return MailchimpClient(f"{self.account.url}/3.0", self.account.settings.key, pace=QUICK)

    def _definition(self, segments: Mapping[str, Any], how: Mapping[str, Any]) -> ExportDefinition:
        given = {**self.options, **how}
        defined = {name: value for name, value in given.items() if name in DEFINED}
        options = {name: value for name, value in given.items() if name not in DEFINED}
        known = {"name": "life", "audience_id": AUDIENCE, "delivery": Delivery.DIRECT}
        return ExportDefinition(
            **{**known, **defined},
            segments=parse_segments(segments),
            field_map=parse_field_map(self.field_map),
            options=ExportOptions(**options),
        )


def one_by_one(*steps: Callable[[], object] | None) -> Callable[[], None]:
    """Make what takes one step each time that it is called; ``None`` does nothing, and so do calls past the last."""
    left = list(steps)

    def step() -> None:
        take = left.pop(0) if left else None
        if take:
            take()

    return step


def changing(seen: Iterable[Entry]) -> list[str]:
    """Name the requests that change something."""
    return [f"{entry.method} {entry.path}" for entry in seen if entry.method in SENDING]


def members_sent(seen: Iterable[Entry]) -> int:
    """Count the people whom requests carried."""
    return sum(entry.members for entry in seen)


def _no_wait(seconds: float) -> None:
    """Go on at once."""
