"""From the sources to the plan: what is found out, and what is refused, before the first profile leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from airflow_mailchimp_export.accounting.report import Counts, Report
from airflow_mailchimp_export.errors import ConfigError, RemovalLimitExceeded, SourceError
from airflow_mailchimp_export.model import Verdict
from airflow_mailchimp_export.options import OnLeave
from airflow_mailchimp_export.state.ledger import LEDGER, SET_ASIDE, read_mark
from airflow_mailchimp_export.state.lock import LOCK
from airflow_mailchimp_export.state.manifest import Manifest
from airflow_mailchimp_export.state.run import PLAN, REPORT, RUN, ExportFolder
from tests.kit.exports import LIST, FakeMailchimp, export
from tests.kit.people import emails, many

CHANGES = {"POST", "PUT", "DELETE", "PATCH"}


@pytest.fixture
def runs(tmp_path: Path) -> ExportFolder:
    """The folder of the export."""
    return ExportFolder(tmp_path / "export")


def run(client: FakeMailchimp, runs: ExportFolder, name: str, rows: pa.Table, **how: Any) -> Report:
    """Export one segment directly."""
    report = export(client, runs.run(name), {"S": rows}, **how).submit().report
    assert report
    return report


def changes(client: FakeMailchimp) -> int:
    """How many requests changed something."""
    return sum(request.method in CHANGES for request in client.requests)


class TestLedger:
    """What earlier runs did."""

    def test_nothing_changed(self, runs: ExportFolder) -> None:
        """A second run on the same segment sends nothing, and the plan names the ledger it was made from."""
        client = FakeMailchimp()
        run(client, runs, "1", many(3))
        sent = changes(client)
        assert run(client, runs, "2", many(3)).counts == Counts(rows_read=3, unchanged=3)
        assert changes(client) == sent
        assert Manifest.from_json(runs.runs()[1].read(RUN)).ledger_version == 1

    @pytest.mark.parametrize("dry_run", [True, False])
    def test_a_damaged_ledger_stops_the_run(self, runs: ExportFolder, dry_run: bool) -> None:
        """A ledger that cannot be read is an error with its remedy, and stays as it is."""
        runs.put(LEDGER, b"no ledger")
        client = FakeMailchimp()
        folder = runs.run("1")
        with pytest.raises(ConfigError, match="run the export once with full=True"):
            export(client, folder, {"S": many(3)}, dry_run=dry_run, full=dry_run).submit()
        assert client.requests == []
        assert runs.read(LEDGER) == b"no ledger"
        assert Report.from_json(folder.read(REPORT)).verdict is Verdict.FAILED
        assert not runs.exists(LOCK)

    def test_a_damaged_ledger_is_set_aside_on_demand(
        self, runs: ExportFolder, caplog: pytest.LogCaptureFixture
    ) -> None:
        """With full=True the run starts anew, the old file is kept beside, and the log says so."""
        runs.put(LEDGER, b"no ledger")
        report = run(FakeMailchimp(), runs, "1", many(3), full=True)
        assert report.counts == Counts(rows_read=3, created=3)
        assert runs.read(SET_ASIDE) == b"no ledger"
        mark = read_mark(runs)
        assert mark
        assert mark.version == 1
        assert any(message.endswith("This run starts anew") for message in caplog.messages)

    def test_everybody_is_sent_again_on_demand(self, runs: ExportFolder) -> None:
        """With full=True everybody is sent, though nobody changed, and the ledger goes on."""
        client = FakeMailchimp()
        run(client, runs, "1", many(3))
        assert run(client, runs, "2", many(3), full=True).counts == Counts(rows_read=3, updated=3)
        mark = read_mark(runs)
        assert mark
        assert mark.version == 2

    @pytest.mark.parametrize(
        ("how", "field"),
        [
            ({"field_map": {"EMAIL": "email", "LNAME": "name"}}, {}),
            ({}, {"type": "dropdown", "options": {"choices": ["Ada"]}}),
        ],
        ids=["field map", "audience's field"],
    )
    def test_another_mapping_sends_everybody(
        self, runs: ExportFolder, how: dict[str, Any], field: dict[str, Any]
    ) -> None:
        """When what shapes the requests changes, people are sent though their profiles are as they were."""
        client = FakeMailchimp()
        client.merge_fields.append({"tag": "LNAME", "name": "Last name", "type": "text"})
        rows = pa.table({"email": ["ada@mail.eu"], "name": ["Ada"], "id": ["1"]})
        plain = {"field_map": {"EMAIL": "email", "FNAME": "name"}}
        run(client, runs, "1", rows, **plain)
        client.merge_fields[0] = {**client.merge_fields[0], **field}
        assert run(client, runs, "2", rows, **{**plain, **how}).counts == Counts(rows_read=1, updated=1)

    @pytest.mark.parametrize(
        ("how", "field"),
        [
            ({"skip_merge_validation": True}, {}),
            ({"profile_id": "id"}, {}),
            ({"field_map": {"EMAIL": "email", "LNAME": "last", "FNAME": "name"}}, {}),
            ({}, {"name": "Given name"}),
            ({}, {"required": True}),
        ],
        ids=["validation", "profile id", "order", "label", "required"],
    )
    def test_what_shapes_no_request_sends_nobody(
        self, runs: ExportFolder, how: dict[str, Any], field: dict[str, Any]
    ) -> None:
        """Who has been sent is not sent again for the sake of a label, of an option, or of the order of fields."""
        client = FakeMailchimp()
        client.merge_fields.append({"tag": "LNAME", "name": "Last name", "type": "text"})
        rows = pa.table({"email": ["ada@mail.eu"], "name": ["Ada"], "last": ["King"], "id": ["1"]})
        plain = {"field_map": {"EMAIL": "email", "FNAME": "name", "LNAME": "last"}}
        run(client, runs, "1", rows, **plain)
        client.merge_fields[0] = {**client.merge_fields[0], **field}
        assert run(client, runs, "2", rows, **{**plain, **how}).counts == Counts(rows_read=1, unchanged=1)

    def test_who_was_refused_is_tried_again_under_other_rules(self, runs: ExportFolder) -> None:
        """Once the audience requires a field no more, who was refused for want of it is sent."""
        client = FakeMailchimp()
        client.merge_fields[0] = {**client.merge_fields[0], "required": True}
        rows = pa.table({"email": ["ada@mail.eu", "bo@mail.eu"], "name": ["Ada", None]})
        how: dict[str, Any] = {"field_map": {"EMAIL": "email", "FNAME": "name"}}
        assert run(client, runs, "1", rows, **how).counts == Counts(rows_read=2, created=1, rejected=1)
        assert run(client, runs, "2", rows, **how).counts == Counts(rows_read=2, unchanged=1, rejected=1)
        client.merge_fields[0] = {**client.merge_fields[0], "required": False}
        assert run(client, runs, "3", rows, **how).counts == Counts(rows_read=2, unchanged=1, created=1)

    def test_created_fields_send_nobody_again(self, runs: ExportFolder) -> None:
        """The run after the one that created the audience's merge fields sends nobody."""
        client = FakeMailchimp()
        rows = pa.table({"email": ["ada@mail.eu"], "age": [36]})
        how: dict[str, Any] = {"field_map": {"EMAIL": "email", "AGE": "age"}, "create_merge_fields": True}
        assert run(client, runs, "1", rows, **how).counts == Counts(rows_read=1, created=1)
        assert run(client, runs, "2", rows, **how).counts == Counts(rows_read=1, unchanged=1)

    def test_a_field_that_is_not_mapped_changes_nothing(self, runs: ExportFolder) -> None:
        """A merge field that the export does not fill may come and go without anybody being sent."""
        client = FakeMailchimp()
        run(client, runs, "1", many(3))
        client.merge_fields.append({"tag": "AGE", "name": "Age", "type": "number"})
        assert run(client, runs, "2", many(3)).counts.unchanged == 3


class TestAdopting:
    """The first run, where people carry the tag already."""

    def before(self) -> FakeMailchimp:
        """An audience in which four people carry the tag."""
        client = FakeMailchimp(dict.fromkeys(many(4)["email"].to_pylist(), "subscribed"))
        client.tags = {email: {"S", "Theirs"} for email in client.standing}
        client.has_tag("S", 7)
        client.has_tag("Theirs", 8)
        return client

    def test_a_tag_is_left_alone(self, runs: ExportFolder) -> None:
        """People who carry the tag but are not in the segment keep it: this export did not put them there."""
        client = self.before()
        report = run(client, runs, "1", many(3))
        assert report.counts == Counts(rows_read=3, updated=3)
        assert len(client.tagged("S")) == 4

    def test_a_tag_may_be_adopted(self, runs: ExportFolder) -> None:
        """With adopt_existing_tag they count as put there: who is not in the segment loses this one tag."""
        client = self.before()
        report = run(client, runs, "1", many(3), adopt_existing_tag=True)
        assert report.counts == Counts(rows_read=3, updated=3, removed=1)
        assert len(client.tagged("S")) == 3
        assert len(client.tagged("Theirs")) == 4

    def test_only_the_first_run_adopts(self, runs: ExportFolder) -> None:
        """Where there is a ledger nobody is adopted: who carries the tag by other means keeps it."""
        client = self.before()
        run(client, runs, "1", many(3))
        run(client, runs, "2", many(3), adopt_existing_tag=True)
        assert len(client.tagged("S")) == 4


class TestStopLoss:
    """More would leave than is allowed."""

    @pytest.mark.parametrize(
        ("rows", "words"), [(many(6), "4 of 10 people would lose a tag"), (emails(), "are empty now")]
    )
    def test_nothing_is_sent(self, runs: ExportFolder, rows: pa.Table, words: str) -> None:
        """Where too many would leave, or a segment is empty, the run stops before anything is sent."""
        client = FakeMailchimp()
        client.has_tag("S", 7)
        run(client, runs, "1", many(10))
        sent, folder = changes(client), runs.run("2")
        with pytest.raises(RemovalLimitExceeded, match=words):
            export(client, folder, {"S": rows}).submit()
        assert changes(client) == sent
        assert words in Report.from_json(folder.read(REPORT)).error
        assert not folder.exists(RUN)

    def test_it_may_be_allowed(self, runs: ExportFolder) -> None:
        """With max_removal_ratio=1 everybody may leave."""
        client = FakeMailchimp()
        client.has_tag("S", 7)
        run(client, runs, "1", many(10))
        assert run(client, runs, "2", emails(), max_removal_ratio=1.0).counts == Counts(removed=10)
        assert client.tagged("S") == set()

    def test_where_nobody_leaves_nothing_is_checked(self, runs: ExportFolder) -> None:
        """With on_leave="keep" an empty segment is no danger: everybody keeps the tag."""
        client = FakeMailchimp()
        run(client, runs, "1", many(10))
        assert run(client, runs, "2", emails(), on_leave=OnLeave.KEEP).counts == Counts()
        assert len(client.tagged("S")) == 10


class TestDryRun:
    """The plan and the report, and not one change."""

    def test_it_tells_what_would_be(self, runs: ExportFolder) -> None:
        """Who would be created, updated, left out and untagged is counted with masked examples; no request changes."""
        client = FakeMailchimp()
        client.has_tag("S", 7)
        run(client, runs, "1", many(10))
        client.standing["gone@mail.eu"] = "unsubscribed"
        client.standing["here@mail.eu"] = "subscribed"
        written, sent, folder = runs.read(LEDGER), changes(client), runs.run("2")
        rows = pa.concat_tables([many(9), emails("gone@mail.eu", "here@mail.eu", "new@mail.eu", "wrong@")])
        field_map = {"EMAIL": "email"}
        report = export(client, folder, {"S": rows}, field_map=field_map, dry_run=True).submit().report
        assert report
        assert report.counts == Counts(
            rows_read=13, unchanged=9, suppressed=1, created=1, updated=1, rejected=1, removed=1
        )
        assert report.dry_run
        assert report.examples["created"] == ["n***@m***"]
        assert report.examples.keys() == {"created", "updated", "suppressed", "rejected", "removed"}
        assert changes(client) == sent
        assert runs.read(LEDGER) == written
        assert folder.exists(PLAN)

    def test_no_merge_field_is_created(self, runs: ExportFolder) -> None:
        """A dry run tells of members with fields that the audience lacks, and creates none of the fields."""
        client = FakeMailchimp()
        rows = pa.table({"email": ["ada@mail.eu"], "age": [36]})
        field_map = {"EMAIL": "email", "AGE": "age"}
        report = run(client, runs, "1", rows, field_map=field_map, create_merge_fields=True, dry_run=True)
        assert report.counts == Counts(rows_read=1, created=1)
        assert client.sent(f"POST {LIST}/merge-fields") == []
        assert not runs.exists(LEDGER)


def test_a_profile_id_that_the_source_lacks(runs: ExportFolder) -> None:
    """A profile_id that names no column is an error that lists the columns, before anything is sent."""
    client = FakeMailchimp()
    with pytest.raises(SourceError, match="no column 'id'; there are 'email'"):
        export(client, runs.run("1"), {"S": many(3)}, profile_id="id").submit()
    assert changes(client) == 0
