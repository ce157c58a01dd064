"""Whom an attempt that was ended had yet to send: nothing is taken from them, and nothing is believed of them."""

from __future__ import annotations

import threading
from typing import Any

import orjson
import pytest

from airflow_mailchimp_export.accounting.report import Counts
from airflow_mailchimp_export.errors import RemovalLimitExceeded
from airflow_mailchimp_export.model import Delivery
from airflow_mailchimp_export.options import OnLeave
from airflow_mailchimp_export.state.lock import LOCK
from airflow_mailchimp_export.state.notes import BEGUN, BegunMark
from tests.kit.life import Life, one_by_one
from tests.kit.mortal import Killed, kill
from tests.kit.people import many, people

CROWD = [f"p{number:04}@brieftaube.eu" for number in range(1010)]
CHUNKS = [CROWD[:500], CROWD[500:1000], CROWD[1000:]]
ADA, BO, NEW = "ada@brieftaube.eu", "bo@brieftaube.eu", "new@brieftaube.eu"


@pytest.fixture
def life(life: Life, monkeypatch: pytest.MonkeyPatch) -> Life:
    """An export that sends one chunk after the other, each in a batch of its own."""
    monkeypatch.setattr("airflow_mailchimp_export.delivery.batches.MAX_BATCH_PEOPLE", 500)
    life.max_connections = 1
    life.options = {"max_removal_ratio": 1}
    return life


def dies(life: Life, segments: dict[str, Any], *, chunks: int, **how: Any) -> None:
    """Let an attempt die at the request that carries the next chunk, before it is sent; the dead note nothing."""
    steps = one_by_one(*[None] * (1 + chunks), kill)
    dead = threading.Event()

    def permit() -> None:
        if dead.is_set():
            kill()
        try:
            steps()
        except Killed:
            dead.set()
            raise

    def reach(mark: BegunMark, number: int, *, ahead: int = 0) -> None:
        if dead.is_set():
            kill()
        alive(mark, number, ahead=ahead)

    alive = BegunMark.reach
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BegunMark, "reach", reach)
        with pytest.raises(Killed):
            life.submit(segments, permit=permit, name="run", **how)


def untagged(life: Life) -> set[str]:
    """From whom a tag was to be taken."""
    requests = [one for one in life.requests if one.method == "POST" and "/segments/" in one.path]
    return {email for one in requests for email in orjson.loads(one.body or b"")["members_to_remove"]}


@pytest.mark.parametrize("begun", [0, 1])
def test_nothing_is_taken_from_who_was_never_sent(life: Life, begun: int) -> None:
    """Of those who are in the corrected source no more, only who may have got the tag loses it, and is counted."""
    dies(life, {"A": people(*CROWD)}, chunks=begun)
    report = life.run({"A": people(ADA, BO)}, name="run")
    may_have_it = [email for chunk in CHUNKS[: begun + 1] for email in chunk]
    assert life.report("run").counts == Counts(
        rows_read=1010, created=500 * begun, unconfirmed=1010 - 500 * begun
    )
    assert report.counts == Counts(rows_read=2, created=2, removed=len(may_have_it))
    assert untagged(life) == set(may_have_it)
    assert {email for email, (_, tags) in life.audience().items() if tags} == {ADA, BO}
    assert life.ledger().keys() == {ADA, BO}


def test_chunks_that_begin_together_are_noted_together(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four connections begin with one note, not with four that wait for one another."""
    notes: list[int] = []
    put = BegunMark._put

    def noted(mark: BegunMark, chunks: int) -> None:
        notes.append(chunks)
        put(mark, chunks)

    monkeypatch.setattr(BegunMark, "_put", noted)
    life.max_connections = 4
    life.run({"A": many(9 * 500)})
    assert len(notes) <= 1 + 3, notes
    assert notes[-1] >= 9


@pytest.mark.parametrize("handed_over", [0, 1])
def test_batches(life: Life, handed_over: int) -> None:
    """So it is with batches: who was in none that was begun to be handed over was never sent."""
    dies(life, {"A": people(*CROWD)}, chunks=handed_over, delivery=Delivery.BATCH)
    report = life.run({"A": people(ADA, BO)}, name="run", delivery=Delivery.BATCH)
    assert report.counts == Counts(rows_read=2, created=2, removed=sum(map(len, CHUNKS[: handed_over + 1])))
    assert {email for email, (_, tags) in life.audience().items() if tags} == {ADA, BO}


def test_the_next_run_sends_them(life: Life) -> None:
    """Who was never sent is sent by the next run, also those whose profile is as the ledger has it."""
    life.run({"A": people(*CROWD)})
    dies(life, {"A": people(*CROWD)}, chunks=1, full=True)
    life.folder.remove(LOCK)
    assert life.run({"A": people(*CROWD)}).counts == Counts(rows_read=1010, unchanged=500, updated=510)
    assert life.run({"A": people(*CROWD)}).counts == Counts(rows_read=1010, unchanged=1010)


def test_what_the_ledger_knew_of_them_holds(life: Life) -> None:
    """Who had the tag before the attempt counts when a broken source would take it, whether sent by it or not."""
    life.options = {}
    life.run({"A": people(*CROWD)})
    dies(life, {"A": people(*CROWD)}, chunks=0, full=True)
    with pytest.raises(RemovalLimitExceeded, match="1,009 of 1,010"):
        life.run({"A": people(CROWD[0])}, name="run")
    assert untagged(life) == set()


def test_who_was_suppressed_stays_so(life: Life) -> None:
    """Who said no stays as they were remembered, and keeps no tag of a segment that they were not sent with."""
    life.put(CROWD[-1], status="unsubscribed")
    life.run({"A": people(*CROWD)})
    life.change(CROWD[-1], status="subscribed")
    dies(life, {"A": people(*CROWD), "B": people(*CROWD)}, chunks=0)
    life.folder.remove(LOCK)
    report = life.run({"A": people(ADA, *CROWD[:-1]), "B": people(BO)})
    assert report.counts.removed == 500
    assert CROWD[-1] not in untagged(life)


def test_who_was_archived_stays_so(life: Life) -> None:
    """Who was archived by the export and was to return stays archived in the ledger, and returns by the next run."""
    how = {"on_leave": OnLeave.ARCHIVE}
    life.run({"A": people(*CROWD)}, **how)
    life.run({"A": people(*CROWD[:-1])}, **how)
    changed = {"A": people(*CROWD[-2:]), "B": people(*CROWD)}
    dies(life, changed, chunks=0, **how)
    life.folder.remove(LOCK)
    life.run(changed, **how)
    assert life.audience()[CROWD[-1]] == ("subscribed", {"A", "B"})


def test_who_was_renamed_is_known_under_the_new_address(life: Life) -> None:
    """Whose address was followed before the process died is remembered with the tags, though nothing else was sent."""
    life.options = {**life.options, "profile_id": "id"}
    ids = [str(number) for number in range(511)]
    before, after = [*CROWD[:510], ADA], [*CROWD[:510], NEW]
    life.run({"A": people(*before, id=ids), "B": people(*before, id=ids)})
    life.field_map = {"EMAIL": "email", "FNAME": "name"}
    named = people(*after, id=ids, name=["x"] * 511)
    changed = {"A": named, "B": named.slice(0, 510)}
    # The rename is let through, and the first chunk is not.
    dies(life, changed, chunks=1)
    life.folder.remove(LOCK)
    assert life.tags(NEW) == {"A", "B"}
    report = life.run(changed)
    assert life.report("run").address_changes["renamed"] == 1
    assert (report.counts.created, report.counts.removed) == (0, 1)
    assert life.tags(NEW) == {"A"}
    assert life.ledger()[NEW]["tags"] == ["A"]


@pytest.mark.parametrize("content", [None, b"", b'{"format": 9}', b'{"chunks": "x"}'], ids=repr)
def test_where_it_is_not_known(life: Life, content: bytes | None) -> None:
    """Of a run of an earlier release, or where the note is damaged, anybody may have been sent."""
    dies(life, {"A": people(*CROWD[:3])}, chunks=0)
    folder = life.folder.run_named("run")
    if content is None:
        folder.remove(BEGUN)
    else:
        folder.put(BEGUN, content)
    report = life.run({"A": people(ADA, BO)}, name="run")
    assert report.counts == Counts(rows_read=2, created=2, removed=3)
