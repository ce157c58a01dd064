"""Files of runs that cannot be read: those of another run are no obstacle, the run's own are an error."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from airflow_mailchimp_export.accounting.report import Counts, Report
from airflow_mailchimp_export.errors import UnreadableFile
from airflow_mailchimp_export.model import Delivery, Verdict
from airflow_mailchimp_export.state.lock import LOCK
from airflow_mailchimp_export.state.run import BATCHES, PLAN, REPORT, RUN, SET_ASIDE, RunFolder
from tests.kit.damage import DAMAGES, Damage
from tests.kit.life import Life, changing, members_sent, one_by_one
from tests.kit.mortal import Killed, kill
from tests.kit.people import people

CROWD = [f"p{number:04}@brieftaube.eu" for number in range(700)]
ADA, BO = "ada@brieftaube.eu", "bo@brieftaube.eu"

damaged = pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)


def run_of(life: Life, name: str) -> RunFolder:
    """The folder of a run."""
    return RunFolder(Path(life.folder.uri) / name)


def newer(content: bytes) -> bytes:
    """The content of a file in a format that is not known yet."""
    return json.dumps({**json.loads(content), "format": 99}).encode()


def warnings(caplog: pytest.LogCaptureFixture) -> str:
    """All warnings."""
    return "\n".join(record.getMessage() for record in caplog.records if record.levelno == logging.WARNING)


def killed_directly(life: Life) -> RunFolder:
    """A run that was killed after some of its chunks were answered, and of which nobody is at work."""
    with pytest.raises(Killed):
        life.submit({"A": people(*CROWD)}, permit=one_by_one(None, None, kill))
    life.folder.remove(LOCK)
    return run_of(life, "run1")


def killed_waiting(life: Life) -> RunFolder:
    """A run that handed over and never came back."""
    life.account.settings.change({"batch_pending": 3600.0})
    _, folder = life.submit({"A": people(*CROWD)}, delivery=Delivery.BATCH)
    life.folder.remove(LOCK)
    return folder


class TestReportsOfOtherRuns:
    """``report.json`` of a run that is over."""

    @pytest.mark.parametrize(
        "damage",
        [
            *DAMAGES.values(),
            lambda content: json.dumps({**json.loads(content), "mood": "good"}).encode(),
            lambda content: json.dumps({**json.loads(content), "format": 2}).encode(),
            newer,
        ],
        ids=[*DAMAGES, "an unknown key", "the next format", "a format from the future"],
    )
    def test_it_stops_nobody(self, life: Life, damage: Damage) -> None:
        """Whatever the report of an earlier run holds, the next runs end well, and old folders go as ever."""
        life.run({"A": people(ADA)})
        life.folder.put(f"run1/{REPORT}", damage(life.folder.read(f"run1/{REPORT}")))
        for count in (1, 1):
            assert life.run({"A": people(ADA)}, keep_runs=2).counts == Counts(rows_read=1, unchanged=count)
        assert len(life.folder.runs()) == 2


class TestAbandonedRuns:
    """A run that nobody accounted for, with a file that cannot be read."""

    @damaged
    @pytest.mark.parametrize("name", [RUN, PLAN])
    def test_it_is_set_aside(
        self, life: Life, name: str, damage: Damage, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The next run names the file, goes on, and sends everybody whom only that run had sent."""
        dead = killed_directly(life)
        dead.put(name, damage(dead.read(name)))
        report = life.run({"A": people(*CROWD)})
        assert report.verdict is Verdict.SUCCESS
        assert report.counts.created + report.counts.updated == 700
        assert f"{dead.uri}/{name} is damaged: run run1 is set aside" in warnings(caplog)
        assert not dead.exists(REPORT)
        assert json.loads(dead.read(SET_ASIDE))["file"] == f"{dead.uri}/{name}"
        caplog.clear()
        assert life.run({"A": people(*CROWD)}).counts == Counts(rows_read=700, unchanged=700)
        assert warnings(caplog) == ""

    @pytest.mark.parametrize("name", [RUN, BATCHES])
    def test_one_of_a_newer_release_too(
        self, life: Life, name: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A run that a newer release began is set aside as well."""
        dead = killed_waiting(life)
        dead.put(name, newer(dead.read(name)))
        assert life.run({"A": people(ADA)}).verdict is Verdict.SUCCESS
        assert f"{dead.uri}/{name} was written by a newer release" in warnings(caplog)

    def test_a_plan_that_is_missing(self, life: Life, caplog: pytest.LogCaptureFixture) -> None:
        """A run without its plan is set aside."""
        dead = killed_directly(life)
        dead.remove(PLAN)
        assert life.run({"A": people(ADA)}).verdict is Verdict.SUCCESS
        assert f"{dead.uri}/{PLAN} is missing: run run1 is set aside" in warnings(caplog)

    @damaged
    def test_its_batches_are_called_off(self, life: Life, damage: Damage) -> None:
        """What the run had handed over is called off, for nobody would learn what came of it."""
        dead = killed_waiting(life)
        (batch,) = dead.batches
        dead.put(PLAN, damage(dead.read(PLAN)))
        with life.watched() as seen:
            life.run({"A": people(ADA)})
        assert f"DELETE /batches/{batch.id}" in "\n".join(changing(seen))
        assert life.audience().keys() == {ADA}

    @damaged
    def test_a_list_of_batches(self, life: Life, damage: Damage, caplog: pytest.LogCaptureFixture) -> None:
        """Where nobody can say what was handed over, the run is set aside, and everybody is sent again."""
        dead = killed_waiting(life)
        dead.put(BATCHES, damage(dead.read(BATCHES)))
        assert life.run({"A": people(*CROWD)}).counts.created == 700
        assert f"{dead.uri}/{BATCHES} is damaged: run run1 is set aside" in warnings(caplog)

    @damaged
    def test_answers(self, life: Life, damage: Damage, caplog: pytest.LogCaptureFixture) -> None:
        """Answers that cannot be read are none: the run is accounted for without them, and its people sent again."""
        dead = killed_directly(life)
        (name,) = dead.answers()
        dead.put(name, damage(dead.read(name)))
        with life.watched() as seen:
            report = life.run({"A": people(*CROWD)})
        assert report.verdict is Verdict.SUCCESS
        assert members_sent(seen) == 700
        assert f"{dead.uri}/{name} " in warnings(caplog)
        assert life.folder.exists(f"run1/{REPORT}")
        assert Report.from_json(dead.read(REPORT)).counts.adds_up

    def test_answers_of_a_newer_release(self, life: Life, caplog: pytest.LogCaptureFixture) -> None:
        """Answers in a format that is not known yet are a reason to set the run aside."""
        dead = killed_directly(life)
        dead.put("answers/x.answers", b"answers\x63")
        assert life.run({"A": people(ADA)}).verdict is Verdict.SUCCESS
        assert "x.answers was written by a newer release" in warnings(caplog)

    def test_a_poisoned_answer(self, life: Life, caplog: pytest.LogCaptureFixture) -> None:
        """Results that accounting cannot make sense of are a reason to set the run aside, not to stop."""
        dead = killed_directly(life)
        manifest = json.loads(dead.read(RUN))
        manifest["planned_at"] = "the day before"
        dead.put(RUN, json.dumps({**manifest, "delivery": "batch"}).encode())
        dead.keep("batch-x", [], refused=[0, 1, 2])
        dead.answer_log.flush()
        assert life.run({"A": people(ADA)}).verdict is Verdict.SUCCESS
        assert f"{dead.uri} cannot be accounted for (ValueError): run run1 is set aside" in warnings(caplog)

    def test_it_comes_back_late(self, life: Life) -> None:
        """A run that was set aside and then comes back is told why it has no report."""
        dead = killed_directly(life)
        dead.put(RUN, b"damaged")
        life.run({"A": people(ADA)})
        with pytest.raises(UnreadableFile, match=r"run1/run\.json is damaged\. Remove the folder"):
            life.finalize(run_of(life, "run1"))


class TestItsOwnFiles:
    """A run that goes on, with a file of its own that cannot be read."""

    @damaged
    @pytest.mark.parametrize("name", [RUN, PLAN])
    def test_a_further_attempt_plans_again(
        self, life: Life, name: str, damage: Damage, caplog: pytest.LogCaptureFixture
    ) -> None:
        """What an earlier attempt left is set aside by name, and everybody is sent whom the sources hold now."""
        own = killed_directly(life)
        own.put(name, damage(own.read(name)))
        report = life.run({"A": people(*CROWD)}, name="run1")
        assert report.verdict is Verdict.SUCCESS
        assert report.counts.created + report.counts.updated == 700
        assert f"{own.uri}/{name} is damaged: run run1 is set aside" in warnings(caplog)
        assert json.loads(own.read(SET_ASIDE))["file"] == f"{own.uri}/{name}"
        assert not life.folder.exists(LOCK)

    @damaged
    @pytest.mark.parametrize("name", [RUN, PLAN])
    def test_accounting_stops(self, life: Life, name: str, damage: Damage) -> None:
        """Whoever accounts for the run is told the file and the remedy, which helps; nothing is sent before."""
        own = killed_waiting(life)
        own.put(name, damage(own.read(name)))
        with life.watched() as seen, pytest.raises(UnreadableFile, match=rf"run1/{name} is damaged\. Remove"):
            life.finalize(run_of(life, "run1"))
        assert changing(seen) == []
        assert not own.is_finished()
        life.account.settings.change({"batch_pending": 0.0})
        life.folder.remove_run(own)
        assert life.run({"A": people(ADA)}, name="run1").verdict is Verdict.SUCCESS

    @damaged
    def test_answers_are_given_again(
        self, life: Life, damage: Damage, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Answers that cannot be read are none, so their people are sent again by the next attempt."""
        own = killed_directly(life)
        (name,) = own.answers()
        own.put(name, damage(own.read(name)))
        with life.watched() as seen:
            report = life.run({"A": people(*CROWD)}, name="run1")
        assert members_sent(seen) == 700
        assert report.counts.created + report.counts.updated == 700
        assert f"{own.uri}/{name} " in warnings(caplog)
