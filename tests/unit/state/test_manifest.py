"""What one run set out to do and handed over, as the tasks hand it to each other, from release to release."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airflow_mailchimp_export.accounting.report import Report, SegmentSummary
from airflow_mailchimp_export.counts import Counts, FieldWarning
from airflow_mailchimp_export.errors import ConfigError, NewerFormat, UnreadableFile
from airflow_mailchimp_export.model import Delivery, FingerprintBasis, Verdict
from airflow_mailchimp_export.state.manifest import (
    Manifest,
    SegmentTally,
    SubmittedBatch,
    Tallies,
)
from airflow_mailchimp_export.state.run import BATCHES, REPORT, RUN, RunFolder

MANIFEST = Manifest(
    export="dag.task",
    run_id="scheduled__2026-01-02",
    dag_id="dag",
    audience_id="a1b2c3d4e5",
    export_user="Ada Lovelace",
    started_at="2026-01-02T03:04:05+00:00",
    planned_at="2026-01-02T03:05:06+00:00",
    delivery=Delivery.DIRECT,
    skip_merge_validation=True,
    max_reject_ratio=0.25,
    dry_run=True,
    keep_runs=7,
    ledger_version=4,
    segments=(SegmentTally("VIP", "Very important", 3, unchanged=1), SegmentTally("名前", "名前", 0)),
    warnings=(FieldWarning("AGE", "not_a_number", 2, ("row 1", "row 2"), "Give a number."),),
    tallies=Tallies(
        rows_read=9,
        merged=1,
        differing=1,
        unchanged=3,
        rejected=2,
        planned=3,
        upsert_chunks=1,
        removal_chunks=2,
    ),
    basis=FingerprintBasis("shape", "salt", ("FNAME", "LNAME"), "rules"),
)

BOTH = (SubmittedBatch("b1", (0, 1, 2)), SubmittedBatch("b2", (3,)))

REPORTED = Report(
    export="dag.task",
    run_id="scheduled__2026-01-02",
    dag_id="dag",
    audience_id="a1b2c3d4e5",
    export_user="Ada Lovelace",
    started_at="2026-01-02T03:04:05+00:00",
    finished_at="2026-01-02T03:05:06+00:00",
    delivery="batch",
    dry_run=False,
    verdict=Verdict.PARTIAL,
    counts=Counts(rows_read=3, created=2, rejected=1),
    rejects_by_reason={"fake_address": 1},
    suppressed_by_reason={},
    segments={"VIP": SegmentSummary(3, 2, 2, 0)},
    batch_ids=("b1", "b2"),
    warnings=MANIFEST.warnings,
)


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """The folder of a run in which everything was written."""
    folder = RunFolder(tmp_path / "run")
    folder.begin(MANIFEST)
    for batch in BOTH:
        folder.note_batch(batch)
    folder.finish(REPORTED)
    return folder


READERS: dict[str, Callable[[RunFolder], Any]] = {
    RUN: lambda run: run.manifest,
    BATCHES: lambda run: run.batches,
    REPORT: lambda run: run.report(Report),
}

WRITTEN = {RUN: MANIFEST, BATCHES: BOTH, REPORT: REPORTED}

each_file = pytest.mark.parametrize("name", READERS)


def elsewhere(run: RunFolder) -> RunFolder:
    """The folder as another process finds it."""
    return RunFolder(Path(run.uri))


def rewritten(run: RunFolder, name: str, **keys: Any) -> RunFolder:
    """The folder, with other keys in one of its files."""
    run.put(name, json.dumps({**json.loads(run.read(name)), **keys}).encode())
    return elsewhere(run)


@each_file
def test_what_was_written_is_read(run: RunFolder, name: str) -> None:
    """What is read from the file is what was written, in the same types."""
    assert READERS[name](elsewhere(run)) == WRITTEN[name]


@pytest.mark.parametrize("delivery", Delivery)
def test_each_delivery_is_read(run: RunFolder, delivery: Delivery) -> None:
    """A delivery is one of the known ones when it is read."""
    run.begin(replace(MANIFEST, delivery=delivery))
    assert elsewhere(run).manifest.delivery is delivery


def test_the_files_are_plain_json(run: RunFolder) -> None:
    """Anybody can read them, and each says in which format it is."""
    content = json.loads(run.read(RUN))
    assert content["format"] == 2
    assert {name: number for name, number in content["tallies"].items() if number} == {
        **{"rows_read": 9, "merged": 1, "differing": 1, "unchanged": 3, "rejected": 2, "planned": 3},
        **{"upsert_chunks": 1, "removal_chunks": 2},
    }
    assert content["segments"][1] == {"name": "名前", "tag": "名前", "rows": 0, "unchanged": 0}
    assert run.read(RUN).startswith(b'{\n  "format": 2,\n')
    assert json.loads(run.read(BATCHES)) == {
        "format": 2,
        "batches": [{"id": "b1", "chunks": [0, 1, 2]}, {"id": "b2", "chunks": [3]}],
    }
    assert json.loads(run.read(REPORT))["format"] == 1


def test_the_counts_of_a_plan_become_those_of_the_run() -> None:
    """What was read, merged and unchanged stays; what became of each person is what the answers say."""
    effects = {"created": 2, "rejected": 3, "removed": 1, "renamed": 7, "unchanged": 5}
    assert MANIFEST.tallies.with_effects(effects) == Counts(
        rows_read=9, merged=1, unchanged=3, created=2, rejected=3, removed=1
    )


def test_no_batches(tmp_path: Path) -> None:
    """A run that handed nothing over has no batches."""
    assert RunFolder(tmp_path / "run").batches == ()


class TestOlderReleases:
    """What release 0.1.0 wrote, which had no number of a format."""

    def test_the_manifest(self, run: RunFolder) -> None:
        """Its chunks of people who leave had another name, and it knew of no basis of fingerprints."""
        content = json.loads(run.read(RUN))
        content["tallies"]["leave_chunks"] = content["tallies"].pop("removal_chunks")
        for key in ("format", "basis"):
            del content[key]
        run.put(RUN, json.dumps({**content, "mapping": "x"}).encode())
        assert elsewhere(run).manifest == replace(MANIFEST, basis=FingerprintBasis())

    def test_the_batches(self, run: RunFolder) -> None:
        """They were a bare list; a further one is noted in the present format."""
        run.put(BATCHES, json.dumps(json.loads(run.read(BATCHES))["batches"]).encode())
        assert elsewhere(run).batches == BOTH
        run.note_batch(SubmittedBatch("b3", (4,)))
        assert elsewhere(run).batches == (*BOTH, SubmittedBatch("b3", (4,)))

    def test_the_report(self, run: RunFolder) -> None:
        """It had the same keys; those that came later have their defaults."""
        content = json.loads(run.read(REPORT))
        for key in ("format", "warnings", "examples", "versions"):
            del content[key]
        run.put(REPORT, json.dumps(content).encode())
        assert elsewhere(run).report(Report) == replace(REPORTED, warnings=())


class TestLaterReleases:
    """What a release may write that is not made yet."""

    @each_file
    def test_an_unknown_key_is_ignored(self, run: RunFolder, name: str) -> None:
        """A key more, in the format that is known, changes nothing."""
        assert READERS[name](rewritten(run, name, mood="good")) == WRITTEN[name]

    @each_file
    @pytest.mark.parametrize("number", [3, 99])
    def test_a_newer_format_is_an_error(self, run: RunFolder, name: str, number: int) -> None:
        """A newer format is an error that names the file, the formats and the remedy."""
        known = 1 if name == REPORT else 2
        with pytest.raises(NewerFormat) as error:
            READERS[name](rewritten(run, name, format=number))
        assert str(error.value) == (
            f"{run.uri}/{name} was written by a newer release of airflow-mailchimp-export (format {number}; this one "
            f"reads up to {known}). Install that release, or a later one, wherever this export runs"
        )


@each_file
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\x00" * 64,
        b"[1]",
        b'"text"',
        b"{}",
        b'{"format": 1}',
        b'{"format": "x"}',
        b'{"format": 0}',
    ],
)
def test_a_damaged_file_is_an_error(run: RunFolder, name: str, content: bytes) -> None:
    """A file that holds something else is an error that names it and the remedy, whatever it holds."""
    run.put(name, content)
    with pytest.raises(UnreadableFile) as error:
        READERS[name](elsewhere(run))
    assert str(error.value) == (
        f"{run.uri}/{name} is damaged. Remove the folder {run.uri} and run the export again: "
        "it sends whom it does not know to be sent"
    )


@each_file
def test_a_folder_in_its_place_is_an_error(run: RunFolder, name: str) -> None:
    """Something else under the name of a file is an error that names it."""
    run.remove(name)
    (Path(run.uri) / name).mkdir()
    with pytest.raises(ConfigError, match=rf"{name} is missing\. Remove the folder"):
        READERS[name](elsewhere(run))
