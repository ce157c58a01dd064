"""Random lives of segments, exported again and again, against the sandbox."""

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
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from airflow_mailchimp_export.accounting.report import Report
from airflow_mailchimp_export.errors import ExportError
from airflow_mailchimp_export.mailchimp import calls
from airflow_mailchimp_export.model import Delivery, Verdict
from airflow_mailchimp_export.options import OnLeave
from airflow_mailchimp_export.state.lock import LOCK
from airflow_mailchimp_export.state.run import ExportFolder
from tests.kit.life import Life
from tests.kit.mortal import Killed, MortalClient
from tests.kit.sandbox import InProcessSandbox
from tests.kit.waiting import wait_until

SEGMENTS = ("A", "B", "C")
PEOPLE = range(9)
STRANGER = "stranger@brieftaube.eu"
SAID_NO = {"unsubscribed", "cleaned", "pending", "transactional", "archived"}
THOROUGH = bool(os.environ.get("MAILCHIMP_SOAK"))

Change = tuple[str, int, str]

PERSON = st.sampled_from(PEOPLE)
MEMBERSHIP = st.tuples(PERSON, st.sampled_from(SEGMENTS))
DELIVERY = st.sampled_from(list(Delivery))
AT_THE_SOURCE: st.SearchStrategy[Change] = st.one_of(
    st.tuples(st.just("join"), PERSON, st.sampled_from(SEGMENTS)),
    st.tuples(st.just("leave"), PERSON, st.sampled_from(SEGMENTS)),
    st.tuples(st.just("name"), PERSON, st.sampled_from(["Ada", "Bo", "Çelik", ""])),
    st.tuples(st.just("address"), PERSON, st.sampled_from(["brieftaube.eu", "brieftaube.eu", "example.com"])),
    st.tuples(st.just("twice"), PERSON, st.just("")),
)
IN_MAILCHIMP: st.SearchStrategy[Change] = st.tuples(
    st.just("mailchimp"), PERSON, st.sampled_from(["unsubscribed", "cleaned", "archived", "subscribed"])
)
CHANGE: st.SearchStrategy[Change] = st.one_of(AT_THE_SOURCE, IN_MAILCHIMP)


@dataclass
class Person:
    """A person at the source."""

    email: str
    name: str = "Ada"
    segments: set[str] = field(default_factory=set)
    twice: bool = False
    former: list[str] = field(default_factory=list)


class LifeOfAnExport(RuleBasedStateMachine):
    """What happens at the source and in Mailchimp between exports, and exports that fail in every way."""

    sandbox: InProcessSandbox

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="life-of-an-export-"))
        self.folder = ExportFolder(self.root / "export")
        self.life = Life(self.sandbox, self.folder)
        self.people: dict[int, Person] = {}
        self.archived_by_us: set[str] = set()
        self.runs = 0
        self.addresses = 0
        self.dead_run: str | None = None

    @initialize(
        on_leave=st.sampled_from(list(OnLeave)), memberships=st.lists(MEMBERSHIP, min_size=8, max_size=30)
    )
    def begin(self, on_leave: OnLeave, memberships: list[tuple[int, str]]) -> None:
        """Some people at the source, and in the audience only a stranger who carries a segment's tag by chance."""
        self.sandbox.reset()
        self.on_leave = on_leave
        self.life.put(STRANGER, tags=["A"])
        for person, segment in memberships:
            self._person(person).segments.add(segment)

    @rule(changes=st.lists(CHANGE, max_size=6), delivery=DELIVERY, faults=st.sampled_from([0.0, 0.0, 0.1]))
    def a_day(self, changes: list[Change], delivery: Delivery, faults: float) -> None:
        """Some things change, and the export runs."""
        self._apply(changes)
        self._export(delivery, faults=faults)

    @rule(
        changes=st.lists(CHANGE, max_size=6),
        delivery=DELIVERY,
        dies_at=st.integers(0, 25),
        applied=st.booleans(),
        meanwhile=st.lists(AT_THE_SOURCE, max_size=3),
        again=st.booleans(),
    )
    def a_bad_day(
        self,
        *,
        changes: list[Change],
        delivery: Delivery,
        dies_at: int,
        applied: bool,
        meanwhile: list[Change],
        again: bool,
    ) -> None:
        """Some things change, and the export is killed; it is retried, or the next scheduled run comes."""
        self._apply(changes)
        self._export(delivery, dies_at=dies_at, applied=applied)
        self._apply(meanwhile)
        if self.dead_run and not again:
            self.folder.remove(LOCK)
            self.dead_run = None
        self._export(delivery)

    def _apply(self, changes: list[Change]) -> None:
        for what, number, value in changes:
            person = self._person(number)
            if what == "join":
                person.segments.add(value)
            elif what == "leave":
                person.segments.discard(value)
            elif what == "name":
                person.name = value
            elif what == "address":
                self.addresses += 1
                person.former.append(person.email)
                person.email = f"p{number}.{self.addresses}@{value}"
            elif what == "twice":
                person.twice = not person.twice
            else:
                self._change_in_mailchimp(person.email, value)

    def _change_in_mailchimp(self, email: str, status: str) -> None:
        """Somebody opts out, bounces, is archived, or comes back by themselves."""
        if email in self._audience():
            self.life.change(email, status=status, compliance=status == "unsubscribed")
            self.archived_by_us.discard(email)

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

    def _audience(self) -> dict[str, dict[str, Any]]:
        return self.sandbox.members()

    def _tables(self) -> dict[str, pa.Table]:
        return {segment: self._table(segment) for segment in SEGMENTS}

    def _table(self, segment: str) -> pa.Table:
        rows = []
        for number, person in self.people.items():
            if segment in person.segments:
                rows.append((person.email, person.name, str(number)))
                rows += [(f" {person.email.upper()}", person.name, str(number))] if person.twice else []
        columns = zip(*rows, strict=True) if rows else [(), (), ()]
        arrays = [pa.array(list(column), pa.string()) for column in columns]
        return pa.table(arrays, names=["email", "name", "id"])

    def _export(
        self,
        delivery: Delivery,
        *,
        faults: float = 0.0,
        dies_at: int | None = None,
        applied: bool = False,
        up_to_date: bool = True,
    ) -> None:
        self._let_batches_end()
        if self.dead_run is None:
            self.runs += 1
        run = self.dead_run or f"run{self.runs}"
        before = self._audience()
        self.sandbox.change(fault_rate=faults, seed=self.runs)
        try:
            report = self._run(run, delivery, dies_at=dies_at, applied=applied)
        except Killed:
            self.dead_run = run
            return
        except ExportError:
            self.dead_run = None
            return
        finally:
            self.sandbox.change(fault_rate=0.0)
        self.dead_run = None
        # Who was renamed loses the tags of segments they left with the next run.
        renamed = report.address_changes["renamed"] > 0
        self._check(report, before, up_to_date=up_to_date and not renamed)
        if renamed and not faults:
            self._export(delivery)

    def _let_batches_end(self) -> None:
        """Wait for batches that nobody knows of: their run died between handing them over and noting their ids."""
        wait_until(
            lambda: all(
                batch["status"] == "finished"
                for batch in self.sandbox.call("GET", "/batches?count=1000")["batches"]
            )
        )

    def _run(self, run: str, delivery: Delivery, *, dies_at: int | None, applied: bool) -> Report:
        client = MortalClient(self.sandbox, dies_at=dies_at, applied=applied)
        submission, folder = self.life.submit(
            self._tables(),
            name=run,
            client=client,
            field_map={"EMAIL": "email", "FNAME": "name"},
            delivery=delivery,
            on_leave=self.on_leave,
            profile_id="id",
            keep_runs=3,
            max_removal_ratio=1.0,
            max_reject_ratio=1.0,
        )
        if submission.report:
            return submission.report
        wait_until(lambda: all(client.send(calls.batch(each)).finished for each in submission.batch_ids))
        return self.life.finalize(folder, client=client)

    def _check(self, report: Report, before: dict[str, dict[str, Any]], *, up_to_date: bool) -> None:
        counts = report.counts
        assert counts.adds_up
        if report.verdict is Verdict.FAILED or counts.unconfirmed or counts.removal_failed:
            return
        after = self._audience()
        self._check_statuses(before, after)
        if up_to_date:
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
        """The tags are the segments, but for those who said no, under this address or a former one, or were refused."""
        wanted = {person.email: person.segments for person in self.people.values()}
        left_alone = {person.email for person in self.people.values() if self._said_no(person, after)} | {
            STRANGER
        }
        for email, member in after.items():
            if member["status"] in SAID_NO or email in left_alone:
                continue
            tags = set(member["tags"])
            if self.on_leave is OnLeave.KEEP:
                assert tags >= wanted.get(email, set()), email
            else:
                assert tags == wanted.get(email, set()), email
        for person in self.people.values():
            refused = person.email.endswith("example.com")
            if person.segments and not refused and person.email not in left_alone:
                assert person.email in after, f"{person.email} is lost"

    def _said_no(self, person: Person, audience: dict[str, Any]) -> bool:
        """Whether somebody said no under a former address; that mail did not reach it is no such thing."""
        return any(
            audience[email]["status"] in SAID_NO - {"cleaned"} for email in person.former if email in audience
        )


@pytest.mark.timeout(0)
def test_the_audience_follows_the_segments_whatever_happens() -> None:
    """After every run that ended well the audience holds the segments, and nobody's status has changed."""
    with InProcessSandbox() as sandbox:
        machine: Callable[[], LifeOfAnExport] = type("Lives", (LifeOfAnExport,), {"sandbox": sandbox})
        run_state_machine_as_test(machine, settings=_EFFORT)


_EFFORT = settings(
    max_examples=150 if THOROUGH else 6,
    stateful_step_count=30 if THOROUGH else 15,
    # The same lives each time in CI, others each time in a soak.
    derandomize=not THOROUGH,
    deadline=None,
    database=None,
    print_blob=THOROUGH,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.generate, Phase.shrink) if THOROUGH else (Phase.generate,),
)
