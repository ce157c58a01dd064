"""An export that is run again and again, against the sandbox inside this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from airflow_mailchimp_export.accounting.report import Report
from airflow_mailchimp_export.definition import RunContext, RunIdentity
from airflow_mailchimp_export.export import Export, Submission
from airflow_mailchimp_export.finalizing import finalize
from airflow_mailchimp_export.mailchimp import calls
from airflow_mailchimp_export.mailchimp.gateway import Gateway
from airflow_mailchimp_export.mailchimp.protocol import Request
from airflow_mailchimp_export.sources.databases.result import ConnectionFactory
from airflow_mailchimp_export.sources.finding import PathFactory
from airflow_mailchimp_export.sources.opening import no_connection, plain_path
from airflow_mailchimp_export.state.ledger import LEDGER
from airflow_mailchimp_export.state.run import OUTCOMES, REPORT, ExportFolder, RunFolder
from tests.kit.exports import LIST, define
from tests.kit.sandbox import InProcessClient, InProcessSandbox, Scripted
from tests.kit.waiting import wait_until

if TYPE_CHECKING:
    from airflow_mailchimp_export.sandbox.account import Account
    from airflow_mailchimp_export.sandbox.meter import Entry

SENDING = frozenset({"POST", "PUT", "PATCH", "DELETE"})


@dataclass
class Life:
    """An export, its folder, and the audience that it fills.

    :ivar options: parts of the definition, and options, that hold for every run.
    :ivar script: what becomes of certain requests in place of the sandbox's answer; see
        :class:`~tests.kit.sandbox.InProcessClient`.
    :ivar requests: all that was sent, oldest first.
    :ivar path_factory: makes paths of the segments' addresses.
    :ivar connection_factory: connects to the segments' databases.
    :ivar runs: how many runs there were.
    """

    sandbox: InProcessSandbox
    folder: ExportFolder
    field_map: Mapping[str, Any] = field(default_factory=lambda: {"EMAIL": "email"})
    options: Mapping[str, Any] = field(default_factory=dict)
    script: dict[str, Scripted] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    max_connections: int = 4
    path_factory: PathFactory = plain_path
    connection_factory: ConnectionFactory = no_connection
    runs: int = 0

    @property
    def account(self) -> Account:
        """What the sandbox holds, and its settings."""
        return self.sandbox.account

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
        client: InProcessClient | None = None,
        who: Mapping[str, Any] | None = None,
        **how: Any,
    ) -> tuple[Submission, RunFolder]:
        """Plan and send; returned is what was handed over, and the folder of the attempt.

        :param who: parts of the run's identity.
        """
        if name is None:
            self.runs += 1
        folder = self.folder.run(name or f"run{self.runs}")
        known = {"run_id": folder.name, "dag_id": "dag", "export_user": "Ada", "started_at": ""}
        identity = RunIdentity(**{**known, **(who or {})})
        context = RunContext(
            definition=define(
                segments, **{"name": "life", "field_map": self.field_map, **self.options, **how}
            ),
            identity=identity,
            gateway=self._gateway(client, permit),
            folder=folder,
            path_factory=self.path_factory,
            connection_factory=self.connection_factory,
        )
        submission = Export(context).submit(on_batch=on_batch)
        return submission, submission.run

    def finalize(self, folder: RunFolder, *, client: InProcessClient | None = None) -> Report:
        """Account for a run."""
        return finalize(folder, gateway=self._gateway(client))

    def wait(self, batch_ids: Sequence[str]) -> None:
        """Wait until batches are finished."""
        client = self._client()
        wait_until(lambda: all(client.send(calls.batch(batch_id)).finished for batch_id in batch_ids))

    def report(self, run: str) -> Report:
        """The report of a run."""
        return Report.from_json(self.folder.read(f"{run}/{REPORT}"))

    def sent(self, method_and_path: str) -> list[Request]:
        """The requests of one kind, oldest first."""
        return [one for one in self.requests if f"{one.method} {one.path}" == method_and_path]

    def carriers(self) -> list[Request]:
        """The requests that carried profiles, directly or in a batch."""
        return self.sent(f"POST {LIST}") + self.sent("POST /batches")

    def put(self, *emails: str, status: str = "subscribed", tags: Iterable[str] = (), **row: Any) -> None:
        """Put people into the audience as they are to be, past every rule."""
        self.sandbox.put({"email": email, "status": status, "tags": list(tags), **row} for email in emails)

    def change(self, email: str, **row: Any) -> None:
        """Change somebody who is in the audience."""
        self.sandbox.put([{"email": email, **row}])

    def audience(self) -> dict[str, tuple[str, set[str]]]:
        """Status and tags of everybody, by address."""
        return {
            email: (member["status"], set(member["tags"])) for email, member in self.sandbox.members().items()
        }

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

    def _gateway(self, client: InProcessClient | None, permit: Callable[[], None] = lambda: None) -> Gateway:
        return Gateway(client or self._client(), permit, sleep=lambda seconds: None, now=self.now)

    def _client(self) -> InProcessClient:
        return InProcessClient(
            self.sandbox, script=self.script, requests=self.requests, max_connections=self.max_connections
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
