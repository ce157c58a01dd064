"""The shipped profiles into the shipped audience, over HTTP and by either delivery.

What has to come of an export is worked out here once more, in plain Python, from the rows that went in.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from airflow_mailchimp_export.accounting.report import Counts
from airflow_mailchimp_export.mailchimp.client import MailchimpClient
from airflow_mailchimp_export.model import Delivery, Verdict
from airflow_mailchimp_export.state.run import RunFolder
from scripts.sandbox_service import Sandbox
from tests.conftest import AUDIENCE, REPOSITORY
from tests.contract.exports import dump, run, to_client
from tests.kit.people import hash_of

PROFILES = REPOSITORY / "samples" / "profiles.parquet"
COLUMNS = ["email", "first_name", "last_name"]
FIELD_MAP = {"EMAIL": "email", "FNAME": "first_name", "LNAME": "last_name"}
FAULTS = {
    "fault_delay": 0.02,
    "batch_operation_fault_rate": 0.1,
    "batch_download_failures": 1,
    "batch_without_link": 1,
    "archive_fault": "truncated",
    "archive_fault_count": 1,
}
FAKE_DOMAINS = {"example.com", "test.com", "gmil.com"}
MAX_TEXT_BYTES = 255
# Words that stand for nothing in CSV, among those that the samples have.
NULL_WORDS = {"\\N", "nan", "NULL", "null", "None", "N/A", "#N/A", "<NA>", "(null)", "NaN"}

SYNTAX = re.compile(r"(?!\.)(?!.*\.\.)[^\s@\"(),:;<>\[\]\\]{1,64}(?<!\.)@(?:[^@\s.]+\.)+[^@\s.]{2,}")


@dataclass
class Expected:
    """What has to come of an export.

    :ivar standing: status by hash, of everybody afterwards.
    :ivar tags: the tags of everybody who was sent.
    :ivar names: the first row's names of everybody who was sent.
    """

    counts: Counts
    standing: dict[str, str]
    tags: dict[str, set[str]] = field(default_factory=dict)
    names: dict[str, tuple[str, str]] = field(default_factory=dict)
    suppressed: dict[str, int] = field(default_factory=dict)


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Three overlapping segments of the shipped profiles, in Parquet and CSV, one with a tag of its own."""
    profiles = pq.read_table(PROFILES)
    vip = pc.or_kleene(
        pc.equal(profiles["loyalty_tier"], "platinum"), pc.greater_equal(profiles["lifetime_value"], 1000)
    )
    folder = tmp_path_factory.mktemp("segments")
    pq.write_table(profiles.filter(vip), folder / "vip.parquet")
    pq.write_table(
        profiles.filter(pc.is_valid(profiles["last_purchase"])).select(COLUMNS), folder / "buyers.parquet"
    )
    with (folder / "news.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(profiles.filter(profiles["newsletter_opt_in"]).select(COLUMNS).to_pylist())
    return {
        "VIP": str(folder / "vip.parquet"),
        "Newsletter": str(folder / "news.csv"),
        "Recent buyers": {"uri": str(folder / "buyers.parquet"), "tag": "Bought"},
    }


class TestSamples:
    """The shipped profiles into the shipped audience."""

    def test_both_deliveries_come_to_the_same(
        self, quick: Sandbox, client: MailchimpClient, samples: Mapping[str, Any], tmp_path: Path
    ) -> None:
        """By either delivery audience and counts are what the profiles say, and a second run only updates."""
        reports, audiences = {}, {}
        for delivery in Delivery:
            quick.reset()
            quick.load(AUDIENCE)
            before = dump(quick)
            expected = expectation(samples, before)
            report = run(
                quick,
                client,
                RunFolder(tmp_path / delivery / "run"),
                samples,
                delivery=delivery,
                field_map=FIELD_MAP,
            )
            assert report.counts == expected.counts
            assert report.suppressed_by_reason == expected.suppressed
            assert report.verdict is Verdict.PARTIAL
            check_audience(quick, before, expected)
            reports[delivery] = report
            audiences[delivery] = [
                {name: value for name, value in one.items() if name != "last_changed"}
                for one in dump(quick).values()
            ]
        direct, batch = reports[Delivery.DIRECT], reports[Delivery.BATCH]
        assert direct.counts == batch.counts
        assert direct.segments == batch.segments
        assert direct.rejects_by_reason == batch.rejects_by_reason
        assert (direct.differing, direct.warnings) == (batch.differing, batch.warnings)
        assert sorted(audiences[Delivery.DIRECT], key=_by_hash) == sorted(
            audiences[Delivery.BATCH], key=_by_hash
        )
        again = run(quick, client, RunFolder(tmp_path / "again" / "run"), samples, field_map=FIELD_MAP)
        counts = direct.counts
        assert (again.counts.created, again.counts.updated) == (0, counts.created + counts.updated)

    @pytest.mark.parametrize("delivery", Delivery)
    def test_with_many_calls_going_wrong(
        self, quick: Sandbox, samples: Mapping[str, Any], tmp_path: Path, delivery: Delivery
    ) -> None:
        """Refused, throttled, dropped and delayed calls change neither the audience nor who is confirmed."""
        quick.load(AUDIENCE)
        before = dump(quick)
        expected = expectation(samples, before)
        quick.change(**FAULTS, fault_rate=0.3, seed=1)
        with to_client(quick) as client:
            folder = RunFolder(tmp_path / "run")
            report = run(quick, client, folder, samples, delivery=delivery, field_map=FIELD_MAP)
        counts, wanted = report.counts, expected.counts
        assert replace(counts, created=0, updated=0) == replace(wanted, created=0, updated=0)
        assert counts.created + counts.updated == wanted.created + wanted.updated
        check_audience(quick, before, expected)
        assert sum(quick.stats()["faults"].values()) >= 1


def _by_hash(one: Mapping[str, Any]) -> str:
    return str(one["hash"])


def check_audience(sandbox: Sandbox, before: Mapping[str, Mapping[str, Any]], expected: Expected) -> None:
    """Compare the audience with what has to be in it."""
    after = dump(sandbox)
    assert {key: one["status"] for key, one in after.items()} == expected.standing
    for key, one in after.items():
        if key in expected.tags:
            known = before.get(key, {"tags": [], "merge_fields": {}})
            assert set(one["tags"]) == {*known["tags"], *expected.tags[key]}
            for field_tag, value in zip(("FNAME", "LNAME"), expected.names[key], strict=True):
                _check_name(
                    one["merge_fields"].get(field_tag, ""), value, known["merge_fields"].get(field_tag, "")
                )
        else:
            assert one == before[key]


def _check_name(found: str, source: str, known: str) -> None:
    value = source.strip()
    if not value:
        assert found == known
    elif len(value.encode()) > MAX_TEXT_BYTES:
        assert value.startswith(found)
        assert MAX_TEXT_BYTES - 30 <= len(found.encode()) <= MAX_TEXT_BYTES
    elif value.isprintable():
        assert found == value


def expectation(segments: Mapping[str, Any], before: Mapping[str, Mapping[str, Any]]) -> Expected:
    """Work out what has to come of an export of the sample segments."""
    forgotten = {hash_of(row["email"]) for row in _csv_rows(AUDIENCE) if row["forgotten"] == "true"}
    expected = Expected(Counts(), {key: one["status"] for key, one in before.items()})
    tally = dict.fromkeys(Counts.__dataclass_fields__, 0)
    seen: set[str] = set()
    for tag, row in _rows(segments):
        tally["rows_read"] += 1
        email = _INVISIBLE.sub("", row["email"] or "").strip(_BLANKS).lower()
        key = hash_of(email)
        if not _is_address(email):
            tally["rejected"] += 1
            continue
        tally["merged"] += key in seen
        expected.tags.setdefault(key, set()).add(tag)
        if key not in seen:
            seen.add(key)
            expected.names[key] = (row["first_name"] or "", row["last_name"] or "")
            tally[_effect(email, key, before, forgotten, expected)] += 1
    expected.tags = {
        key: tags for key, tags in expected.tags.items() if expected.standing.get(key) == "subscribed"
    }
    expected.counts = Counts(**tally)
    return expected


def _effect(
    email: str, key: str, before: Mapping[str, Mapping[str, Any]], forgotten: set[str], expected: Expected
) -> str:
    status = before[key]["status"] if key in before else ""
    if status not in {"", "subscribed"} or key in forgotten:
        reason = status or "forgotten"
        expected.suppressed[reason] = expected.suppressed.get(reason, 0) + 1
        return "suppressed"
    domain = email.partition("@")[2]
    # The export leaves international domains to Mailchimp, and the sandbox does not take them.
    if domain in FAKE_DOMAINS or not domain.isascii():
        return "rejected"
    expected.standing[key] = "subscribed"
    return "updated" if status else "created"


def _rows(segments: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, str | None]]]:
    for name, source in segments.items():
        path, tag = (source["uri"], source["tag"]) if isinstance(source, dict) else (source, name)
        is_csv = path.endswith(".csv")
        rows = _csv_rows(Path(path)) if is_csv else pq.read_table(path, columns=COLUMNS).to_pylist()
        for row in rows:
            yield tag, {name: "" if is_csv and value in NULL_WORDS else value for name, value in row.items()}


def _csv_rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _is_address(email: str) -> bool:
    domain = email.rpartition("@")[2]
    labels = domain.split(".")
    return (
        len(email.encode()) <= 254
        and SYNTAX.fullmatch(email) is not None
        and all(len(label) <= 63 and re.fullmatch(r"[^\W_]+(?:-+[^\W_]+)*", label) for label in labels)
        and not labels[-1][0].isdigit()
    )


_INVISIBLE = re.compile("[\ufeff\u200b]")
_BLANKS = "".join(character for character in map(chr, range(0x3001)) if character.isspace())
