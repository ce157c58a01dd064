"""Fetching what Mailchimp answered to the batches of a run."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from airflow_mailchimp_export.delivery.results import DOWNLOADS, Collected, Collector
from airflow_mailchimp_export.errors import AccessDenied, RetryableError
from airflow_mailchimp_export.model import RemovalChunk
from airflow_mailchimp_export.rules import ARCHIVE, UNTAG
from airflow_mailchimp_export.state.manifest import SubmittedBatch
from airflow_mailchimp_export.state.run import RunFolder
from tests.kit.archives import finished, link, to_archive, to_result
from tests.kit.client import FakeClient, gateway, in_turn, out_of_reach, raising, refusal
from tests.kit.clock import FakeClock
from tests.kit.exports import run_folder

READY = to_archive(
    [to_result("0", {"new_members": [{"email_address": "a@mail.eu", "status": "subscribed"}]})],
    [
        to_result(
            "2",
            {"errors": [{"email_address": "c@mail.eu", "error": "Please provide a valid email address."}]},
        ),
        to_result("1", {"updated_members": [{"email_address": "b@mail.eu", "status": "subscribed"}]}),
    ],
)


LEAVING = {
    9020: RemovalChunk(9020, UNTAG, "a", ("a@mail.eu", "b@mail.eu")),
    9021: RemovalChunk(9021, ARCHIVE, "", ("c@mail.eu",)),
}


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """The folder of the run."""
    return run_folder(tmp_path)


@pytest.fixture
def clock() -> FakeClock:
    """A clock that counts the pauses."""
    return FakeClock()


def collected(client: FakeClient, folder: RunFolder, clock: FakeClock, *batch_ids: str) -> list[Collected]:
    """Collect batches."""
    batches = [SubmittedBatch(batch_id, tuple(range(10_000))) for batch_id in batch_ids]
    return list(Collector(gateway(client, sleep=clock.sleep), folder, LEAVING).collect(batches))


def client_with(*states: Any, downloads: Sequence[Any] = (READY,)) -> FakeClient:
    """A client that knows one batch, in these states one after the other."""
    return FakeClient({"GET /batches/one": in_turn(*states)}, downloads={link("one"): in_turn(*downloads)})


def kept(folder: RunFolder) -> list[tuple[str, str, str | None]]:
    """Address, effect and reason of all answers that are kept."""
    rows = folder.answer_log.reading().read_all().select(["email", "effect", "reason"]).to_pylist()
    return [tuple(row.values()) for row in rows]


def test_results_are_kept(folder: RunFolder, clock: FakeClock) -> None:
    """All results of a batch are kept, from several files and in any order, under the batch's id."""
    assert collected(client_with(finished("one")), folder, clock, "one") == [Collected(members=3)]
    assert kept(folder) == [
        ("a@mail.eu", "created", None),
        ("c@mail.eu", "rejected", "invalid_address"),
        ("b@mail.eu", "updated", None),
    ]
    assert folder.answer_log.answered() == {"batch-one"}
    assert clock.pauses == []


def test_each_batch_is_collected(folder: RunFolder, clock: FakeClock) -> None:
    """What one batch lacks does not keep the others from being collected."""
    client = FakeClient(
        {
            "GET /batches/one": lambda _: finished("one"),
            "GET /batches/gone": raising(refusal(404)),
            "GET /batches/two": lambda _: finished("two"),
        },
        downloads={link("one"): lambda: READY, link("two"): lambda: to_archive([])},
    )
    assert collected(client, folder, clock, "one", "gone", "two") == [Collected(3), Collected(0)]
    assert folder.answer_log.answered() == {"batch-one", "batch-two"}


@pytest.mark.parametrize("status", [400, 404, 429, 500, 503])
def test_failed_operations_are_named(folder: RunFolder, clock: FakeClock, status: int) -> None:
    """An operation that failed as a whole is named by its chunk's number, whatever its answer is."""
    failed = [
        to_result("3", {"title": "no"}, status),
        to_result("12", "<html>", status),
        to_result("7", None, status),
    ]
    client = client_with(finished("one"), downloads=[to_archive(failed)])
    assert collected(client, folder, clock, "one") == [Collected(members=0, refused=[3, 12, 7])]
    assert kept(folder) == []


def test_operations_without_answer_are_named(folder: RunFolder, clock: FakeClock) -> None:
    """An operation that tells of nobody, or nothing at all, is named too; one that nobody can name is not."""
    silent = [
        to_result("4", {"new_members": []}),
        to_result("5", None, 204),
        to_result("6", None),
        to_result("", {}),
        to_result("x", {}),
    ]
    client = client_with(finished("one"), downloads=[to_archive(silent)])
    assert collected(client, folder, clock, "one") == [Collected(refused=[4, 5, 6])]


def test_who_left_is_kept_with_the_chunk(folder: RunFolder, clock: FakeClock) -> None:
    """People may leave by several chunks, so each answer names its own; those who are gone count as removed."""
    told = [to_result("9020", {"total_removed": 2}), to_result("9021", {"title": "Not found"}, 404)]
    client = client_with(finished("one"), downloads=[to_archive(told)])
    assert collected(client, folder, clock, "one") == [Collected(members=3)]
    rows = folder.answer_log.reading().read_all().select(["email", "effect", "chunk"]).to_pylist()
    assert [tuple(row.values()) for row in rows] == [
        ("a@mail.eu", "removed", 9020),
        ("b@mail.eu", "removed", 9020),
        ("c@mail.eu", "removed", 9021),
    ]


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ({"errors": [{"email_addresses": ["a@mail.eu"], "error": "no"}]}, 200),
        (None, 200),
        ({"title": "no"}, 400),
        (None, 500),
    ],
    ids=["somebody stayed", "no answer", "refused", "failed"],
)
def test_leaving_that_failed_is_named(
    folder: RunFolder, clock: FakeClock, answer: object, status: int
) -> None:
    """Where anybody could not be removed, or it is not said, the chunk is named, and nothing of it is kept."""
    client = client_with(finished("one"), downloads=[to_archive([to_result("9020", answer, status)])])
    assert collected(client, folder, clock, "one") == [Collected(refused=[9020])]
    assert kept(folder) == []


@pytest.mark.parametrize("answer", [[], "text", 7, {"errors": ["no"]}], ids=str)
def test_leaving_that_is_told_strangely(folder: RunFolder, clock: FakeClock, answer: object) -> None:
    """Results in no documented shape are fetched again, and given up in the end."""
    client = client_with(finished("one"), downloads=[to_archive([to_result("9020", answer)])])
    assert collected(client, folder, clock, "one") == []
    assert len(client.requests) == DOWNLOADS


def test_a_batch_that_is_gone(folder: RunFolder, clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    """A batch that Mailchimp no longer knows is given up at once, and the log says why."""
    assert collected(client_with(refusal(404)), folder, clock, "one") == []
    assert clock.pauses == []
    assert _warnings(caplog) == [
        "Batch one is gone: Mailchimp keeps results for seven days",
        "Batch one: its members stay unconfirmed and are sent again next time",
    ]


def test_a_batch_that_is_not_finished(
    folder: RunFolder, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """A batch that is still at work is not waited for, that has been done before, but called off."""
    client = client_with(finished("one", status="started"))
    client.answers["DELETE /batches/one"] = lambda request: None
    assert collected(client, folder, clock, "one") == []
    assert [request.method for request in client.requests][-1] == "DELETE"
    assert clock.pauses == []
    assert "Batch one is not finished: started" in _warnings(caplog)


def test_a_batch_that_is_worked_off(
    folder: RunFolder, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """A batch of which all operations are done is left alone, and its members are unconfirmed."""
    client = client_with(
        finished("one", status="finalizing", total_operations=3, finished_operations=3, errored_operations=1)
    )
    assert collected(client, folder, clock, "one") == []
    assert {request.method for request in client.requests} == {"GET"}
    assert _warnings(caplog) == [
        "Batch one is not finished: finalizing",
        "Batch one: its members stay unconfirmed and are sent again next time",
    ]


def test_a_link_that_comes_late(folder: RunFolder, clock: FakeClock) -> None:
    """A finished batch without a link is asked again after growing pauses."""
    client = client_with(*[finished("one", response_body_url="")] * 3, finished("one"))
    assert collected(client, folder, clock, "one") == [Collected(members=3)]
    assert clock.pauses == [2.0, 4.0, 8.0]


def test_a_link_that_never_comes(folder: RunFolder, clock: FakeClock) -> None:
    """A finished batch whose link never comes is given up after so many looks."""
    client = client_with(finished("one", response_body_url=""))
    assert collected(client, folder, clock, "one") == []
    assert len(client.requests) == DOWNLOADS
    assert clock.pauses == [2.0, 4.0, 8.0, 16.0]


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"no archive",
        READY[: len(READY) // 2],
        RetryableError("answered 400"),
        to_archive([to_result("0", [1])]),
    ],
    ids=["empty", "garbage", "cut short", "refused", "undocumented"],
)
def test_an_archive_that_is_readable_later(folder: RunFolder, clock: FakeClock, broken: Any) -> None:
    """A damaged or refused download is made again with a fresh link, and nothing of it is kept."""
    client = client_with(finished("one"), downloads=[broken, broken, READY])
    assert collected(client, folder, clock, "one") == [Collected(members=3)]
    assert len(client.requests) == 3
    assert len(kept(folder)) == 3


def test_an_archive_that_stays_unreadable(
    folder: RunFolder, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """An archive that cannot be read in so many downloads is given up, and nothing of it is kept."""
    client = client_with(finished("one"), downloads=[READY[: len(READY) // 2]])
    assert collected(client, folder, clock, "one") == []
    assert folder.answers() == []
    assert len(client.requests) == DOWNLOADS
    assert _warnings(caplog)[-1] == "Batch one: its members stay unconfirmed and are sent again next time"


def test_a_failure_among_good_results_counts_once(folder: RunFolder, clock: FakeClock) -> None:
    """What a broken download told is forgotten: each failed chunk is named once."""
    told = [
        to_result(str(number), {"new_members": [{"email_address": f"p{number}@mail.eu"}]})
        for number in range(2000)
    ]
    whole = to_archive([to_result("5000", None, 500)], told)
    client = client_with(finished("one"), downloads=[whole[:-200], whole])
    assert collected(client, folder, clock, "one") == [Collected(members=2000, refused=[5000])]


def test_out_of_reach(folder: RunFolder, clock: FakeClock) -> None:
    """Where Mailchimp is out of reach the batch is asked for again, and given up in the end."""
    assert collected(client_with(out_of_reach(), finished("one")), folder, clock, "one") == [Collected(3)]
    assert collected(client_with(out_of_reach()), folder, FakeClock(), "one") == []


def test_a_refusal_comes_through(folder: RunFolder, clock: FakeClock) -> None:
    """A key that may not ask is no reason to give the members up: the refusal is raised."""
    with pytest.raises(AccessDenied):
        collected(client_with(AccessDenied("revoked", status=401)), folder, clock, "one")
    assert clock.pauses == []


def _warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
