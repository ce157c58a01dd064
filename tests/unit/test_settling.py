"""The end of a run in every case: stopped, retried, refused, in conflict; and who opts out while it is sent."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from airflow_mailchimp_export.accounting.report import Counts, Report
from airflow_mailchimp_export.errors import AccessDenied, ConfigError, PermanentError, RetryableError
from airflow_mailchimp_export.finalizing import finalize
from airflow_mailchimp_export.mailchimp.protocol import Request
from airflow_mailchimp_export.model import Delivery, Verdict
from airflow_mailchimp_export.state.ledger import LEDGER, read_mark
from airflow_mailchimp_export.state.lock import LOCK
from airflow_mailchimp_export.state.run import OUTCOMES, REPORT, ExportFolder, RunFolder, submitted_batches
from tests.kit.client import in_turn, members_of, out_of_reach, raising, refusal
from tests.kit.exports import LIST, FakeMailchimp, export, gateway
from tests.kit.mortal import Killed
from tests.kit.people import emails, hash_of, many


class Clock:
    """A clock that goes only when it is set forward."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    def __call__(self) -> datetime:
        """Return the time."""
        return self.now


@pytest.fixture
def runs(tmp_path: Path) -> ExportFolder:
    """The folder of the export."""
    return ExportFolder(tmp_path / "export")


def after(times: int, good: Callable[[Request], Any], then: BaseException) -> Callable[[Request], Any]:
    """Answer well so many times, and raise from then on."""
    left = iter(range(times))

    def answer(request: Request) -> Any:
        if next(left, None) is None:
            raise then
        return good(request)

    return answer


def sent(client: FakeMailchimp) -> Counter[str]:
    """How often each person was sent, by either way."""
    bodies = [request.body or b"" for request in client.sent(f"POST {LIST}")]
    for operations in client.batches.values():
        bodies += [one["body"].encode() for one in operations if one["path"].partition("?")[0] == LIST]
    return Counter(member["email_address"] for body in bodies for member in json.loads(body)["members"])


def run(client: FakeMailchimp, folder: RunFolder, rows: pa.Table, **how: Any) -> Report:
    """Export one segment to its end."""
    report = export(client, folder, {"S": rows}, **how).submit().report
    return report or finalize(folder, gateway=gateway(client))


def failing(status: int, response: str = "") -> Callable[[Any], dict[str, Any]]:
    """Let every operation of a batch end so."""
    return lambda operation: {
        "status_code": status,
        "operation_id": operation["operation_id"],
        "response": response,
    }


class TestRetry:
    """Another attempt at a run that did not come to its end."""

    def test_chunks_that_were_answered_are_not_sent_again(self, runs: ExportFolder) -> None:
        """A killed run is gone on with, without its sources; nobody is sent twice but who was in flight."""
        client = FakeMailchimp(max_connections=1)
        client.answers[f"POST {LIST}"] = after(3, client.upsert, Killed())
        with pytest.raises(Killed):
            run(client, runs.run("r"), many(5000), delivery=Delivery.DIRECT)
        client.answers[f"POST {LIST}"] = client.upsert
        report = run(client, runs.run("r"), emails(), delivery=Delivery.DIRECT)
        assert report.counts == Counts(rows_read=5000, created=5000)
        assert len(sent(client)) == 5000
        assert sum(sent(client).values()) <= 5000 + 2 * 500
        assert [one.name for one in runs.runs()] == ["r"]

    def test_batches_that_were_taken_are_not_submitted_again(self, runs: ExportFolder) -> None:
        """Where a further batch gets no answer there is no report; the retry submits only what is missing."""
        client = FakeMailchimp()
        take = client.answers["POST /batches"]
        client.answers["POST /batches"] = after(1, take, out_of_reach())
        with pytest.raises(RetryableError):
            run(client, runs.run("r"), many(40_100), delivery=Delivery.BATCH)
        assert not runs.run("r").exists(REPORT)
        assert not any(request.method == "DELETE" for request in client.requests)
        client.answers["POST /batches"] = take
        told: list[str] = []
        again = export(client, runs.run("r"), {"S": emails()}, delivery=Delivery.BATCH)
        assert again.submit(on_batch=told.append).batch_ids == ("batch0", "batch1", "batch2")
        assert told == ["batch1", "batch2"]
        report = finalize(runs.run("r"), gateway=gateway(client))
        assert report.counts == Counts(rows_read=40_100, created=40_100)
        assert set(sent(client).values()) == {1}

    def test_without_any_batch_the_run_is_over(self, runs: ExportFolder) -> None:
        """Where not even the first batch got an answer, the report says so, and a retry is a new run."""
        client = FakeMailchimp()
        take = client.answers["POST /batches"]
        client.answers["POST /batches"] = raising(out_of_reach())
        folder = runs.run("r")
        with pytest.raises(RetryableError):
            run(client, folder, many(3), delivery=Delivery.BATCH)
        report = Report.from_json(folder.read(REPORT))
        assert (report.verdict, report.counts) == (Verdict.FAILED, Counts(rows_read=3, unconfirmed=3))
        client.answers["POST /batches"] = take
        assert runs.run("r").name == "r-2"
        assert run(client, runs.run("r"), many(3), delivery=Delivery.BATCH).counts.created == 3

    def test_an_address_is_changed_once(self, runs: ExportFolder) -> None:
        """A member who was renamed before the process died is not renamed again by the retry."""
        client = FakeMailchimp()
        renamed = f"PUT {LIST}/members/{hash_of('old@mail.eu')}"
        client.answers[renamed] = lambda _: {"email_address": "new@mail.eu"}
        client.has_tag("S", 7)
        before = pa.table({"email": ["old@mail.eu"], "id": ["1"]})
        changed = pa.table({"email": ["new@mail.eu"], "id": ["1"]})
        how: dict[str, Any] = {"delivery": Delivery.DIRECT, "profile_id": "id", "max_removal_ratio": 1.0}
        run(client, runs.run("1"), before, **how)
        client.answers[f"POST {LIST}"] = after(0, client.upsert, Killed())
        with pytest.raises(Killed):
            run(client, runs.run("2"), changed, **how)
        client.answers[f"POST {LIST}"] = client.upsert
        report = run(client, runs.run("2"), changed, **how)
        assert report.address_changes == {"renamed": 1, "rename_refused": 0}
        assert len(client.sent(renamed)) == 1


class TestStopping:
    """Runs that something stops while they are sent."""

    def test_batches_of_a_stopped_run_are_cancelled(self, runs: ExportFolder) -> None:
        """Withdrawn consent cancels the batches that are at work, and the report names them."""
        client = FakeMailchimp()
        left = iter(range(2))

        def permit() -> None:
            client.answers["GET /batches/batch0"] = lambda _: {"id": "batch0", "status": "started"}
            if next(left, None) is None:
                raise ConfigError("data_privacy_consent is off")

        folder = runs.run("r")
        with pytest.raises(ConfigError, match="is off"):
            run(client, folder, many(20_001), delivery=Delivery.BATCH, permit=permit)
        assert len(client.sent("DELETE /batches/batch0")) == 1
        report = Report.from_json(folder.read(REPORT))
        assert (report.verdict, report.error) == (Verdict.FAILED, "data_privacy_consent is off")
        assert report.batch_ids == ("batch0",)
        assert not runs.exists(LOCK)

    def test_a_report_that_cannot_be_written(
        self, runs: ExportFolder, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Where not even the account can be written, what stopped the run is raised, and the log says both."""
        folder = runs.run("r")
        client = FakeMailchimp()
        client.answers[f"POST {LIST}"] = raising(refusal(404))
        folder.put(f"{OUTCOMES}/in-the-way", b"")
        with pytest.raises(PermanentError, match="404"):
            run(client, folder, many(3), delivery=Delivery.DIRECT)
        assert caplog.messages[-1].startswith("No report could be written: Cannot write outcomes.parquet")
        assert not folder.exists(REPORT)


class TestSettling:
    """The account of a run, and the ledger."""

    def submitted(self, client: FakeMailchimp, runs: ExportFolder) -> RunFolder:
        """Submit a run after one that wrote the ledger."""
        run(client, runs.run("1"), many(3))
        folder = runs.run("2")
        export(client, folder, {"S": many(4)}, delivery=Delivery.BATCH).submit()
        assert submitted_batches(folder)
        return folder

    @pytest.mark.parametrize(
        ("ledger", "words", "effect"),
        [
            ("newer", "Run other has written the ledger since this run was planned", "updated"),
            (b"no ledger", "is damaged", "created"),
            (None, "Run unknown has written the ledger", "created"),
        ],
        ids=["newer", "damaged", "gone"],
    )
    def test_a_ledger_that_changed_meanwhile(
        self, runs: ExportFolder, tmp_path: Path, ledger: object, words: str, effect: str
    ) -> None:
        """A ledger that is not the one the run was planned from is never overwritten: the report says so."""
        client = FakeMailchimp()
        folder = self.submitted(client, runs)
        if ledger == "newer":
            elsewhere = ExportFolder(tmp_path / "elsewhere")
            elsewhere.put(LEDGER, runs.read(LEDGER))
            run(client, elsewhere.run("other"), many(9))
            ledger = elsewhere.read(LEDGER)
        runs.remove(LEDGER)
        if isinstance(ledger, bytes):
            runs.put(LEDGER, ledger)
        report = finalize(folder, gateway=gateway(client))
        assert words in report.error
        assert report.verdict is Verdict.FAILED
        assert report.counts == Counts(rows_read=4, unchanged=3, **{effect: 1})
        assert not runs.exists(LEDGER) if ledger is None else runs.read(LEDGER) == ledger

    def test_a_crash_between_ledger_and_report(self, runs: ExportFolder, tmp_path: Path) -> None:
        """A run that wrote the ledger and then died gets its report, and writes the ledger once only."""
        client = FakeMailchimp()
        folder = self.submitted(client, runs)
        shutil.copytree(folder.uri, tmp_path / "copy")
        finalize(folder, gateway=gateway(client))
        written = runs.read(LEDGER)
        runs.remove_run(folder)
        shutil.copytree(tmp_path / "copy", folder.uri)
        report = finalize(folder, gateway=gateway(client))
        assert report.verdict is Verdict.SUCCESS
        assert report.counts == Counts(rows_read=4, unchanged=3, updated=1)
        assert runs.read(LEDGER) == written

    def test_answers_in_no_known_shape_are_no_crash(self, runs: ExportFolder) -> None:
        """Whatever the results hold, settling ends in a report, with everybody in question unconfirmed."""
        client = FakeMailchimp()
        folder = self.submitted(client, runs)
        client.operate = failing(200, '["what?"]')  # type: ignore[assignment]
        report = finalize(folder, gateway=gateway(client))
        assert report.counts == Counts(rows_read=4, unchanged=3, unconfirmed=1)
        assert report.verdict is Verdict.FAILED

    @pytest.mark.parametrize("error", [refusal(404), AccessDenied("no role", status=403)])
    def test_refused_directly_too(self, runs: ExportFolder, error: Exception) -> None:
        """Where what a batch could not deliver is refused directly as well, the report says why."""
        client = FakeMailchimp()
        folder = self.submitted(client, runs)
        client.operate = failing(500, "{}")  # type: ignore[assignment]
        client.answers[f"POST {LIST}"] = raising(error)
        report = finalize(folder, gateway=gateway(client))
        assert (report.verdict, report.error) == (Verdict.FAILED, str(error))
        assert report.counts.unconfirmed == 1

    def test_the_ledger_grows_with_each_run(self, runs: ExportFolder) -> None:
        """The ledger's version is the number of runs that changed it, and it names the last of them."""
        client = FakeMailchimp()
        for number in range(3):
            run(client, runs.run(f"{number}"), many(number + 1))
        mark = read_mark(runs)
        assert mark
        assert (mark.version, mark.run) == (3, "2")


class TestLeaving:
    """Who left, by either delivery."""

    @pytest.mark.parametrize("delivery", Delivery)
    @pytest.mark.parametrize("known", [True, False], ids=["a tag", "a tag that is gone"])
    def test_who_left_is_untagged(self, runs: ExportFolder, delivery: Delivery, known: bool) -> None:
        """Who left the segment loses its tag; where the tag is gone nothing has to be asked for."""
        client = FakeMailchimp()
        run(client, runs.run("1"), many(4), delivery=delivery)
        if known:
            client.has_tag("S", 7)
        report = run(client, runs.run("2"), many(3), delivery=delivery)
        assert report.counts == Counts(rows_read=3, unchanged=3, removed=1)
        assert report.segments["S"].left == 1
        assert (len(client.tagged("S")) == 3) is known
        assert run(client, runs.run("3"), many(3), delivery=delivery).counts.removed == 0

    @pytest.mark.parametrize("status", [200, 500])
    def test_who_could_not_leave_by_a_batch_leaves_directly(self, runs: ExportFolder, status: int) -> None:
        """A failed operation by which people leave is repeated directly, when the run is settled."""
        client = FakeMailchimp()
        client.has_tag("S", 7)
        run(client, runs.run("1"), many(4))
        client.operate = failing(status)  # type: ignore[assignment]
        report = run(client, runs.run("2"), many(3), delivery=Delivery.BATCH)
        assert report.counts == Counts(rows_read=3, unchanged=3, removed=1)
        assert len(client.tagged("S")) == 3


class TestOptOuts:
    """People who say no in Mailchimp while an export is being sent."""

    def export(self, client: FakeMailchimp, folder: RunFolder, rows: pa.Table, **how: Any) -> Report:
        """Export, while the first request that carries profiles lets a minute pass and somebody opt out."""
        clock = Clock()
        leaves = how.pop("leaves")
        path = "POST /batches" if how["delivery"] is Delivery.BATCH else f"POST {LIST}"
        good = client.answers[path]

        def answer(request: Request) -> Any:
            answered = good(request)
            clock.now += timedelta(seconds=60)
            client.standing.update(leaves)
            return answered

        client.answers[path] = answer
        report = export(client, folder, {"S": rows}, now=clock, **how).submit().report
        return report or finalize(folder, gateway=gateway(client, now=clock))

    @pytest.mark.parametrize(("delivery", "people"), [(Delivery.DIRECT, 1600), (Delivery.BATCH, 21_600)])
    def test_they_are_not_sent(self, runs: ExportFolder, delivery: Delivery, people: int) -> None:
        """Who unsubscribes, or bounces, while others are sent is left out, counted, and stays as they are."""
        client = FakeMailchimp(max_connections=1)
        leaves = {f"p{people - 1:06d}@mail.eu": "unsubscribed", f"p{people - 2:06d}@mail.eu": "cleaned"}
        report = self.export(client, runs.run("r"), many(people), delivery=delivery, leaves=leaves)
        assert report.counts == Counts(rows_read=people, suppressed=2, created=people - 2)
        assert report.suppressed_by_reason == {"cleaned": 1, "unsubscribed": 1}
        assert not leaves.keys() & sent(client).keys()
        assert {email: client.standing[email] for email in leaves} == leaves

    @pytest.mark.parametrize("delivery", Delivery)
    def test_a_chunk_of_nobody_is_not_sent(self, runs: ExportFolder, delivery: Delivery) -> None:
        """Where everybody of a chunk said no there is no request for it, and all of them are counted."""
        client = FakeMailchimp()
        clock = Clock()
        look = client.answers[f"GET {LIST}/members"]

        def answer(request: Request) -> Any:
            found = look(request)
            if dict(request.query)["status"] == "archived":
                client.standing.update({"a@mail.eu": "unsubscribed", "b@mail.eu": "cleaned"})
                clock.now += timedelta(seconds=31)
            return found

        client.answers[f"GET {LIST}/members"] = answer
        rows = emails("a@mail.eu", "b@mail.eu")
        report = export(client, runs.run("r"), {"S": rows}, delivery=delivery, now=clock).submit().report
        assert report
        assert report.counts == Counts(rows_read=2, suppressed=2)
        assert sent(client) == Counter()

    def test_they_are_asked_for_again_by_a_retry(self, runs: ExportFolder) -> None:
        """Who said no between two attempts at a run is not sent by the second one."""
        client = FakeMailchimp(max_connections=1)
        client.answers[f"POST {LIST}"] = after(1, client.upsert, Killed())
        clock = Clock()
        with pytest.raises(Killed):
            export(client, runs.run("r"), {"S": many(1500)}, now=clock).submit()
        client.standing["p001400@mail.eu"] = "unsubscribed"
        clock.now += timedelta(hours=3)
        tried = len(client.requests)
        client.answers[f"POST {LIST}"] = client.upsert
        report = export(client, runs.run("r"), {"S": many(1500)}, now=clock).submit().report
        assert report
        assert report.counts == Counts(rows_read=1500, suppressed=1, created=1499)
        later = [request for request in client.requests[tried:] if request.method == "POST"]
        assert "p001400@mail.eu" not in {one["email_address"] for each in later for one in members_of(each)}

    def test_without_an_answer_nobody_is_sent(self, runs: ExportFolder) -> None:
        """Where it cannot be told who said no, the chunk is not sent: its members are unconfirmed."""
        client = FakeMailchimp()
        clock = Clock()
        look = client.answers[f"GET {LIST}/members"]
        answers = in_turn(*[look] * 5, raising(out_of_reach()))

        def answer(request: Request) -> Any:
            clock.now += timedelta(seconds=31)
            return answers(request)(request)

        client.answers[f"GET {LIST}/members"] = answer
        report = export(client, runs.run("r"), {"S": many(3)}, now=clock).submit().report
        assert report
        assert report.counts == Counts(rows_read=3, unconfirmed=3)
        assert sent(client) == Counter()
