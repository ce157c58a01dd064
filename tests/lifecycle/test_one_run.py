"""One run of an export by direct delivery: who comes under which name, and what the report and the log say."""

from __future__ import annotations

import logging
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_mailchimp_export.accounting.report import Counts
from airflow_mailchimp_export.accounting.shown import table
from airflow_mailchimp_export.model import Delivery, MemberStatus, Verdict
from airflow_mailchimp_export.sources.opening import plain_path
from airflow_mailchimp_export.sources.paths import StoragePath
from airflow_mailchimp_export.state.run import BATCHES, OUTCOMES, PLAN, REJECTS, REPORT, RUN
from tests.kit.client import members_of, out_of_reach
from tests.kit.exports import AUDIENCE_ID, LIST
from tests.kit.life import Life
from tests.kit.people import many, people


class TestReport:
    """What a run comes to."""

    def test_everybody_is_accounted_for(self, life: Life) -> None:
        """New, known, untouchable, repeated and unusable profiles are each under their own name."""
        life.put("old@mail.eu")
        life.put("gone@mail.eu", status="unsubscribed")
        rows = people("new@mail.eu", "NEW@mail.eu", "old@mail.eu", "gone@mail.eu", "wrong@", None)
        report = life.run({"S": rows})
        assert report.counts == Counts(rows_read=6, merged=1, rejected=2, suppressed=1, created=1, updated=1)
        assert report.rejects_by_reason == {"invalid_address": 1, "missing_address": 1}
        assert report.suppressed_by_reason == {"unsubscribed": 1}
        assert report.verdict is Verdict.PARTIAL
        assert life.audience() == {
            "old@mail.eu": ("subscribed", {"S"}),
            "gone@mail.eu": ("unsubscribed", set()),
            "new@mail.eu": ("subscribed", {"S"}),
        }

    def test_mailchimps_own_words_decide(self, life: Life) -> None:
        """Fake addresses, too many sign-ups and forgotten people are told apart, and rejects.csv says why."""
        life.put("crowd@mail.eu", status="", over_subscribed=99)
        life.put("forgotten@mail.eu", status="", forgotten=True)
        names = ("fake@example.com", "crowd@mail.eu", "forgotten@mail.eu", "ada@mail.eu", "bob@mail.eu")
        report = life.run({"S": people(*names)})
        assert report.counts == Counts(rows_read=5, rejected=2, suppressed=1, created=2)
        assert report.rejects_by_reason == {"fake_address": 1, "too_many_signups": 1}
        assert report.suppressed_by_reason == {"forgotten": 1}
        rejects = life.folder.read(f"run1/{REJECTS}").decode("utf-8-sig")
        assert "fake@example.com looks fake or invalid" in rejects

    def test_who_it_was_and_what_it_was_like(self, life: Life) -> None:
        """The report names run, DAG, audience, user and segments, and lies in the folder."""
        report = life.run({"A": people("a@mail.eu"), "B": people("a@mail.eu", "b@mail.eu")})
        assert (report.export, report.run_id, report.dag_id) == ("life", "run1", "dag")
        assert (report.audience_id, report.export_user) == (AUDIENCE_ID, "Ada")
        assert (report.delivery, report.batch_ids, report.error) == ("direct", (), "")
        assert {name: (one.rows, one.members) for name, one in report.segments.items()} == {
            "A": (1, 1),
            "B": (2, 2),
        }
        assert life.report("run1") == report

    def test_answers_are_joined_in_one_file(self, life: Life) -> None:
        """Once the run is settled, the single answers are gone, and plan, outcomes and rejects are there."""
        life.run({"S": many(1200)})
        (folder,) = life.folder.runs()
        assert folder.answers() == []
        assert all(folder.exists(name) for name in (PLAN, RUN, OUTCOMES, REJECTS, REPORT))
        assert not folder.exists(BATCHES)

    @pytest.mark.parametrize("delivery", Delivery)
    def test_nobody_to_send(self, life: Life, delivery: Delivery) -> None:
        """By either delivery, an export of empty segments succeeds at once, and nothing is sent."""
        submission, _ = life.submit({"S": people()}, delivery=delivery)
        assert submission.report
        assert submission.report.verdict is Verdict.SUCCESS
        assert submission.report.counts == Counts()
        assert life.carriers() == []

    def test_the_log_tells_the_table(self, life: Life, caplog: pytest.LogCaptureFixture) -> None:
        """The log ends with the report and where the files are, and holds no address."""
        caplog.set_level(logging.INFO)
        report = life.run({"S": people("ada@mail.eu", "wrong@", "two@mail.eu")})
        assert caplog.messages[-1] == f"{table(report)}\n  files: {life.folder.runs()[0].uri}"
        assert "mail.eu" not in caplog.text

    def test_warnings_name_their_places(self, life: Life) -> None:
        """A value that was cut is a warning that names the first few places, over several blocks too."""
        long, count = "x" * 300, 20_010
        names = [long if number in {3, 20_001, 20_002} else "Ada" for number in range(count)]
        life.field_map = {"EMAIL": "email", "FNAME": "name"}
        report = life.run({"S": many(count).append_column("name", pa.array(names))}, dry_run=True)
        (warning,) = report.warnings
        assert (warning.field, warning.count) == ("FNAME", 3)
        assert warning.examples == ("row 4", "row 20002", "row 20003")
        assert report.verdict is Verdict.SUCCESS

    def test_a_chunk_without_answer(self, life: Life) -> None:
        """Members of a chunk that got no answer are unconfirmed, and the verdict is PARTIAL."""
        life.script[f"POST {LIST}"] = lambda request: (
            out_of_reach() if members_of(request)[0]["email_address"].startswith("p000500") else None
        )
        report = life.run({"S": many(1200)})
        assert report.counts == Counts(rows_read=1200, created=700, unconfirmed=500)
        assert report.verdict is Verdict.PARTIAL


class TestStatuses:
    """Which status is read, and which is sent."""

    UNTOUCHABLE = ("unsubscribed", "cleaned", "pending", "transactional", "archived")

    def test_subscribed_members_are_not_read_without_need(self, life: Life) -> None:
        """Who is sent as subscribed needs only those read who must not be touched, to plan and before sending."""
        life.run({"S": people("ada@mail.eu")})
        assert statuses_read(life) == [*self.UNTOUCHABLE, *self.UNTOUCHABLE]

    @pytest.mark.parametrize("status", [MemberStatus.PENDING, MemberStatus.TRANSACTIONAL])
    def test_subscribed_members_keep_their_status(self, life: Life, status: MemberStatus) -> None:
        """Where new people get another status, subscribed members are read and stay subscribed."""
        life.put("old@mail.eu")
        life.put("asked@mail.eu", status="pending")
        rows = people("new@mail.eu", "old@mail.eu", "asked@mail.eu")
        report = life.run({"S": rows}, new_member_status=status)
        assert statuses_read(life) == [*self.UNTOUCHABLE, "subscribed", *self.UNTOUCHABLE]
        assert {email: standing for email, (standing, _) in life.audience().items()} == {
            "old@mail.eu": "subscribed",
            "asked@mail.eu": "pending",
            "new@mail.eu": status.value,
        }
        assert report.counts == Counts(rows_read=3, suppressed=1, created=1, updated=1)


def statuses_read(life: Life) -> list[str]:
    """The statuses whose members were read, page by page; counts are left out."""
    queries = [dict(request.query) for request in life.sent(f"GET {LIST}/members")]
    return [query["status"] for query in queries if query["count"] != "1"]


def test_memory_is_given_back_while_it_is_at_work(life: Life, tmp_path: Path) -> None:
    """Sources are read with the allocator that keeps nothing, and nobody else's is changed for good."""
    pools: list[str] = []

    def noted(uri: str, conn_id: str | None) -> StoragePath:
        pools.append(pa.default_memory_pool().backend_name)
        return plain_path(uri, conn_id)

    pq.write_table(people("ada@mail.eu"), tmp_path / "s.parquet")
    life.path_factory = noted
    before = pa.default_memory_pool().backend_name
    assert life.run({"S": str(tmp_path / "s.parquet")}).counts == Counts(rows_read=1, created=1)
    assert {*pools} == {"system"}
    assert pa.default_memory_pool().backend_name == before
