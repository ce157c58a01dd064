"""One export from its sources to its report, against an audience in memory."""

from __future__ import annotations

import csv
import io
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_mailchimp_export.accounting.report import Counts, Report
from airflow_mailchimp_export.errors import (
    AccessDenied,
    ConfigError,
    ExportError,
    PermanentError,
    RetryableError,
    SourceError,
    TooManyRejects,
)
from airflow_mailchimp_export.export import Export
from airflow_mailchimp_export.finalizing import finalize
from airflow_mailchimp_export.mailchimp.protocol import Request
from airflow_mailchimp_export.model import Delivery, MemberStatus, Verdict
from airflow_mailchimp_export.state.manifest import batches_from_json
from airflow_mailchimp_export.state.run import BATCHES, OUTCOMES, PLAN, REJECTS, REPORT, RUN, RunFolder
from tests.kit.archives import finished, link, to_archive
from tests.kit.client import Consent, in_turn, members_of, out_of_reach, raising, refusal
from tests.kit.exports import AUDIENCE_ID, LIST, FakeMailchimp, export, gateway, run_folder
from tests.kit.people import emails, many

NAMES = {"EMAIL": "email", "FNAME": "name"}


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """The folder of the run."""
    return run_folder(tmp_path)


def people(**names: str | None) -> pa.Table:
    """Make a table of names, each at the same mail system."""
    return pa.table(
        {"email": [f"{name}@mail.eu" for name in names], "name": pa.array(names.values(), pa.string())}
    )


def delivered(
    client: FakeMailchimp, folder: RunFolder, segments: Mapping[str, Any], **options: Any
) -> Report:
    """Export directly."""
    report = export(client, folder, segments, **options).submit().report
    assert report
    return report


def sibling(folder: RunFolder, name: str = "next") -> RunFolder:
    """The folder of another run of the same export."""
    return folder.export_folder().run(name)


def posts(client: FakeMailchimp) -> list[Request]:
    """The requests that carry profiles."""
    return client.sent(f"POST {LIST}") + client.sent("POST /batches")


class TestDirect:
    """Direct delivery."""

    def test_everybody_is_accounted_for(self, folder: RunFolder) -> None:
        """New, known, untouchable, repeated and unusable profiles are each under their own name."""
        client = FakeMailchimp({"old@mail.eu": "subscribed", "gone@mail.eu": "unsubscribed"})
        rows = emails("new@mail.eu", "NEW@mail.eu", "old@mail.eu", "gone@mail.eu", "wrong@", None)
        report = delivered(client, folder, {"S": rows})
        assert report.counts == Counts(rows_read=6, merged=1, rejected=2, suppressed=1, created=1, updated=1)
        assert report.rejects_by_reason == {"invalid_address": 1, "missing_address": 1}
        assert report.suppressed_by_reason == {"unsubscribed": 1}
        assert report.verdict is Verdict.PARTIAL
        assert client.standing == {
            "old@mail.eu": "subscribed",
            "gone@mail.eu": "unsubscribed",
            "new@mail.eu": "subscribed",
        }

    def test_who_it_was_and_what_it_was_like(self, folder: RunFolder) -> None:
        """The report names run, DAG, audience, user and segments, and lies in the folder."""
        report = delivered(
            FakeMailchimp(), folder, {"A": emails("a@mail.eu"), "B": emails("a@mail.eu", "b@mail.eu")}
        )
        assert (report.export, report.run_id, report.dag_id) == ("export", "manual__1", "dag")
        assert (report.audience_id, report.export_user) == (AUDIENCE_ID, "Ada Lovelace")
        assert (report.delivery, report.batch_ids, report.error) == ("direct", (), "")
        assert {name: (one.rows, one.members) for name, one in report.segments.items()} == {
            "A": (1, 1),
            "B": (2, 2),
        }
        assert Report.from_json(folder.read(REPORT)) == report

    def test_answers_are_joined_in_one_file(self, folder: RunFolder) -> None:
        """Once the run is settled, the single answers are gone, and plan, outcomes and rejects are there."""
        delivered(FakeMailchimp(), folder, {"S": many(1200)})
        assert folder.answers() == []
        assert all(folder.exists(name) for name in (PLAN, RUN, OUTCOMES, REJECTS, REPORT))
        assert not folder.exists(BATCHES)

    def test_nobody_to_send(self, folder: RunFolder) -> None:
        """By either delivery, an export of empty segments succeeds, and nothing is sent."""
        client = FakeMailchimp()
        for delivery in Delivery:
            place = RunFolder(Path(folder.uri) / delivery)
            submission = export(client, place, {"S": emails()}, delivery=delivery).submit()
            assert submission.report
            assert submission.report.verdict is Verdict.SUCCESS
            assert submission.report.counts == Counts()
        assert posts(client) == []

    def test_the_log_tells_the_table(self, folder: RunFolder, caplog: pytest.LogCaptureFixture) -> None:
        """The log ends with the report and where the files are, and holds no address."""
        caplog.set_level(logging.INFO)
        report = delivered(FakeMailchimp(), folder, {"S": emails("ada@mail.eu", "wrong@", "two@mail.eu")})
        assert caplog.messages[-1] == f"{report.table()}\n  files: {folder.uri}"
        assert "mail.eu" not in caplog.text

    def test_warnings_name_their_places(self, folder: RunFolder) -> None:
        """A value that was cut is a warning that names the first few places, over several blocks too."""
        long, count = "x" * 300, 40_010
        rows = many(count).append_column(
            "name", pa.array([long if number in {3, 40_001, 40_002} else "Ada" for number in range(count)])
        )
        report = delivered(FakeMailchimp(), folder, {"S": rows}, field_map=NAMES)
        (warning,) = report.warnings
        assert (warning.field, warning.count) == ("FNAME", 3)
        assert warning.examples == ("row 4", "row 40002", "row 40003")
        assert report.verdict is Verdict.SUCCESS

    def test_a_chunk_without_answer(self, folder: RunFolder) -> None:
        """Members of a chunk that got no answer are unconfirmed, and the verdict is PARTIAL."""
        client = FakeMailchimp()
        take = client.answers[f"POST {LIST}"]
        client.answers[f"POST {LIST}"] = lambda request: (
            raising(out_of_reach())(request)
            if members_of(request)[0]["email_address"].startswith("p000500")
            else take(request)
        )
        report = delivered(client, folder, {"S": many(1200)})
        assert report.counts == Counts(rows_read=1200, created=700, unconfirmed=500)
        assert report.verdict is Verdict.PARTIAL


class TestStatuses:
    """Which status is read, and which is sent."""

    UNTOUCHABLE = ("unsubscribed", "cleaned", "pending", "transactional", "archived")

    def test_subscribed_members_are_not_read_without_need(self, folder: RunFolder) -> None:
        """An export that sends new people as subscribed reads only those who must not be touched."""
        client = FakeMailchimp()
        delivered(client, folder, {"S": emails("ada@mail.eu")})
        assert client.statuses_read() == [*self.UNTOUCHABLE]

    @pytest.mark.parametrize("status", [MemberStatus.PENDING, MemberStatus.TRANSACTIONAL])
    def test_subscribed_members_keep_their_status(self, folder: RunFolder, status: MemberStatus) -> None:
        """Where new people get another status, subscribed members are read and stay subscribed."""
        client = FakeMailchimp({"old@mail.eu": "subscribed", "asked@mail.eu": "pending"})
        rows = emails("new@mail.eu", "old@mail.eu", "asked@mail.eu")
        report = delivered(client, folder, {"S": rows}, new_member_status=status)
        assert client.statuses_read() == [*self.UNTOUCHABLE, "subscribed"]
        assert client.standing == {
            "old@mail.eu": "subscribed",
            "asked@mail.eu": "pending",
            "new@mail.eu": status.value,
        }
        assert report.counts == Counts(rows_read=3, suppressed=1, created=1, updated=1)


class TestGuards:
    """What stops a run before the first profile leaves."""

    @pytest.mark.parametrize("delivery", Delivery)
    def test_too_many_profiles(self, folder: RunFolder, delivery: Delivery) -> None:
        """More rows over all segments than max_profiles, and nothing is sent; exactly as many pass."""
        client = FakeMailchimp()
        segments = {"A": many(6), "B": many(5, start=6)}
        with pytest.raises(ConfigError, match=r"hold 11 profiles, but max_profiles is 10\. Nothing was sent"):
            export(client, folder, segments, delivery=delivery, max_profiles=10).submit()
        assert posts(client) == []
        assert (
            export(client, RunFolder(Path(folder.uri) / "again"), segments, max_profiles=11).submit().report
        )

    def test_the_contract_is_counted_roughly_first(self, folder: RunFolder) -> None:
        """Where it is within the contract even if all are new, subscribed members are only counted."""
        client = FakeMailchimp({"old@mail.eu": "subscribed"})
        delivered(client, folder, {"S": emails("old@mail.eu", "new@mail.eu")}, contact_limit=3)
        assert "subscribed" not in client.statuses_read()

    def test_the_contract_is_counted_exactly_where_needed(self, folder: RunFolder) -> None:
        """Where it would be too much, subscribed members are read, and do not count again."""
        client = FakeMailchimp(
            {"old@mail.eu": "subscribed", "gone@mail.eu": "unsubscribed", "x@mail.eu": "cleaned"}
        )
        report = delivered(
            client, folder, {"S": emails("old@mail.eu", "gone@mail.eu", "new@mail.eu")}, contact_limit=3
        )
        assert client.statuses_read()[-1] == "subscribed"
        assert report.counts == Counts(rows_read=3, suppressed=1, created=1, updated=1)

    def test_past_the_contract(self, folder: RunFolder) -> None:
        """More than the contract allows is an error that says how many, and nothing is sent."""
        client = FakeMailchimp({"old@mail.eu": "subscribed"})
        with pytest.raises(ConfigError, match=r"holds 1 contacts and 2 would be new.* contact_limit of 2\."):
            delivered(client, folder, {"S": emails("old@mail.eu", "a@mail.eu", "b@mail.eu")}, contact_limit=2)
        assert posts(client) == []
        assert client.standing == {"old@mail.eu": "subscribed"}

    @pytest.mark.parametrize(
        "rows",
        [
            emails("a@mail.eu", "wrong", None),
            pa.table({"email": ["a@mail.eu", "b@mail.eu", "wrong"], "name": ["Ada", None, "Cyd"]}),
        ],
        ids=["addresses", "fields and addresses"],
    )
    def test_too_many_rejects(self, folder: RunFolder, rows: pa.Table) -> None:
        """Where most profiles cannot be sent nothing is, and rejects.csv lists them, as the message says."""
        client = FakeMailchimp()
        client.merge_fields[0]["required"] = "name" in rows.column_names
        field_map = NAMES if "name" in rows.column_names else None
        with pytest.raises(TooManyRejects, match="2 of 3 profiles cannot be sent"):
            export(client, folder, {"S": rows}, field_map=field_map).submit()
        assert posts(client) == []
        listed = list(csv.DictReader(io.StringIO(folder.read(REJECTS).decode("utf-8-sig"))))
        assert len(listed) == 2
        report = Report.from_json(folder.read(REPORT))
        assert report.verdict is Verdict.FAILED
        assert report.counts == Counts(rows_read=3, rejected=2, unconfirmed=1)

    def test_without_consent(self, folder: RunFolder) -> None:
        """Without consent Mailchimp is not even asked about the audience."""
        client = FakeMailchimp()
        permit = Consent(ConfigError("data_privacy_consent is off"), permits=0)
        with pytest.raises(ConfigError, match="consent"):
            export(client, folder, {"S": emails("ada@mail.eu")}, permit=permit).submit()
        assert client.requests == []


class TestFields:
    """The field map in a run."""

    def test_missing_merge_fields_are_created(self, folder: RunFolder) -> None:
        """With create_merge_fields, what the audience lacks is there before the first profile."""
        client = FakeMailchimp()
        rows = pa.table({"email": ["ada@mail.eu"], "name": ["Ada"], "age": [36]})
        field_map = {**NAMES, "AGE": "age"}
        report = delivered(client, folder, {"S": rows}, field_map=field_map, create_merge_fields=True)
        assert report.verdict is Verdict.SUCCESS
        assert client.merge_fields[1] == {"tag": "AGE", "name": "Age", "type": "number"}
        paths = [f"{request.method} {request.path}" for request in client.requests]
        assert paths.index(f"POST {LIST}/merge-fields") < paths.index(f"POST {LIST}")

    def test_a_wrong_map_creates_nothing(self, folder: RunFolder) -> None:
        """Where another part of the field map is wrong, no merge field is created."""
        client = FakeMailchimp()
        client.merge_fields[0]["type"] = "date"
        rows = pa.table({"email": ["ada@mail.eu"], "name": [1.5], "age": [36]})
        with pytest.raises(ConfigError, match="FNAME of type date"):
            delivered(
                client, folder, {"S": rows}, field_map={**NAMES, "AGE": "age"}, create_merge_fields=True
            )
        assert client.sent(f"POST {LIST}/merge-fields") == []

    def test_a_column_of_which_no_value_fits(self, folder: RunFolder) -> None:
        """A column that holds something else altogether stops the run before anything is sent."""
        client = FakeMailchimp()
        client.merge_fields.append({"tag": "AGE", "name": "Age", "type": "number"})
        rows = pa.table({"email": ["ada@mail.eu", "bob@mail.eu"], "age": ["old", "young"]})
        with pytest.raises(ConfigError, match="no value of the column for AGE fits the type number"):
            delivered(client, folder, {"S": rows}, field_map={"EMAIL": "email", "AGE": "age"})
        assert posts(client) == []

    def test_an_address_in_parts(self, folder: RunFolder) -> None:
        """A field that is filled from several columns is checked and sent whole."""
        client = FakeMailchimp()
        client.merge_fields.append({"tag": "HOME", "name": "Home", "type": "address"})
        parts = {"addr1": "street", "city": "city", "state": "region", "zip": "code"}
        rows = pa.table(
            {"email": ["ada@mail.eu"], "street": ["1 Main St"], "city": ["X"], "region": ["Y"], "code": ["1"]}
        )
        delivered(client, folder, {"S": rows}, field_map={"EMAIL": "email", "HOME": parts})
        (request,) = posts(client)
        assert members_of(request)[0]["merge_fields"] == {
            "HOME": {"addr1": "1 Main St", "city": "X", "state": "Y", "zip": "1"}
        }

    def test_required_fields_may_be_waived(self, folder: RunFolder) -> None:
        """With skip_merge_validation a required field may be blank, and Mailchimp is told so."""
        client = FakeMailchimp()
        client.merge_fields[0]["required"] = True
        report = delivered(
            client, folder, {"S": people(ada=None)}, field_map=NAMES, skip_merge_validation=True
        )
        assert report.counts == Counts(rows_read=1, created=1)
        assert dict(posts(client)[0].query)["skip_merge_validation"] == "true"


class TestFailures:
    """Runs that something stops."""

    def test_an_unreadable_source(self, folder: RunFolder, tmp_path: Path) -> None:
        """A segment that cannot be read leaves a report that says so, with nothing read and nothing sent."""
        client = FakeMailchimp()
        with pytest.raises(SourceError) as error:
            export(client, folder, {"S": str(tmp_path / "nowhere.parquet")}).submit()
        report = Report.from_json(folder.read(REPORT))
        assert (report.verdict, report.counts) == (Verdict.FAILED, Counts())
        assert report.error == str(error.value)
        assert report.segments.keys() == {"S"}
        assert posts(client) == []

    def test_a_source_that_breaks_half_way(self, folder: RunFolder, tmp_path: Path) -> None:
        """Rows that were read until a source broke are unconfirmed, and the sum holds."""
        good, bad = tmp_path / "1.csv", tmp_path / "2.csv"
        good.write_text("email\na@mail.eu\nb@mail.eu\n", encoding="utf-8")
        bad.write_bytes(b"email\nc@mail.eu\n\xff\xfe@mail.eu\n")
        client = FakeMailchimp()
        with pytest.raises(SourceError):
            export(client, folder, {"Good": str(good), "Bad": str(bad)}).submit()
        report = Report.from_json(folder.read(REPORT))
        assert report.verdict is Verdict.FAILED
        assert report.counts.adds_up
        assert report.counts.unconfirmed == report.counts.rows_read
        assert posts(client) == []

    def test_mailchimp_refuses_while_sending(self, folder: RunFolder) -> None:
        """What was answered until Mailchimp refused is counted, and the report says what stopped the run."""
        client = FakeMailchimp(max_connections=1)
        client.answers[f"POST {LIST}"] = _turning(
            client.upsert, after=2, into=AccessDenied("no role", status=403)
        )
        with pytest.raises(AccessDenied, match="no role"):
            export(client, folder, {"S": many(5000)}).submit()
        report = Report.from_json(folder.read(REPORT))
        assert report.counts == Counts(rows_read=5000, created=1000, unconfirmed=4000)
        assert (report.verdict, report.error) == (Verdict.FAILED, "no role")
        assert folder.answers() == []

    @pytest.mark.parametrize("delivery", Delivery)
    def test_consent_is_withdrawn_while_sending(self, folder: RunFolder, delivery: Delivery) -> None:
        """Withdrawn consent stops the run at once; the report counts what was confirmed and names batches."""
        client = FakeMailchimp(max_connections=1)
        permit = Consent(ConfigError("data_privacy_consent is off"), permits=2)
        with pytest.raises(ConfigError, match="is off"):
            export(client, folder, {"S": many(20_001)}, delivery=delivery, permit=permit).submit()
        assert len(posts(client)) == 1
        report = Report.from_json(folder.read(REPORT))
        confirmed = 500 if delivery is Delivery.DIRECT else 20_000
        assert report.counts == Counts(rows_read=20_001, created=confirmed, unconfirmed=20_001 - confirmed)
        assert report.verdict is Verdict.FAILED
        assert report.batch_ids == (() if delivery is Delivery.DIRECT else ("batch0",))

    def test_a_place_that_cannot_be_written_to(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """An exports_root that cannot be written to stops the run before anything is sent."""
        (tmp_path / "file").write_bytes(b"")
        client = FakeMailchimp()
        with pytest.raises(ConfigError, match=r"Cannot write files"):
            export(client, RunFolder(tmp_path / "file" / "run"), {"S": emails("ada@mail.eu")}).submit()
        with pytest.raises(ConfigError, match=r"Cannot write plan\.parquet"):
            export(client, RunFolder(tmp_path / "file"), {"S": emails("ada@mail.eu")}).submit()
        assert posts(client) == []
        assert caplog.messages[-1].startswith("No report could be written: Cannot write report.json")


class TestBatches:
    """Delivery by batches, and settling."""

    def submitted(self, client: FakeMailchimp, folder: RunFolder, rows: pa.Table) -> tuple[str, ...]:
        """Submit an export."""
        submission = export(client, folder, {"S": rows}, delivery=Delivery.BATCH).submit()
        assert submission.report is None
        return submission.batch_ids

    def test_batches_are_journaled_one_by_one(self, folder: RunFolder) -> None:
        """Each batch is told and stands in the journal with its chunks before the next one is submitted."""
        client = FakeMailchimp()
        told: list[str] = []
        journal: list[int] = []

        def permit() -> None:
            journal.append(len(batches_from_json(folder.read(BATCHES))) if folder.exists(BATCHES) else 0)

        submission = export(
            client, folder, {"S": many(40_500)}, delivery=Delivery.BATCH, permit=permit
        ).submit(on_batch=told.append)
        assert submission.batch_ids == tuple(told) == ("batch0", "batch1", "batch2")
        assert journal == [0, 0, 1, 2]
        batches = batches_from_json(folder.read(BATCHES))
        assert [(one.id, one.chunks[0], one.chunks[-1]) for one in batches] == [
            ("batch0", 0, 39),
            ("batch1", 40, 79),
            ("batch2", 80, 80),
        ]

    def test_settling_collects_all_batches(self, folder: RunFolder) -> None:
        """What all batches answered is counted, and the report names them."""
        client = FakeMailchimp()
        ids = self.submitted(client, folder, many(20_600))
        report = finalize(folder, gateway=gateway(client))
        assert report.counts == Counts(rows_read=20_600, created=20_600)
        assert (report.verdict, report.batch_ids, report.delivery) == (Verdict.SUCCESS, ids, "batch")

    def test_settling_twice(self, folder: RunFolder) -> None:
        """A run that is settled is not settled again: the same report, and no request."""
        client = FakeMailchimp()
        self.submitted(client, folder, many(3))
        report = finalize(folder, gateway=gateway(client))
        asked = len(client.requests)
        assert finalize(folder, gateway=gateway(client)) == report
        assert len(client.requests) == asked

    def test_an_operation_that_failed_is_delivered_directly(self, folder: RunFolder) -> None:
        """Chunks that a batch could not deliver go directly, only these, in the same run."""
        client = FakeMailchimp()
        take = client.operate
        client.operate = lambda operation: (  # type: ignore[method-assign]
            {"status_code": 500, "operation_id": operation["operation_id"], "response": "{}"}
            if operation["operation_id"] in {"1", "3"}
            else take(operation)
        )
        self.submitted(client, folder, many(2200))
        report = finalize(folder, gateway=gateway(client))
        assert report.counts == Counts(rows_read=2200, created=2200)
        assert [members_of(request)[0]["email_address"] for request in client.sent(f"POST {LIST}")] == [
            "p000500@mail.eu",
            "p001500@mail.eu",
        ]

    @pytest.mark.parametrize(
        "state",
        [raising(refusal(404)), lambda _: finished("batch0", status="finalizing"), raising(out_of_reach())],
        ids=["gone", "not finished", "out of reach"],
    )
    def test_a_batch_without_results(self, folder: RunFolder, state: Callable[[Request], Any]) -> None:
        """Members of a batch that does not tell in the end are unconfirmed; those of the others count."""
        client = FakeMailchimp()
        self.submitted(client, folder, many(20_300))
        client.answers["GET /batches/batch0"] = state
        report = finalize(folder, gateway=gateway(client))
        assert report.counts == Counts(rows_read=20_300, created=300, unconfirmed=20_000)
        assert report.verdict is Verdict.PARTIAL

    def test_nothing_confirmed_is_a_failure(self, folder: RunFolder) -> None:
        """Where no batch told anything, the run has failed."""
        client = FakeMailchimp()
        self.submitted(client, folder, many(10))
        client.answers["GET /batches/batch0"] = raising(refusal(404))
        assert finalize(folder, gateway=gateway(client)).verdict is Verdict.FAILED

    def test_an_incomplete_archive(self, folder: RunFolder) -> None:
        """Members of an operation whose result is missing are unconfirmed."""
        client = FakeMailchimp()
        self.submitted(client, folder, many(1500))
        operations = client.batches["batch0"]
        client.downloads[link("batch0")] = lambda: to_archive(map(client.operate, operations[1:]))
        assert finalize(folder, gateway=gateway(client)).counts == Counts(
            rows_read=1500, created=1000, unconfirmed=500
        )

    def test_a_broken_archive(self, folder: RunFolder) -> None:
        """An archive that is readable only at the third download counts like any other."""
        client = FakeMailchimp()
        self.submitted(client, folder, many(3))
        whole = client.downloads[link("batch0")]()
        client.downloads[link("batch0")] = in_turn(whole[:40], b"", whole)
        slept: list[float] = []
        report = finalize(folder, gateway=gateway(client, sleep=slept.append))
        assert report.counts == Counts(rows_read=3, created=3)
        assert slept == [2.0, 4.0]

    def test_settling_that_fails_can_be_repeated(self, folder: RunFolder) -> None:
        """Where Mailchimp is out of reach when chunks go directly, no report is written; the next time is good."""
        client = FakeMailchimp(max_connections=1)
        take = client.operate
        client.operate = lambda operation: (  # type: ignore[method-assign]
            {"status_code": 500, "operation_id": operation["operation_id"], "response": "{}"}
            if operation["operation_id"] != "0"
            else take(operation)
        )
        self.submitted(client, folder, many(5000))
        client.answers[f"POST {LIST}"] = raising(out_of_reach())
        with pytest.raises(RetryableError):
            finalize(folder, gateway=gateway(client))
        assert not folder.exists(REPORT)
        client.answers[f"POST {LIST}"] = client.upsert
        assert finalize(folder, gateway=gateway(client)).counts == Counts(rows_read=5000, created=5000)

    def test_settling_that_is_refused(self, folder: RunFolder) -> None:
        """Where Mailchimp refuses to tell the answers, the report says so, and the next run sends all again."""
        client = FakeMailchimp()
        self.submitted(client, folder, many(3))
        client.answers["GET /batches/batch0"] = raising(AccessDenied("revoked", status=401))
        report = finalize(folder, gateway=gateway(client))
        assert (report.verdict, report.error) == (Verdict.FAILED, "revoked")
        assert report.counts == Counts(rows_read=3, unconfirmed=3)
        again = delivered(client, sibling(folder), {"S": many(3)})
        assert again.counts == Counts(rows_read=3, created=3)

    def test_a_later_batch_is_refused(self, folder: RunFolder) -> None:
        """Where a later batch is refused, those that were taken are cancelled, and the report names them."""
        client = FakeMailchimp()
        client.answers["POST /batches"] = in_turn(
            {"id": "one", "status": "pending"}, PermanentError("too much", status=400)
        )
        client.answers["GET /batches/one"] = lambda _: finished("one", status="started")
        client.answers["DELETE /batches/one"] = lambda _: None
        with pytest.raises(PermanentError, match="too much"):
            export(client, folder, {"S": many(20_001)}, delivery=Delivery.BATCH).submit()
        report = Report.from_json(folder.read(REPORT))
        assert (report.verdict, report.error, report.batch_ids) == (Verdict.FAILED, "too much", ("one",))
        assert len(client.sent("DELETE /batches/one")) == 1
        assert report.counts == Counts(rows_read=20_001, unconfirmed=20_001)

    def test_a_folder_without_a_run(self, folder: RunFolder) -> None:
        """Where there is no run, whoever settles is told where it was looked for and what may be wrong."""
        with pytest.raises(ConfigError, match=r"no run to account for at .*exports_root") as error:
            finalize(folder, gateway=gateway(FakeMailchimp()))
        assert folder.uri in str(error.value)

    def test_a_run_on_another_storage(self) -> None:
        """Plan, batches and report may lie on any storage."""
        from upath import UPath

        folder = RunFolder(UPath("memory://export/run"))
        client = FakeMailchimp()
        assert self.submitted(client, folder, many(700)) == ("batch0",)
        assert finalize(folder, gateway=gateway(client)).counts == Counts(rows_read=700, created=700)


ADDRESSES = [
    "a@x.eu",
    "A@X.EU ",
    "b@x.eu",
    "c@x.eu",
    "d@x.eu",
    "e@x.eu",
    "f@x.eu",
    "not an address",
    "",
    None,
]
STATUSES = st.sampled_from(["subscribed", "unsubscribed", "cleaned", "pending", "transactional", "archived"])
SEGMENTS = st.lists(st.lists(st.sampled_from(ADDRESSES), max_size=8), min_size=1, max_size=3)
STRANGE = st.sampled_from(
    ["as sent", "missing", "twice", "refused", "suppressed", "stranger", "unsubscribed", ""]
)


@settings(max_examples=25, deadline=None)
@given(
    segments=SEGMENTS,
    standing=st.dictionaries(st.sampled_from([f"{letter}@x.eu" for letter in "abcdef"]), STATUSES),
    answers=st.lists(STRANGE, min_size=8, max_size=8),
    status=st.sampled_from([MemberStatus.SUBSCRIBED, MemberStatus.PENDING, MemberStatus.TRANSACTIONAL]),
    delivery=st.sampled_from(Delivery),
    whole=st.sampled_from([None, RetryableError("lost"), PermanentError("no", status=400)]),
)
def test_the_sum_always_holds(
    tmp_path_factory: pytest.TempPathFactory,
    segments: Sequence[Sequence[str | None]],
    standing: dict[str, str],
    answers: Sequence[str],
    status: MemberStatus,
    delivery: Delivery,
    whole: Exception | None,
) -> None:
    """Whoever is in the segments and whatever Mailchimp answers, every row is under exactly one name."""
    client = FakeMailchimp(standing)
    client.answers[f"POST {LIST}"] = (
        in_turn(whole, whole) if whole else lambda request: strange(request, answers)
    )
    client.operate = lambda operation: {  # type: ignore[method-assign]
        "status_code": 500 if whole else 200,
        "operation_id": operation["operation_id"],
        "response": json.dumps(strange(Request("POST", LIST, body=operation["body"].encode()), answers)),
    }
    folder = RunFolder(tmp_path_factory.mktemp("run") / "run")
    job = export(
        client,
        folder,
        {f"S{index}": emails(*rows) for index, rows in enumerate(segments)},
        delivery=delivery,
        new_member_status=status,
        max_reject_ratio=1.0,
    )
    report = _finalized(job, folder, client)
    counts = report.counts
    rows = [address for segment in segments for address in segment]
    persons = {address.strip().lower() for address in rows if address and "@" in address}
    assert counts.adds_up
    assert counts.rows_read == len(rows)
    assert counts.merged == sum(1 for address in rows if address and "@" in address) - len(persons)
    assert sum(report.rejects_by_reason.values()) == counts.rejected
    assert sum(report.suppressed_by_reason.values()) == counts.suppressed
    sent = [
        member["email_address"] for request in client.sent(f"POST {LIST}") for member in members_of(request)
    ]
    sent += [
        member["email_address"]
        for operations in client.batches.values()
        for operation in operations
        for member in json.loads(operation["body"])["members"]
    ]
    may_be_sent = {None, "subscribed"} | (
        {"transactional"} if status is MemberStatus.TRANSACTIONAL else set()
    )
    assert {standing.get(email) for email in sent} <= may_be_sent


def strange(request: Request, answers: Sequence[str]) -> dict[str, Any]:
    """Answer each member in its own way."""
    answer: dict[str, list[dict[str, Any]]] = {"new_members": [], "updated_members": [], "errors": []}
    for carried, way in zip(members_of(request), answers, strict=False):
        email, status = carried["email_address"], carried["status"]
        taken = {"email_address": email.upper(), "status": status}
        if way in {"as sent", "twice"}:
            answer["new_members"].append(taken)
        if way == "twice":
            answer["updated_members"].append({**taken, "status": "cleaned"})
        if way == "refused":
            answer["errors"].append(
                {"email_address": email, "error": "Please provide a valid email address."}
            )
        if way == "suppressed":
            answer["errors"].append({"email_address": email, "error": f"{email} is in a compliance state"})
        if way == "stranger":
            answer["new_members"].append({"email_address": "stranger@x.eu", "status": status})
        if way in {"unsubscribed", ""}:
            answer["updated_members"].append({"email_address": email, "status": way})
    return answer


def _finalized(job: Export, folder: RunFolder, client: FakeMailchimp) -> Report:
    try:
        report = job.submit().report or finalize(folder, gateway=gateway(client))
    except ExportError:
        report = Report.from_json(folder.read(REPORT))
    return report


def _turning(good: Callable[[Request], Any], *, after: int, into: Exception) -> Callable[[Request], Any]:
    """Answer so many times, then raise."""
    left = iter(range(after))

    def answer(request: Request) -> Any:
        if next(left, None) is None:
            raise into
        return good(request)

    return answer
