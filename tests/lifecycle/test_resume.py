"""A run that was killed, and what the next one makes of it; run folders that come and go."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import orjson
import pytest

from airflow_mailchimp_export.accounting.report import Counts, Report
from airflow_mailchimp_export.errors import ConfigError, ExportBusy
from airflow_mailchimp_export.model import Delivery, Effect, Outcome, Verdict
from airflow_mailchimp_export.state import answers
from airflow_mailchimp_export.state.lock import LOCK
from airflow_mailchimp_export.state.run import BATCHES, PLAN, REPORT, RUN, RunFolder
from airflow_mailchimp_export.state.scratch import PREFIX
from tests.kit.life import Life, changing, members_sent, one_by_one
from tests.kit.mortal import Killed, kill
from tests.kit.people import people

CROWD = [f"p{number:04}@brieftaube.eu" for number in range(1200)]
ADA, BO = "ada@brieftaube.eu", "bo@brieftaube.eu"


def report_of(life: Life, run: str) -> Report:
    """The report of a run."""
    return Report.from_json(life.folder.read(f"{run}/{REPORT}"))


class TestRetry:
    """The same run again."""

    def test_answered_chunks_are_not_sent_again(self, life: Life) -> None:
        """Killed before the third chunk, a run sends that one only when it is retried."""
        segments = {"A": people(*CROWD)}
        with pytest.raises(Killed):
            life.submit(segments, permit=one_by_one(None, None, None, kill), name="run")
        kept = RunFolder(Path(life.folder.uri) / "run").answer_log.answered()
        with life.watched() as seen:
            report = life.run(segments, name="run")
        assert members_sent(seen) == 1200 - 500 * len(kept)
        assert len(kept) >= 1
        assert report.counts.created + report.counts.updated == 1200
        assert report.verdict is Verdict.SUCCESS

    def test_the_sources_are_not_read_again(self, life: Life) -> None:
        """A run that was planned goes on with its plan, whatever the segments hold by then."""
        with pytest.raises(Killed):
            life.submit({"A": people(*CROWD)}, permit=one_by_one(None, kill), name="run")
        report = life.run({"A": people(ADA)}, name="run")
        assert report.counts.created == 1200
        assert ADA not in life.audience()

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
        submission, folder = life.submit({"A": people(ADA)}, delivery=Delivery.BATCH)
        with life.watched() as seen, pytest.raises(ExportBusy, match="Run 'run1' of this export"):
            life.run({"A": people(BO)})
        assert seen == []
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
        """A run that was stopped is a run, and its folder goes in its turn."""
        life.run({"A": people(ADA)}, keep_runs=2)
        with pytest.raises(ConfigError):
            life.run({"A": people(ADA, BO)}, keep_runs=2, max_profiles=1)
        life.run({"A": people(ADA)}, keep_runs=2)
        assert [run.name for run in life.folder.runs()] == ["run2", "run3"]

    def test_unsettled_runs_stay(self, life: Life) -> None:
        """A folder whose run is not accounted for is never among those that go."""
        life.run({"A": people(ADA)})
        life.folder.put(f"run0/{RUN}", life.folder.read(f"run1/{RUN}"))
        life.folder.put(f"run0/{PLAN}", life.folder.read(f"run1/{PLAN}"))
        life.folder.remove(f"run1/{REPORT}")
        life.run({"A": people(ADA)}, name="run1", keep_runs=1)
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
