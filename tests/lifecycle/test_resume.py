"""A run that was killed, and what the next one makes of it; run folders that come and go."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import orjson
import pyarrow.parquet as pq
import pytest

from airflow_mailchimp_export.accounting.report import Counts, Report
from airflow_mailchimp_export.errors import ConfigError, ExportBusy
from airflow_mailchimp_export.model import Delivery, Effect, Outcome, Verdict
from airflow_mailchimp_export.state import answers
from airflow_mailchimp_export.state.lock import LOCK
from airflow_mailchimp_export.state.run import BATCHES, PLAN, REPORT, RUN, RunFolder
from airflow_mailchimp_export.state.scratch import PREFIX
from tests.kit.client import Consent
from tests.kit.life import Life, changing, members_sent, one_by_one
from tests.kit.mortal import Killed, kill
from tests.kit.people import many, people

CROWD = [f"p{number:04}@brieftaube.eu" for number in range(1200)]
ADA, BO = "ada@brieftaube.eu", "bo@brieftaube.eu"


def report_of(life: Life, run: str) -> Report:
    """The report of a run."""
    return Report.from_json(life.folder.read(f"{run}/{REPORT}"))


class TestRetry:
    """The same run again."""

    def test_answered_chunks_are_not_sent_again(self, life: Life) -> None:
        """Killed before one of three chunks, a run sends that one only when it is retried."""
        segments = {"A": people(*CROWD)}
        with pytest.raises(Killed):
            life.submit(segments, permit=one_by_one(None, None, None, kill), name="run")
        kept = RunFolder(Path(life.folder.uri) / "run").answer_log.answered()
        assert kept
        # Calls go out side by side, so any of the three may be the one that was not answered, the short one as well.
        answered = sum({0: 500, 1: 500, 2: 200}[int(name.removeprefix("chunk-"))] for name in kept)
        with life.watched() as seen:
            report = life.run(segments, name="run")
        assert members_sent(seen) == 1200 - answered
        sent = report.counts.created + report.counts.updated
        assert (sent, report.counts.unchanged) == (1200 - answered, answered)
        assert report.verdict is Verdict.SUCCESS
        assert report_of(life, "run").error == "A further attempt at the run took its place"

    @pytest.mark.parametrize("delivery", Delivery)
    def test_a_corrected_source(self, life: Life, delivery: Delivery) -> None:
        """Killed before it sent the wrong people, a run that is retried sends the right ones and none of the wrong."""
        never = one_by_one(None, *[kill] * 9)
        with pytest.raises(Killed):
            life.submit({"A": people(*CROWD)}, permit=never, name="run", delivery=delivery)
        report = life.run({"A": people(ADA, BO)}, name="run", delivery=delivery)
        assert (report.counts.created, report.verdict) == (2, Verdict.SUCCESS)
        assert {ADA, BO} <= life.audience().keys()
        assert [email for email, (_, tags) in life.audience().items() if tags] == [ADA, BO]

    def test_a_corrected_file(self, life: Life, tmp_path: Path) -> None:
        """A file that was replaced after all was handed over is planned again; one that was not is waited for."""
        file = tmp_path / "a.parquet"
        pq.write_table(people(*CROWD), file)
        first, _ = life.submit({"A": str(file)}, delivery=Delivery.BATCH, name="run")
        again, _ = life.submit({"A": str(file)}, delivery=Delivery.BATCH, name="run")
        assert again.batch_ids == first.batch_ids
        pq.write_table(people(ADA, *CROWD), file)
        report = life.run({"A": str(file)}, delivery=Delivery.BATCH, name="run")
        assert report.counts == Counts(rows_read=1201, unchanged=1200, created=1)

    def test_a_dry_run_after_a_killed_run(self, life: Life) -> None:
        """A killed run that is retried as a dry run sends nobody, and a further retry in earnest sends everybody."""
        segments = {"A": people(*CROWD)}
        with pytest.raises(Killed):
            life.submit(segments, permit=one_by_one(None, kill), name="run")
        with life.watched() as seen:
            counts = life.run(segments, name="run", dry_run=True).counts
        assert (counts.created + counts.updated, changing(seen)) == (1200, [])
        counts = life.run(segments, name="run").counts
        assert counts.created + counts.updated + counts.unchanged == 1200

    def test_a_real_run_after_a_killed_dry_run(self, life: Life) -> None:
        """A dry run that was killed after planning does not answer for the real one."""
        folder = RunFolder(Path(life.folder.uri) / "run")
        life.run({"A": people(ADA)}, name="run", dry_run=True)
        folder.remove(REPORT)
        assert life.run({"A": people(ADA)}, name="run").counts == Counts(rows_read=1, created=1)
        assert life.tags(ADA) == {"A"}

    def test_another_audience(self, life: Life) -> None:
        """A killed run that is retried for another audience sends nothing to the old one, and asks for the id first."""
        with pytest.raises(Killed):
            life.submit({"A": people(*CROWD)}, permit=one_by_one(None, kill), name="run")
        life.account.add_audience("ffffffffff", "Other")
        before = life.audience()
        with pytest.raises(ConfigError, match="belongs to export 'life' of audience a1b2c3d4e5"):
            life.run({"A": people(ADA)}, name="run", audience_id="ffffffffff")
        assert life.audience() == before

    def test_batches_of_another_definition_are_called_off(self, life: Life) -> None:
        """What a killed run handed over is called off where the retry asks for something else."""
        life.account.settings.change({"batch_pending": 3600.0})
        life.submit({"A": people(*CROWD)}, delivery=Delivery.BATCH, name="run")
        report = life.run({"A": people(*CROWD)}, delivery=Delivery.DIRECT, name="run")
        assert report.counts == Counts(rows_read=1200, created=1200)
        assert all(not batch.finished for batch in life.account.batches.batches.values())

    def test_another_task(self, life: Life) -> None:
        """A run belongs to one task: another one under the same names is refused, and has sent nothing."""
        life.run({"A": people(ADA)}, name="run", who={"task_id": "one"})
        with pytest.raises(ConfigError) as caught:
            life.run({"A": people(BO)}, name="run", who={"task_id": "two"})
        assert str(caught.value) == (
            "Run run-2 of export 'life' belongs to dag.one, not to dag.two. Nothing was sent. "
            "Give each of them an export_name of its own"
        )
        assert life.audience().keys() == {ADA}
        assert life.run({"A": people(ADA)}, name="run", who={"task_id": "one"}).counts.unchanged == 1

    def test_older_data(self, life: Life) -> None:
        """A run whose data are older than those of the run before is refused, unless that is asked for."""
        monday, tuesday = "2026-11-02T00:00:00+00:00", "2026-11-03T00:00:00+00:00"
        life.run({"A": people(ADA)}, who={"data_moment": monday})
        life.run({"A": people(ADA, BO)}, who={"data_moment": tuesday})
        with pytest.raises(ConfigError, match="allow_older in options") as caught:
            life.run({"A": people(ADA)}, name="run1", who={"data_moment": monday}, removal_floor=1)
        assert str(caught.value).startswith(
            f"This run's data are of {monday}, but run run2 has put data of {tuesday}"
        )
        assert life.tags(BO) == {"A"}
        how = {"who": {"data_moment": monday}, "allow_older": True}
        assert life.run({"A": people(ADA)}, name="run1", **how).counts.removed == 1
        assert life.run({"A": people(ADA, BO)}, who={"data_moment": tuesday}).counts.updated == 1

    def test_submitted_batches_are_waited_for(self, life: Life) -> None:
        """A run that is killed while Mailchimp works does not hand its batches over again."""
        segments = {"A": people(*CROWD)}
        first, _ = life.submit(segments, delivery=Delivery.BATCH, name="run")
        with life.watched() as seen:
            again, folder = life.submit(segments, delivery=Delivery.BATCH, name="run")
            life.wait(again.batch_ids)
            report = life.finalize(folder)
        assert again.batch_ids == first.batch_ids
        assert changing(seen) == []
        assert report.counts == Counts(rows_read=1200, created=1200)

    def test_a_plan_that_was_not_finished_is_made_anew(self, life: Life) -> None:
        """Killed while planning, a run plans again."""
        folder = RunFolder(Path(life.folder.uri) / "run")
        folder.put(PLAN, b"half")
        assert life.run({"A": people(ADA)}, name="run").counts == Counts(rows_read=1, created=1)

    def test_killed_while_it_accounts(self, life: Life) -> None:
        """Killed between the ledger and the report, a run accounts again with the same result."""
        segments = {"A": people(ADA, BO)}
        life.run(segments)
        before, ledger = report_of(life, "run1"), life.ledger()
        folder = RunFolder(Path(life.folder.uri) / "run1")
        folder.keep(answers.chunk_key(0), [(None, created(ADA, BO))])
        folder.remove(REPORT)
        again = life.run(segments, name="run1")
        assert (again.counts, again.verdict) == (before.counts, before.verdict)
        assert life.ledger() == ledger

    def test_killed_after_its_report(self, life: Life) -> None:
        """Killed between the report and the release of the lock, the retry starts a new attempt at once."""
        segments = {"A": people(ADA, BO)}
        life.run(segments, name="run")
        life.folder.put(LOCK, orjson.dumps({"run": "run", "until": 9e9}))
        report = life.run(segments, name="run")
        assert report.counts == Counts(rows_read=2, unchanged=2)
        assert life.folder.exists(f"run-2/{REPORT}")
        assert not life.folder.exists(LOCK)

    def test_no_answer_is_lost_on_the_way(self, life: Life) -> None:
        """Where the batches of a killed run were collected but not accounted for, they are not collected again."""
        submission, folder = life.submit({"A": people(ADA)}, delivery=Delivery.BATCH)
        life.wait(submission.batch_ids)
        folder.keep(answers.batch_key(submission.batch_ids[0]), [(None, created(ADA))])
        with life.watched() as seen:
            assert life.finalize(folder).counts == Counts(rows_read=1, created=1)
        assert seen == []


def created(*emails: str) -> list[Outcome]:
    """What Mailchimp answers for people who joined."""
    return [Outcome(email, Effect.CREATED, "subscribed") for email in emails]


class TestDeadRuns:
    """A run that nobody accounted for."""

    def test_the_next_run_accounts_for_it(self, life: Life) -> None:
        """What the dead run had sent counts as sent: its report and the ledger say so before the next run plans."""
        segments = {"A": people(*CROWD)}
        submission, _ = life.submit(segments, delivery=Delivery.BATCH)
        life.wait(submission.batch_ids)
        life.folder.remove(LOCK)
        report = life.run(segments, delivery=Delivery.BATCH)
        assert report_of(life, "run1").counts == Counts(rows_read=1200, created=1200)
        assert report.counts == Counts(rows_read=1200, unchanged=1200)

    def test_what_it_did_not_send_is_sent(self, life: Life) -> None:
        """Who was planned and not sent by a run that died is unconfirmed there, and is sent by the next."""
        segments = {"A": people(*CROWD)}
        with pytest.raises(Killed):
            life.submit(segments, permit=one_by_one(None, kill))
        life.folder.remove(LOCK)
        report = life.run(segments)
        dead = report_of(life, "run1").counts
        assert dead.adds_up
        assert dead.unconfirmed == report.counts.created + report.counts.updated > 0
        assert all(tags == {"A"} for _, tags in life.audience().values())

    def test_who_left_meanwhile_is_untagged(self, life: Life) -> None:
        """Whom the dead run had sent, and who has left since, loses the tag."""
        with pytest.raises(Killed):
            life.submit(
                {"A": people(ADA, BO), "B": people(*CROWD)}, permit=one_by_one(None, None, None, kill)
            )
        life.folder.remove(LOCK)
        life.run({"A": people(ADA), "B": people(*CROWD)}, max_removal_ratio=1)
        assert life.tags(ADA) == {"A"}
        assert life.audience().get(BO, ("", set()))[1] == set()

    def test_one_that_was_not_planned_is_cleared_away(self, life: Life) -> None:
        """A folder in which a run died while planning is removed by the next."""
        life.folder.put(f"dead/{PLAN}", b"half")
        life.run({"A": people(ADA)})
        assert "dead" not in life.folder.names()

    def test_what_it_was_writing_is_swept(
        self, life: Life, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Drafts beside the files, and working files in the temporary folder, are gone after the next run."""
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        room = tmp_path / f"{PREFIX}{os.getuid()}"
        left = [Path(life.folder.uri) / "dead" / ".draft-x", room / "tmpdead"]
        for folder in left:
            folder.mkdir(parents=True)
            (folder / PLAN).write_bytes(ADA.encode())
        life.run({"A": people(BO)})
        assert [folder.exists() for folder in left] == [False, False]
        assert list(room.iterdir()) == []

    def test_one_that_waits_is_not_dead(self, life: Life) -> None:
        """While a run waits for Mailchimp another one is refused, and touches nothing."""
        life.account.settings.change({"batch_pending": 3600.0})
        submission, folder = life.submit({"A": people(ADA)}, delivery=Delivery.BATCH)
        with life.watched() as seen, pytest.raises(ExportBusy, match="Run 'run1' of this export"):
            life.run({"A": people(BO)})
        assert {entry.method for entry in seen} == {"GET"}
        life.account.settings.change({"batch_pending": 0.0})
        life.wait(submission.batch_ids)
        assert life.finalize(folder).counts.created == 1
        assert life.run({"A": people(ADA, BO)}).counts == Counts(rows_read=2, created=1, unchanged=1)

    def test_it_settles_itself_late(self, life: Life) -> None:
        """A run that was accounted for by the next one and then comes back finds its report and does nothing."""
        submission, folder = life.submit({"A": people(ADA)}, delivery=Delivery.BATCH)
        life.wait(submission.batch_ids)
        life.folder.remove(LOCK)
        life.run({"A": people(ADA)})
        ledger = life.ledger()
        assert life.finalize(folder).counts == Counts(rows_read=1, created=1)
        assert life.ledger() == ledger


class TestKeepRuns:
    """Run folders are kept for so many runs."""

    def test_the_oldest_go(self, life: Life) -> None:
        """Only the newest keep_runs runs keep their folders; the ledger stays."""
        for _ in range(5):
            life.run({"A": people(ADA)}, keep_runs=3)
        assert [run.name for run in life.folder.runs()] == ["run3", "run4", "run5"]
        assert life.ledger().keys() == {ADA}

    def test_failed_runs_count_too(self, life: Life) -> None:
        """A run that was stopped half-way is a run, and its folder goes in its turn."""
        life.run({"A": people(ADA)}, keep_runs=2)
        life.max_connections = 1
        consent = Consent(ConfigError("data_privacy_consent is off"), permits=2)
        with pytest.raises(ConfigError, match="is off"):
            life.submit({"A": many(501)}, keep_runs=2, max_removal_ratio=1, permit=consent)
        assert not life.report("run2").nothing_sent
        life.run({"A": people(ADA)}, keep_runs=2, max_removal_ratio=1)
        assert [run.name for run in life.folder.runs()] == ["run2", "run3"]

    def test_runs_that_change_nothing_push_no_others_out(self, life: Life) -> None:
        """Dry runs and refused runs take no place of those that sent something; they too are kept so many."""
        life.options = {"keep_runs": 2}
        life.run({"A": people(ADA)})
        life.run({"A": people(ADA, BO)})
        for _ in range(3):
            life.run({"A": people(ADA, BO)}, dry_run=True)
        for _ in range(2):
            with pytest.raises(ConfigError):
                life.run({"A": people(ADA, BO)}, max_profiles=1)
        assert [run.name for run in life.folder.runs()] == ["run1", "run2", "run6", "run7"]

    def test_a_run_that_is_not_kept_any_more_is_not_looked_for_elsewhere(self, life: Life) -> None:
        """Where other runs of the export are, exports_root is right: the run was removed, and the message says so."""
        life.run({"A": people(ADA)}, keep_runs=1)
        life.run({"A": people(ADA)}, keep_runs=1)
        with pytest.raises(ConfigError, match=r"removed, because only so many are kept\. None for this run"):
            life.finalize(RunFolder(Path(life.folder.uri) / "run1"))
        with pytest.raises(ConfigError, match="Set exports_root to a place that all workers share"):
            life.finalize(RunFolder(Path(life.folder.uri).parent / "elsewhere" / "run1"))

    def test_unsettled_runs_stay(self, life: Life) -> None:
        """A folder whose run is not accounted for is never among those that go."""
        life.run({"A": people(ADA)})
        life.folder.put(f"run0/{RUN}", life.folder.read(f"run1/{RUN}"))
        life.folder.put(f"run0/{PLAN}", life.folder.read(f"run1/{PLAN}"))
        life.folder.remove(f"run1/{REPORT}")
        life.run({"A": people(ADA)}, name="run1", dry_run=True, keep_runs=1)
        assert life.folder.exists(f"run0/{PLAN}")


def test_withdrawn_consent_cancels_pending_batches(life: Life) -> None:
    """Withdrawn between two batches, the first is called off at Mailchimp, and who it did not reach is unconfirmed."""
    life.account.settings.change({"batch_pending": 3600.0})
    life.field_map = {"EMAIL": "email", "FNAME": "name"}
    crowd = people(*[f"p{number}@brieftaube.eu" for number in range(25_000)], name=["x"] * 25_000)

    def withdraw() -> None:
        raise ConfigError("consent is off")

    handed_over: list[str] = []
    permit = one_by_one(None, None, withdraw)
    with life.watched() as seen, pytest.raises(ConfigError, match="consent is off"):
        life.submit({"A": crowd}, delivery=Delivery.BATCH, permit=permit, on_batch=handed_over.append)
    (batch_id,) = handed_over
    assert changing(seen) == ["POST /batches", f"DELETE /batches/{batch_id}"]
    report = report_of(life, "run1")
    assert (report.verdict, report.error) == (Verdict.FAILED, "consent is off")
    assert report.counts == Counts(rows_read=25_000, unconfirmed=25_000)
    assert life.audience() == {}
    assert not life.folder.exists(LOCK)
    assert life.folder.exists(f"run1/{BATCHES}")
