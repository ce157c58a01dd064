"""An export of a life: its runs, however they end, and what is looked at after each of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from airflow_mailchimp_export.accounting.report import Report
from airflow_mailchimp_export.errors import ConfigError, ExportError
from airflow_mailchimp_export.mailchimp import calls
from airflow_mailchimp_export.model import Delivery, Verdict
from airflow_mailchimp_export.options import OnLeave
from airflow_mailchimp_export.state.ledger import LEDGER
from airflow_mailchimp_export.state.lock import LOCK
from airflow_mailchimp_export.state.run import OUTCOMES, PLAN, REPORT, RUN, ExportFolder
from airflow_mailchimp_export.state.statuses import STATUSES
from tests.kit.life import Life
from tests.kit.mortal import Killed
from tests.kit.sandbox import InProcessSandbox
from tests.kit.waiting import wait_until
from tests.model.client import EventfulClient
from tests.model.events import Moment
from tests.model.oracle import Oracle
from tests.model.promises import Watch
from tests.model.world import World

DAMAGEABLE = (PLAN, RUN, OUTCOMES, REPORT)


class ModelledExport:
    """One export of some segments, run again and again."""

    def __init__(
        self,
        folder: Path,
        segments: Sequence[str],
        *,
        sandbox: InProcessSandbox,
        world: World,
        watch: Watch,
        on_leave: OnLeave,
        oracle: Oracle,
    ) -> None:
        self._oracle = oracle
        self._statuses: list[bytes] = []
        self._folder = ExportFolder(folder)
        self._segments = segments
        self._sandbox, self._world, self._watch = sandbox, world, watch
        self._runs = 0
        self._dead: str | None = None
        options = {
            "name": folder.name,
            "on_leave": on_leave,
            "profile_id": "id",
            "keep_runs": 5,
            "max_removal_ratio": 1.0,
            "max_reject_ratio": 1.0,
        }
        field_map = {"EMAIL": "email", "FNAME": "name"}
        self._life = Life(sandbox, self._folder, field_map=field_map, options=options)

    def run(
        self,
        delivery: Delivery,
        *,
        faults: float = 0.0,
        meanwhile: Sequence[Moment] = (),
        full: bool = False,
        dies_at: int | None = None,
        applied: bool = False,
        rotates_at: int | None = None,
    ) -> None:
        """Run the export, or again the run that died, and look at what became of it.

        :param faults: the share of the requests that go wrong.
        :param meanwhile: who says no before which request.
        :param dies_at: before which request the process is killed.
        :param rotates_at: before which request the key is replaced.
        """
        self.let_batches_end()
        self._oracle.meanwhile.clear()
        if self._dead is None:
            self._runs += 1
        name = self._dead or f"run{self._runs}"
        events = [(number, partial(self._say_no, person, status)) for number, person, status in meanwhile]
        events += [] if rotates_at is None else [(rotates_at, self._rotate_key)]
        client = EventfulClient(self._sandbox, dies_at=dies_at, applied=applied, events=events)
        self._sandbox.change(fault_rate=faults, seed=self._runs)
        report = self._end(name, client, delivery=delivery, full=full)
        self._sandbox.change(fault_rate=0.0)
        if self._dead is None:
            self.let_batches_end()
            self._watch.look()
        if report:
            self._check(report)

    def _end(self, name: str, client: EventfulClient, **how: Any) -> Report | None:
        try:
            report = self._submit(name, client, **how)
        except Killed:
            self._dead = name
            return None
        except ExportError:
            report = None
        self._dead = None
        return report

    def _submit(self, name: str, client: EventfulClient, **how: Any) -> Report:
        submission, folder = self._life.submit(
            self._world.tables(self._segments), name=name, client=client, who=self._moment(name), **how
        )
        if submission.report:
            return submission.report
        wait_until(lambda: all(client.send(calls.batch(each)).finished for each in submission.batch_ids))
        return self._life.finalize(folder, client=client)

    def _check(self, report: Report) -> None:
        self._note_statuses()
        rows = sum(table.num_rows for table in self._world.tables(self._segments).values())
        self._watch.check_report(report, rows)
        counts = report.counts
        if report.verdict is Verdict.FAILED or counts.unconfirmed or counts.removal_failed:
            return
        self._watch.check_tags(self._segments)

    def dry_run(self) -> None:
        """Plan, of the run that died where there is one, and change nothing."""
        self.let_batches_end()
        self._watch.look()
        ledger = self._ledger()
        with self._life.watched() as seen:
            name = self._dead or f"look{self._runs}"
            report = self._life.run(
                self._world.tables(self._segments), name=name, dry_run=True, who=self._moment(name)
            )
        assert report.counts.adds_up
        assert {entry.method for entry in seen} == {"GET"}
        assert self._ledger() == ledger

    def run_older(self) -> None:
        """Run an earlier run again: where a later one has put its data there, it is refused and changes nothing."""
        if self._runs < 3 or self._dead or not self._folder.exists(LEDGER):
            return
        ledger = self._ledger()
        with self._life.watched() as seen, pytest.raises(ConfigError, match="older"):
            self._life.run(self._world.tables(self._segments), name="run1", who=self._moment("run1"))
        assert {entry.method for entry in seen} <= {"GET"}
        assert self._ledger() == ledger

    def damage(self, name: str, number: int) -> None:
        """Damage a file of a run that is over."""
        over = [run for run in self._folder.runs() if run.is_finished()]
        if over:
            file = f"{over[number % len(over)].name}/{name}"
            if self._folder.exists(file):
                self._folder.put(file, b"damaged")

    def change_statuses(self, how: str, number: int) -> None:
        """Let something become of the statuses that are kept."""
        if how == "removed" or not self._statuses:
            self._folder.remove(STATUSES)
        elif how == "damaged":
            self._folder.put(STATUSES, self._statuses[-1][:-100])
        else:
            self._folder.put(STATUSES, self._statuses[number % len(self._statuses)])

    def _note_statuses(self) -> None:
        if self._folder.exists(STATUSES):
            self._statuses.append(self._folder.read(STATUSES))

    def give_up(self) -> None:
        """Leave the run that died to those that come after it."""
        if self._dead:
            self._folder.remove(LOCK)
            self._dead = None

    def let_batches_end(self) -> None:
        """Wait for batches that nobody knows of: their run died between handing them over and noting their ids."""
        wait_until(
            lambda: all(
                batch["status"] == "finished"
                for batch in self._sandbox.call("GET", "/batches?count=1000")["batches"]
            )
        )

    def _moment(self, name: str) -> dict[str, str]:
        """Of what moment the data of a run are: of a day each."""
        number = int(name.removeprefix("run").removeprefix("look"))
        return {"data_moment": f"2026-01-01T{number // 60:02d}:{number % 60:02d}:00+00:00"}

    def _ledger(self) -> bytes:
        return self._folder.read(LEDGER) if self._folder.exists(LEDGER) else b""

    def _say_no(self, number: int, status: str) -> None:
        self._oracle.meanwhile.add(self._world.person(number).email)
        self._watch.say_no(self._world.person(number), status)

    def _rotate_key(self) -> None:
        self._sandbox.control("key/rotate", {})
