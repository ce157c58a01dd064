"""Whole exports over HTTP: who must not be touched, what stops a run, and what Mailchimp leaves open."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from airflow_mailchimp_export.accounting.report import Counts, Report
from airflow_mailchimp_export.errors import ConfigError, TooManyRejects
from airflow_mailchimp_export.mailchimp.client import MailchimpClient
from airflow_mailchimp_export.model import Delivery, MemberStatus, Verdict
from airflow_mailchimp_export.state.run import REPORT, ExportFolder, RunFolder
from scripts.sandbox_service import Sandbox
from tests.contract.exports import dump, export, overview, put, received, run, to_client
from tests.kit.people import hash_of, many, people
from tests.kit.waiting import wait_until


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
        assert overview(sandbox)["batches"] == []
        report = Report.from_json(folder.read(REPORT))
        assert (report.verdict, report.error) == (Verdict.FAILED, refusal.value.happened)
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
