"""Random lives of segments, exported again and again, against the real sandbox over HTTP."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import requests
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from airflow_mailchimp_export.config import ExportOptions, OnLeave, parse_segments
from airflow_mailchimp_export.definition import ExportDefinition, Gateway, RunIdentity
from airflow_mailchimp_export.errors import ExportError
from airflow_mailchimp_export.export import Export, settle
from airflow_mailchimp_export.field_map import parse_field_map
from airflow_mailchimp_export.lock import LOCK
from airflow_mailchimp_export.mailchimp import calls
from airflow_mailchimp_export.mailchimp.client import MailchimpClient
from airflow_mailchimp_export.mailchimp.pace import Pace
from airflow_mailchimp_export.mailchimp.protocol import Request, Response
from airflow_mailchimp_export.model import Delivery, Verdict
from airflow_mailchimp_export.report import Report
from airflow_mailchimp_export.run_folder import ExportFolder, RunFolder
from airflow_mailchimp_export.sources.opening import plain_path
from scripts.sandbox_service import Sandbox, start_sandbox

AUDIENCE = "a1b2c3d4e5"
SEGMENTS = ("A", "B", "C")
PEOPLE = range(9)
STRANGER = "stranger@brieftaube.eu"
QUICK = Pace(attempts=12, first_pause=0.001, longest_pause=0.01, timeout_pause=0.001)
SAID_NO = {"unsubscribed", "cleaned", "pending", "transactional", "archived"}
THOROUGH = bool(os.environ.get("MAILCHIMP_SOAK"))

people = st.sampled_from(PEOPLE)
segments = st.sampled_from(SEGMENTS)


class Killed(BaseException):
    """The process is dead: nothing that catches errors may catch it."""


class MortalClient(MailchimpClient):
    """A client whose process dies at a certain request, before it is sent or before its answer is seen."""

    def __init__(self, url: str, key: str, *, dies_at: int | None, applied: bool) -> None:
        super().__init__(url + "/3.0", key, pace=QUICK, max_connections=4)
        self._left = dies_at
        self._applied = applied

    def _transmit(self, request: Request) -> Any:
        if self._left is None:
            return super()._transmit(request)
        self._left -= 1
        if self._left < 0:
            if self._left == -1 and self._applied:
                super()._transmit(request)
            raise Killed
        return super()._transmit(request)


@dataclass
class Person:
    """A person at the source."""

    email: str
    name: str = "Ada"
    segments: set[str] = field(default_factory=set)
    twice: bool = False


class LifeOfAnExport(RuleBasedStateMachine):
    """What happens at the source and in Mailchimp between exports, and exports that fail in every way."""

    sandbox: Sandbox

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="life-of-an-export-"))
        self.folder = ExportFolder(self.root / "export")
        self.people: dict[int, Person] = {}
        self.archived_by_us: set[str] = set()
        self.runs = 0
        self.addresses = 0
        self.dead_run: str | None = None

    @initialize(on_leave=st.sampled_from(list(OnLeave)))
    def begin(self, on_leave: OnLeave) -> None:
        """Nobody at the source, and in the audience only a stranger who carries a segment's tag by chance."""
        self.sandbox.change(fault_rate=0.0, seed=0)
        self.sandbox.reset()
        self.on_leave = on_leave
        self._put({"email": STRANGER, "status": "subscribed", "tags": ["A"]})

    @rule(person=people, segment=segments)
    def join(self, person: int, segment: str) -> None:
        """Somebody joins a segment."""
        self._person(person).segments.add(segment)

    @rule(person=people, segment=segments)
    def leave(self, person: int, segment: str) -> None:
        """Somebody leaves a segment."""
        self._person(person).segments.discard(segment)

    @rule(person=people, name=st.sampled_from(["Ada", "Bo", "Çelik", ""]))
    def change_name(self, person: int, name: str) -> None:
        """A profile changes."""
        self._person(person).name = name

    @rule(person=people, fake=st.booleans())
    def change_address(self, person: int, fake: bool) -> None:
        """An address changes, perhaps to one that Mailchimp refuses."""
        self.addresses += 1
        domain = "example.com" if fake else "brieftaube.eu"
        self._person(person).email = f"p{person}.{self.addresses}@{domain}"

    @rule(person=people)
    def appear_twice(self, person: int) -> None:
        """A profile is there twice, the address in capitals the second time."""
        self._person(person).twice = not self._person(person).twice

    @rule(person=people, status=st.sampled_from(["unsubscribed", "cleaned", "archived", "subscribed"]))
    def change_in_mailchimp(self, person: int, status: str) -> None:
        """Somebody opts out, bounces, is archived, or comes back by themselves."""
        email = self._person(person).email
        if email in self._audience():
            row = {"email": email, "status": status, "compliance": status == "unsubscribed"}
            self._put(row)
            self.archived_by_us.discard(email)

    @rule(delivery=st.sampled_from(list(Delivery)), faults=st.sampled_from([0.0, 0.0, 0.1]))
    def export(self, delivery: Delivery, faults: float) -> None:
        """An export that is not killed."""
        self._export(delivery, faults=faults)

    @rule(
        delivery=st.sampled_from(list(Delivery)),
        dies_at=st.integers(0, 25),
        applied=st.booleans(),
        again=st.booleans(),
    )
    def export_and_die(self, delivery: Delivery, dies_at: int, applied: bool, again: bool) -> None:
        """An export that is killed at some request; it is retried, or the next scheduled run comes."""
        self._export(delivery, dies_at=dies_at, applied=applied)
        if self.dead_run and not again:
            self.folder.remove(LOCK)
            self.dead_run = None
        elif self.dead_run:
            self._export(delivery)

    @invariant()
    def nobody_else_changed(self) -> None:
        """A stranger in the audience is never touched."""
        stranger = self._audience()[STRANGER]
        assert (stranger["status"], stranger["tags"]) == ("subscribed", ["A"])

    def teardown(self) -> None:
        """Remove what the life left behind."""
        shutil.rmtree(self.root)

    def _person(self, number: int) -> Person:
        return self.people.setdefault(number, Person(f"p{number}@brieftaube.eu"))

    def _put(self, row: dict[str, Any]) -> None:
        url = f"{self.sandbox.url}/sandbox/members"
        requests.post(url, json={"audience": AUDIENCE, "members": [row]}, timeout=10).raise_for_status()

    def _audience(self) -> dict[str, dict[str, Any]]:
        return {str(member["email"]): member for member in self.sandbox.members()}

    def _tables(self) -> dict[str, pa.Table]:
        return {segment: self._table(segment) for segment in SEGMENTS}

    def _table(self, segment: str) -> pa.Table:
        rows = []
        for number, person in self.people.items():
            if segment in person.segments:
                rows.append((person.email, person.name, str(number)))
                rows += [(f" {person.email.upper()}", person.name, str(number))] if person.twice else []
        columns = zip(*rows, strict=True) if rows else [(), (), ()]
        names = ("email", "name", "id")
        return pa.table({name: pa.array(list(column), pa.string()) for name, column in zip(names, columns, strict=True)})

    def _export(
        self, delivery: Delivery, *, faults: float = 0.0, dies_at: int | None = None, applied: bool = False
    ) -> None:
        if self.dead_run is None:
            self.runs += 1
        run = self.dead_run or f"run{self.runs}"
        folder = self.folder.run(run)
        before = self._audience()
        self.sandbox.change(fault_rate=faults, seed=self.runs)
        try:
            report = self._run(folder, delivery, dies_at=dies_at, applied=applied)
        except Killed:
            self.dead_run = run
            return
        except ExportError:
            self.dead_run = None
            return
        finally:
            self.sandbox.change(fault_rate=0.0)
        self.dead_run = None
        self._check(report, before)

    def _run(self, folder: RunFolder, delivery: Delivery, *, dies_at: int | None, applied: bool) -> Report:
        with MortalClient(self.sandbox.url, self.sandbox.key, dies_at=dies_at, applied=applied) as client:
            gateway = Gateway(client, permit=lambda: None, sleep=lambda seconds: None)
            identity = RunIdentity(run_id=folder.name, dag_id="life", export_user="test", started_at="")
            export = Export(
                self._definition(delivery), identity, gateway=gateway, folder=folder, path_factory=plain_path
            )
            submission = export.submit()
            if submission.report:
                return submission.report
            while not all(client.send(calls.batch(batch_id)).finished for batch_id in submission.batch_ids):
                pass
            return settle(folder, gateway=gateway)

    def _definition(self, delivery: Delivery) -> ExportDefinition:
        return ExportDefinition(
            name="life",
            audience_id=AUDIENCE,
            segments=parse_segments(self._tables()),
            field_map=parse_field_map({"EMAIL": "email", "FNAME": "name"}),
            delivery=delivery,
            on_leave=self.on_leave,
            options=ExportOptions(max_removal_ratio=1.0, max_reject_ratio=1.0, profile_id="id", keep_runs=3),
        )

    def _check(self, report: Report, before: dict[str, dict[str, Any]]) -> None:
        counts = report.counts
        assert counts.adds_up
        if report.verdict is Verdict.FAILED or counts.unconfirmed or counts.removal_failed:
            return
        after = self._audience()
        self._check_statuses(before, after)
        self._check_tags(before, after)

    def _check_statuses(self, before: dict[str, Any], after: dict[str, Any]) -> None:
        """Nobody's status changed, but for those whom this export archives and restores."""
        renamed = {person.email for person in self.people.values()} - before.keys()
        for email, member in after.items():
            was = before[email]["status"] if email in before else "subscribed"
            if member["status"] == was:
                continue
            if member["status"] == "archived":
                assert self.on_leave is OnLeave.ARCHIVE
                assert was == "subscribed"
                self.archived_by_us.add(email)
            else:
                assert (was, member["status"]) == ("archived", "subscribed")
                assert email in self.archived_by_us or email in renamed
                self.archived_by_us.discard(email)

    def _check_tags(self, before: dict[str, Any], after: dict[str, Any]) -> None:
        """The tags are the segments, but for those who said no or were refused."""
        wanted = {person.email: person.segments for person in self.people.values()}
        for email, member in after.items():
            if member["status"] in SAID_NO or email == STRANGER:
                continue
            tags = set(member["tags"])
            if self.on_leave is OnLeave.KEEP:
                assert tags >= wanted.get(email, set())
            else:
                assert tags == wanted.get(email, set()), email
        for email, tags in wanted.items():
            if tags and not email.endswith("example.com") and email not in after:
                raise AssertionError(f"{email} is lost")


@pytest.mark.timeout(0)
def test_the_audience_follows_the_segments_whatever_happens(tmp_path: Path) -> None:
    """After every run that ended well the audience holds the segments, and nobody's status has changed."""
    sandbox = start_sandbox(tmp_path / "sandbox.log", options=tuple(_QUICK_BATCHES))
    machine: Callable[[], LifeOfAnExport] = type("Life", (LifeOfAnExport,), {"sandbox": sandbox})
    try:
        run_state_machine_as_test(machine, settings=_EFFORT)
    finally:
        sandbox.stop()


_QUICK_BATCHES = ("--batch-pending", "0", "--batch-preprocessing", "0", "--batch-finalizing", "0", "--fault-delay", "0.01")

_EFFORT = settings(
    max_examples=200 if THOROUGH else 12,
    stateful_step_count=40 if THOROUGH else 25,
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.generate, Phase.shrink) if THOROUGH else (Phase.generate,),
)
