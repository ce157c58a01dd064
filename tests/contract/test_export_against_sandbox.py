"""Whole exports over HTTP against the sandbox, which shares no code with them.

What has to come of an export is worked out here once more, in plain Python, from the rows that went in.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import requests

from airflow_mailchimp_export.accounting.report import Counts, Report
from airflow_mailchimp_export.definition import RunContext, RunIdentity
from airflow_mailchimp_export.errors import ConfigError, TooManyRejects
from airflow_mailchimp_export.export import Export
from airflow_mailchimp_export.finalizing import finalize
from airflow_mailchimp_export.mailchimp.client import MailchimpClient
from airflow_mailchimp_export.mailchimp.gateway import Gateway
from airflow_mailchimp_export.mailchimp.pace import Pace
from airflow_mailchimp_export.model import Delivery, MemberStatus, Verdict
from airflow_mailchimp_export.sources.opening import plain_path
from airflow_mailchimp_export.state.run import REPORT, ExportFolder, RunFolder
from scripts.sandbox_service import Sandbox
from tests.conftest import AUDIENCE, REPOSITORY
from tests.kit.exports import define
from tests.kit.people import hash_of, many, people
from tests.kit.waiting import PATIENCE, wait_until

PROFILES = REPOSITORY / "samples" / "profiles.parquet"
COLUMNS = ["email", "first_name", "last_name"]
FIELD_MAP = {"EMAIL": "email", "FNAME": "first_name", "LNAME": "last_name"}
BRISK = Pace(first_pause=0.005, longest_pause=0.02, timeout_pause=0.005)
QUICK_BATCHES = {"batch_pending": 0.0, "batch_preprocessing": 0.0, "batch_finalizing": 0.0}
FAULTS = {
    "fault_rate": 0.1,
    "fault_delay": 0.02,
    "batch_operation_fault_rate": 0.1,
    "batch_download_failures": 1,
    "batch_without_link": 1,
    "archive_fault": "truncated",
    "archive_fault_count": 1,
}
FAKE_DOMAINS = {"example.com", "test.com", "gmil.com"}
MAX_TEXT_BYTES = 255

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


@pytest.fixture
def quick(sandbox: Sandbox) -> Sandbox:
    """The sandbox, whose batches do not dawdle."""
    sandbox.change(**QUICK_BATCHES)
    return sandbox


@pytest.fixture
def client(quick: Sandbox) -> Iterator[MailchimpClient]:
    """A client that hardly pauses."""
    with to_client(quick) as client:
        yield client


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


def to_client(sandbox: Sandbox, **options: Any) -> MailchimpClient:
    """Make a client that hardly pauses."""
    return MailchimpClient(f"{sandbox.url}/3.0", sandbox.key, pace=BRISK, timeout=PATIENCE, **options)


def export(
    client: MailchimpClient,
    folder: RunFolder,
    segments: Mapping[str, Any],
    *,
    permit: Callable[[], None] = lambda: None,
    **how: Any,
) -> Export:
    """Make an export to the sandbox."""
    identity = RunIdentity(
        run_id="manual__1", dag_id="dag", export_user="Ada", started_at="2026-01-02T03:04:05Z"
    )
    return Export(
        RunContext(
            definition=define(segments, **how),
            identity=identity,
            gateway=Gateway(client, permit, sleep=_no_pause),
            folder=folder,
            path_factory=plain_path,
        )
    )


def run(
    sandbox: Sandbox, client: MailchimpClient, folder: RunFolder, segments: Mapping[str, Any], **how: Any
) -> Report:
    """Export, wait for the batches, and settle."""
    submission = export(client, folder, segments, **how).submit()
    if submission.report:
        return submission.report
    finish(sandbox)
    return finalize(folder, gateway=Gateway(client, lambda: None, sleep=_no_pause))


def finish(sandbox: Sandbox) -> None:
    """Wait until the sandbox has no batch at work."""
    wait_until(
        lambda: all(batch["status"] == "finished" for batch in _control(sandbox, "overview")["batches"]),
        "the end of all batches",
    )


def put(sandbox: Sandbox, *members: Mapping[str, Any]) -> None:
    """Put members into the audience, past every rule."""
    answer = requests.post(f"{sandbox.url}/sandbox/members", json={"members": members}, timeout=PATIENCE)
    answer.raise_for_status()


def dump(sandbox: Sandbox) -> dict[str, dict[str, Any]]:
    """Everybody in the audience, by hash."""
    return {one["hash"]: one for one in sandbox.members()}


def received(sandbox: Sandbox) -> int:
    """How many members the sandbox was sent."""
    rows: dict[str, int] = sandbox.stats()["member_rows"]
    return rows["received"] + rows["handled"]


def expectation(segments: Mapping[str, Any], before: Mapping[str, Mapping[str, Any]]) -> Expected:
    """Work out what has to come of an export of the sample segments."""
    forgotten = {hash_of(row["email"]) for row in _csv_rows(AUDIENCE) if row["forgotten"] == "true"}
    expected = Expected(Counts(), {key: one["status"] for key, one in before.items()})
    tally = dict.fromkeys(Counts.__dataclass_fields__, 0)
    seen: set[str] = set()
    for tag, row in _rows(segments):
        tally["rows_read"] += 1
        email = (row["email"] or "").strip("\ufeff\u200b " + _BLANKS).lower()
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
            yield tag, row


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


_BLANKS = "".join(character for character in map(chr, range(0x3001)) if character.isspace())


def _no_pause(seconds: float) -> None:
    """Go on at once."""


def _control(sandbox: Sandbox, name: str) -> dict[str, Any]:
    answer = requests.get(f"{sandbox.url}/sandbox/{name}", timeout=PATIENCE)
    answer.raise_for_status()
    content: dict[str, Any] = answer.json()
    return content


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

    @pytest.mark.parametrize(("delivery", "seeds"), [(Delivery.DIRECT, [1]), (Delivery.BATCH, [1, 2, 3])])
    def test_with_a_tenth_of_the_calls_going_wrong(
        self, quick: Sandbox, samples: Mapping[str, Any], tmp_path: Path, delivery: Delivery, seeds: list[int]
    ) -> None:
        """Refused, throttled, dropped and delayed calls change neither the audience nor who is confirmed."""
        faults = 0
        for seed in seeds:
            quick.reset()
            quick.change(fault_rate=0.0)
            quick.load(AUDIENCE)
            before = dump(quick)
            expected = expectation(samples, before)
            quick.change(**FAULTS, seed=seed)
            with to_client(quick) as client:
                report = run(
                    quick,
                    client,
                    RunFolder(tmp_path / str(seed) / "run"),
                    samples,
                    delivery=delivery,
                    field_map=FIELD_MAP,
                )
            faults += sum(quick.stats()["faults"].values())
            counts, wanted = report.counts, expected.counts
            assert replace(counts, created=0, updated=0) == replace(wanted, created=0, updated=0)
            assert counts.created + counts.updated == wanted.created + wanted.updated
            check_audience(quick, before, expected)
        assert faults >= 3


def _by_hash(one: Mapping[str, Any]) -> str:
    return str(one["hash"])


class TestWhoMustNotBeTouched:
    """Rule 1: nobody is re-subscribed."""

    STANDING = (
        {"email": "Subscribed@mail.eu", "status": "subscribed", "fname": "Old", "tags": "Theirs"},
        {"email": "out@mail.eu", "status": "unsubscribed", "compliance": "true"},
        {"email": "admin.out@mail.eu", "status": "unsubscribed"},
        {"email": "cleaned@mail.eu", "status": "cleaned"},
        {"email": "pending@mail.eu", "status": "pending"},
        {"email": "transactional@mail.eu", "status": "transactional"},
        {"email": "archived@mail.eu", "status": "archived"},
        {"email": "forgotten@mail.eu", "forgotten": "true"},
    )

    def rows(self) -> pa.Table:
        """Everybody, and someone new."""
        return people(*(str(one["email"]) for one in self.STANDING), "new@mail.eu")

    @pytest.mark.parametrize("delivery", Delivery)
    @pytest.mark.parametrize(
        "status", [MemberStatus.SUBSCRIBED, MemberStatus.PENDING, MemberStatus.TRANSACTIONAL]
    )
    def test_they_are_as_before(
        self,
        quick: Sandbox,
        client: MailchimpClient,
        tmp_path: Path,
        status: MemberStatus,
        delivery: Delivery,
    ) -> None:
        """Whoever said no is byte for byte as before, subscribed members stay so, and nobody else is new."""
        put(quick, *self.STANDING)
        before = dump(quick)
        report = run(
            quick,
            client,
            RunFolder(tmp_path / "run"),
            {"S": self.rows()},
            delivery=delivery,
            new_member_status=status,
        )
        after = dump(quick)
        touched = {hash_of("subscribed@mail.eu"), hash_of("new@mail.eu")}
        if status is MemberStatus.TRANSACTIONAL:
            touched.add(hash_of("transactional@mail.eu"))
        assert {key: one for key, one in after.items() if key not in touched} == {
            key: one for key, one in before.items() if key not in touched
        }
        assert {key: after[key]["status"] for key in before} == {
            key: one["status"] for key, one in before.items()
        }
        assert after[hash_of("new@mail.eu")]["status"] == status.value
        assert after[hash_of("subscribed@mail.eu")]["tags"] == ["Theirs", "S"]
        left_alone = {"unsubscribed": 2, "cleaned": 1, "pending": 1, "archived": 1, "forgotten": 1}
        if status is not MemberStatus.TRANSACTIONAL:
            left_alone["transactional"] = 1
        assert report.suppressed_by_reason == left_alone
        assert report.verdict is Verdict.SUCCESS

    @pytest.mark.parametrize(("rule", "reason"), [("ignore", "unsubscribed"), ("error", "compliance")])
    def test_who_leaves_meanwhile_is_suppressed(
        self, quick: Sandbox, client: MailchimpClient, tmp_path: Path, rule: str, reason: str
    ) -> None:
        """Who unsubscribes between the look at the audience and the sending is suppressed, and stays out."""
        quick.change(compliance=rule)
        asked = iter(range(10))

        def permit() -> None:
            if next(asked) == 1:
                put(quick, {"email": "ada@mail.eu", "status": "unsubscribed", "compliance": "true"})

        rows = people("ada@mail.eu", "bob@mail.eu")
        report = run(quick, client, RunFolder(tmp_path / "run"), {"S": rows}, permit=permit)
        assert report.counts == Counts(rows_read=2, suppressed=1, created=1)
        assert report.suppressed_by_reason == {reason: 1}
        assert dump(quick)[hash_of("ada@mail.eu")]["status"] == "unsubscribed"


class TestGuards:
    """Nothing leaves where it must not."""

    ROWS = many(20)

    def refused(self, sandbox: Sandbox, folder: RunFolder, **how: Any) -> str:
        """Try an export, and return why it was refused, having seen that nobody was sent."""
        segments = how.pop("segments", {"S": self.ROWS})
        with (
            to_client(sandbox) as client,
            pytest.raises((ConfigError, TooManyRejects)) as refusal,
        ):
            export(client, folder, segments, **how).submit()
        assert received(sandbox) == 0
        assert _control(sandbox, "overview")["batches"] == []
        report = Report.from_json(folder.read(REPORT))
        assert (report.verdict, report.error) == (Verdict.FAILED, str(refusal.value))
        assert report.counts.adds_up
        return report.error

    @pytest.mark.parametrize("delivery", Delivery)
    def test_each_guard_stops_before_the_first_profile(
        self, quick: Sandbox, tmp_path: Path, delivery: Delivery
    ) -> None:
        """Volume, contract, rejects, field map and consent: each says what is wrong, and nothing was sent."""
        put(
            quick,
            {"email": "here@mail.eu", "status": "subscribed"},
            {"email": "p000000@mail.eu", "status": "subscribed"},
        )
        half_bad = people(*["no address"] * 3, "ada@mail.eu")

        def off() -> None:
            raise ConfigError("data_privacy_consent is off")

        tries: list[tuple[str, dict[str, Any]]] = [
            ("hold 20 profiles, but max_profiles is 19", {"max_profiles": 19}),
            ("holds 2 contacts and 19 would be new", {"contact_limit": 20}),
            ("3 of 4 profiles cannot be sent", {"segments": {"S": half_bad}}),
            ("NOPE is no merge field of the audience", {"field_map": {"EMAIL": "email", "NOPE": "email"}}),
            ("data_privacy_consent is off", {"permit": off}),
        ]
        for words, how in tries:
            folder = ExportFolder(tmp_path).run("run")
            assert words in self.refused(quick, folder, delivery=delivery, **how)

    def test_exactly_the_contract(self, quick: Sandbox, client: MailchimpClient, tmp_path: Path) -> None:
        """An export may fill the contract to the last contact; who is there already is not counted again."""
        put(
            quick,
            {"email": "here@mail.eu", "status": "subscribed"},
            {"email": "p000000@mail.eu", "status": "subscribed"},
        )
        report = run(quick, client, RunFolder(tmp_path / "run"), {"S": self.ROWS}, contact_limit=21)
        assert report.counts == Counts(rows_read=20, created=19, updated=1)


class TestAnswers:
    """What Mailchimp leaves open, and what goes wrong."""

    ROWS = many(1300)

    @pytest.mark.parametrize("delivery", Delivery)
    @pytest.mark.parametrize("rule", ["honour", "ignore", "refuse"])
    def test_trimmed_answers(
        self, quick: Sandbox, client: MailchimpClient, tmp_path: Path, rule: str, delivery: Delivery
    ) -> None:
        """Whether Mailchimp trims its answers, ignores the wish, or refuses it: everybody is confirmed."""
        quick.change(fields_on_post=rule)
        report = run(quick, client, RunFolder(tmp_path / "run"), {"S": self.ROWS}, delivery=delivery)
        assert report.counts == Counts(rows_read=1300, created=1300)
        assert report.verdict is Verdict.SUCCESS

    def test_at_most_so_many_connections(self, quick: Sandbox, tmp_path: Path) -> None:
        """The sandbox never meets more requests at once than the connection allows."""
        folder = RunFolder(tmp_path / "run")
        with to_client(quick, max_connections=3) as client, ThreadPoolExecutor(1) as thread:
            quick.change(latency_per_member=3600)
            running = thread.submit(run, quick, client, folder, {"S": many(6000)})
            wait_until(lambda: quick.stats()["in_flight"]["now"] == 3, "three calls in flight")
            quick.change(latency_per_member=0)
            assert running.result().counts.created == 6000
        assert quick.stats()["in_flight"]["max"] == 3

    def test_several_batches(self, quick: Sandbox, client: MailchimpClient, tmp_path: Path) -> None:
        """More members than one batch takes are handed over as several, and all are collected."""
        rows = many(20_700)
        report = run(quick, client, RunFolder(tmp_path / "run"), {"S": rows}, delivery=Delivery.BATCH)
        assert len(report.batch_ids) == 2
        assert report.counts == Counts(rows_read=20_700, created=20_700)
