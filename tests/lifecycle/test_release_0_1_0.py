"""What release 0.1.0 left on disk is opened, gone on with and finished."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from airflow_mailchimp_export.accounting.report import Counts, Report
from airflow_mailchimp_export.model import Delivery
from airflow_mailchimp_export.options import OnLeave
from airflow_mailchimp_export.state.lock import LOCK
from airflow_mailchimp_export.state.run import REPORT, ExportFolder
from tests.fixtures.release_0_1_0 import ALL, BATCH, DIRECT, DIRECT_TYPED, Fixture, Moment
from tests.kit.exports import AUDIENCE_ID
from tests.kit.life import Life, changing, members_sent

if TYPE_CHECKING:
    from airflow_mailchimp_export.sandbox.meter import Entry

each = pytest.mark.parametrize("fixture", ALL, ids=lambda fixture: fixture.kind)
killed = pytest.mark.parametrize("fixture", [BATCH, DIRECT], ids=lambda fixture: fixture.kind)
same_text = pytest.mark.skipif(
    duckdb.__version__.startswith("1."),
    reason="DuckDB 2 wrote the ledger, and spells a backslash another way",
)

SETTLED = {
    BATCH: Counts(rows_read=1696, merged=299, rejected=62, suppressed=105, created=1079, updated=151),
    DIRECT: Counts(rows_read=1696, merged=299, rejected=62, suppressed=105, created=1079, updated=151),
    DIRECT_TYPED: Counts(rows_read=122, rejected=5, suppressed=7, created=98, updated=12),
}
"""What the reports of the first runs say."""

SECOND_RUN = Counts(
    rows_read=1632,
    merged=288,
    rejected=58,
    suppressed=97,
    unchanged=105,
    created=15,
    updated=1069,
    removed=66,
)
"""What the second run comes to with direct delivery; of those new to the audience it sent one without an answer."""


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """Where the segments' files are written."""
    return tmp_path / "segments"


def gone_on_with(life: Life, fixture: Fixture, root: Path, *, runs: bool = True) -> Life:
    """The life of a copy of the release's export, as it was defined."""
    said = fixture.definition
    definition = {"name": said["name"], "delivery": Delivery(said["delivery"])}
    return replace(
        life,
        folder=ExportFolder(fixture.copy_to(root, runs=runs)),
        field_map=said["field_map"],
        options={**definition, "on_leave": OnLeave(said["on_leave"]), **said["options"]},
    )


def outcome(report: Report) -> Mapping[str, Any]:
    """What ``expected.json`` says of a run; release 0.1.0 did not count who is not sent."""
    counts = asdict(report.counts)
    assert counts.pop("not_sent") == 0
    return {
        "verdict": report.verdict.value,
        "error": report.error,
        "counts": counts,
        "address_changes": {name: report.address_changes[name] for name in ("renamed", "rename_refused")},
        "segments": {name: asdict(account) for name, account in report.segments.items()},
    }


def upserted(seen: Iterable[Entry]) -> int:
    """How many people were sent, and did not only lose a tag."""
    return sum(entry.members for entry in seen if entry.path.endswith(AUDIENCE_ID))


class TestSettledRuns:
    """The first run of each export, which has its report."""

    @each
    def test_the_report_opens(self, fixture: Fixture) -> None:
        """The report says what the release said."""
        expected = fixture.expected["settled"]
        report = Report.from_json((fixture.export_folder / expected["run"] / REPORT).read_bytes())
        assert report.counts == SETTLED[fixture]
        assert outcome(report) | {"run": report.run_id} == expected
        assert report.export == fixture.definition["name"]

    @same_text
    @each
    def test_nobody_is_sent_again(self, fixture: Fixture, life: Life, inputs: Path) -> None:
        """With the same segments and the release's ledger, a run changes nothing in Mailchimp."""
        fixture.put_back(life.sandbox, Moment.AFTER_RUN_1)
        life = gone_on_with(life, fixture, inputs.parent, runs=False)
        before = life.audience()
        with life.watched() as seen:
            report = life.run(fixture.segments(inputs))
        settled = SETTLED[fixture]
        assert (members_sent(seen), changing(seen)) == (0, [])
        assert report.counts == replace(
            settled, created=0, updated=0, unchanged=settled.created + settled.updated
        )
        assert life.audience() == before


class TestUnfinishedRuns:
    """The second run of an export, which was killed."""

    @killed
    def test_what_it_knew(self, fixture: Fixture) -> None:
        """Killed after some answers, it holds the lock and has no report."""
        expected = fixture.expected["unfinished"]
        run = ExportFolder(fixture.export_folder).run(expected["run"])
        assert run.is_planned()
        assert not run.is_finished()
        assert run.answers() == sorted(expected["answers"])
        assert run.export_folder().exists(LOCK)

    @same_text
    def test_direct_is_finished_under_the_same_name(self, life: Life, inputs: Path) -> None:
        """A run of the same name sends those who had no answer, and nobody else, and accounts for all."""
        DIRECT.put_back(life.sandbox, Moment.AFTER_KILL)
        life = gone_on_with(life, DIRECT, inputs.parent)
        expected = DIRECT.expected["unfinished"]
        with life.watched() as seen:
            report = life.run(DIRECT.segments(inputs, changed=True), name=expected["run"])
        assert (expected["planned"], expected["answered"]) == (1104, 500)
        assert upserted(seen) == 604
        counts = report.counts
        assert counts.created + counts.updated + counts.unchanged == SECOND_RUN.confirmed
        assert (counts.adds_up, counts.removed) == (True, SECOND_RUN.removed)

    def test_batch_is_settled_with_the_answers_kept_and_those_to_come(
        self, life: Life, tmp_path: Path
    ) -> None:
        """Settling fetches the results of the second batch, and those of the first no more."""
        BATCH.put_back(life.sandbox, Moment.AFTER_KILL)
        life = gone_on_with(life, BATCH, tmp_path)
        first, second = BATCH.expected["unfinished"]["batches"]
        BATCH.serve_results(life.account, tmp_path)
        report = life.finalize(life.folder.run(BATCH.expected["unfinished"]["run"]))
        downloads = {name: batch.downloads for name, batch in life.account.batches.batches.items()}
        assert downloads == {first: 0, second: 1}
        assert outcome(report) == BATCH.expected["finished"]
        assert report.counts == replace(SECOND_RUN, created=16, updated=1068)

    def test_batch_is_settled_with_the_kept_answers_alone(self, life: Life, tmp_path: Path) -> None:
        """Where Mailchimp has the second batch no more, those who should have left by it have not."""
        BATCH.put_back(life.sandbox, Moment.AFTER_KILL)
        life = gone_on_with(life, BATCH, tmp_path)
        report = life.finalize(life.folder.run(BATCH.expected["unfinished"]["run"]))
        assert outcome(report) == BATCH.expected["finished_without_the_second_batch"]
        assert report.counts == replace(SECOND_RUN, created=16, updated=1068, removed=0, removal_failed=66)

    @same_text
    @killed
    def test_the_next_run_accounts_for_it(self, fixture: Fixture, life: Life, inputs: Path) -> None:
        """A run of another name takes the answers kept into the ledger first, and sends only those without one."""
        fixture.put_back(life.sandbox, Moment.AFTER_KILL)
        life = gone_on_with(life, fixture, inputs.parent)
        life.folder.remove(LOCK)
        unfinished = fixture.expected["unfinished"]
        if fixture is BATCH:
            fixture.serve_results(life.account, inputs.parent)
        with life.watched() as seen:
            report = life.run(fixture.segments(inputs, changed=True), name="scheduled__2026-11-03")
        assert life.folder.has_finished(unfinished["run"])
        assert upserted(seen) == unfinished["planned"] - unfinished["answered"]
        assert report.counts.adds_up
        assert report.counts.unconfirmed == 0
