"""Runs that something stops: what the report says of them, and what it counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_mailchimp_export.accounting.report import Counts
from airflow_mailchimp_export.errors import AccessDenied, ConfigError, PermanentError, SourceError
from airflow_mailchimp_export.model import Delivery, Verdict
from airflow_mailchimp_export.state.run import OUTCOMES, REPORT, ExportFolder
from tests.kit.client import Consent, raising, refusal
from tests.kit.exports import LIST
from tests.kit.life import Life, one_by_one
from tests.kit.people import many, people


def test_an_unreadable_source(life: Life, tmp_path: Path) -> None:
    """A segment that cannot be read leaves a report that says so, with nothing read and nothing sent."""
    with pytest.raises(SourceError) as error:
        life.run({"S": str(tmp_path / "nowhere.parquet")})
    report = life.report("run1")
    assert (report.verdict, report.counts) == (Verdict.FAILED, Counts())
    assert report.error == error.value.happened
    assert report.segments.keys() == {"S"}
    assert life.carriers() == []


def test_a_source_that_breaks_half_way(life: Life, tmp_path: Path) -> None:
    """Rows that were read until a source broke are not sent, each segment has its own, and the sum holds."""
    good, bad = tmp_path / "1.csv", tmp_path / "2.csv"
    good.write_text("email\na@mail.eu\nb@mail.eu\n", encoding="utf-8")
    bad.write_bytes(b"email\nc@mail.eu\n\xff\xfe@mail.eu\n")
    with pytest.raises(SourceError):
        life.run({"Good": str(good), "Bad": str(bad)})
    report = life.report("run1")
    assert report.verdict is Verdict.FAILED
    assert report.counts == Counts(rows_read=2, not_sent=2)
    assert {name: segment.rows for name, segment in report.segments.items()} == {"Good": 2, "Bad": 0}
    assert life.carriers() == []


def test_mailchimp_refuses_while_sending(life: Life) -> None:
    """What was answered until Mailchimp refused is counted, and the report says what stopped the run."""
    life.max_connections = 1
    demote = one_by_one(None, None, lambda: life.sandbox.change(role="viewer"))
    life.script[f"POST {LIST}"] = lambda request: demote()
    with pytest.raises(AccessDenied, match="Use a key of a user whose role and plan allow it") as error:
        life.run({"S": many(5000)})
    report = life.report("run1")
    assert report.counts == Counts(rows_read=5000, created=1000, unconfirmed=4000)
    assert (report.verdict, report.error) == (Verdict.FAILED, error.value.happened)
    assert life.folder.run("run1").answers() == []


@pytest.mark.parametrize(("delivery", "confirmed"), [(Delivery.DIRECT, 500), (Delivery.BATCH, 20_000)])
def test_consent_is_withdrawn_while_sending(life: Life, delivery: Delivery, confirmed: int) -> None:
    """Withdrawn consent stops the run at once; the report counts what was confirmed and names batches."""
    life.max_connections = 1
    told: list[str] = []
    consent = Consent(ConfigError("data_privacy_consent is off"), permits=2)

    def permit() -> None:
        life.wait(told)
        consent()

    with pytest.raises(ConfigError, match="is off"):
        life.run({"S": many(20_001)}, delivery=delivery, permit=permit, on_batch=told.append)
    assert len(life.carriers()) == 1
    report = life.report("run1")
    assert report.counts == Counts(rows_read=20_001, created=confirmed, unconfirmed=20_001 - confirmed)
    assert report.verdict is Verdict.FAILED
    assert report.batch_ids == tuple(told)


def test_a_place_that_cannot_be_written_to(
    life: Life, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An exports_root that cannot be written to stops the run before anything is sent."""
    (tmp_path / "file").write_bytes(b"")
    life.folder = ExportFolder(tmp_path / "file")
    with pytest.raises(ConfigError, match=r"Cannot write files"):
        life.run({"S": people("ada@mail.eu")})
    life.folder = ExportFolder(tmp_path / "exports" / "life")
    life.folder.put("file", b"")
    with pytest.raises(ConfigError, match=r"Cannot write plan\.parquet"):
        life.run({"S": people("ada@mail.eu")}, name="file")
    assert life.carriers() == []
    assert caplog.messages[-1].startswith("No report could be written: Cannot write report.json")


def test_a_report_that_cannot_be_written(life: Life, caplog: pytest.LogCaptureFixture) -> None:
    """Where not even the account can be written, what stopped the run is raised, and the log says both."""
    life.script[f"POST {LIST}"] = raising(refusal(404))
    folder = life.folder.run("run")
    folder.put(f"{OUTCOMES}/in-the-way", b"")
    with pytest.raises(PermanentError, match="404"):
        life.run({"S": many(3)}, name="run")
    assert caplog.messages[-1].startswith("No report could be written: Cannot write outcomes.parquet")
    assert not folder.exists(REPORT)
