"""Direct delivery: calls of all kinds go on together, but those for one person one after the other."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import orjson
import pytest
from upath import UPath

from airflow_mailchimp_export.accounting.report import Counts
from airflow_mailchimp_export.delivery.opt_outs import FRESH_FOR
from airflow_mailchimp_export.errors import RetryableError
from airflow_mailchimp_export.mailchimp.protocol import Request, Response
from airflow_mailchimp_export.options import OnLeave
from airflow_mailchimp_export.rules import HELD_BACK
from airflow_mailchimp_export.state.lock import LOCK
from airflow_mailchimp_export.state.object_storage import ObjectAppender
from airflow_mailchimp_export.state.run import ExportFolder
from tests.kit.clock import FakeCalendar
from tests.kit.exports import LIST
from tests.kit.life import SENDING, Life
from tests.kit.mortal import Killed
from tests.kit.people import hash_of, people
from tests.kit.sandbox import InProcessClient, InProcessSandbox
from tests.kit.waiting import PATIENCE

ADA, BO, NEW = "ada@brieftaube.eu", "bo@brieftaube.eu", "new@brieftaube.eu"

CROWD = [f"p{number:04}@brieftaube.eu" for number in range(600)]

RENAME, UPSERT, UNTAG, ARCHIVE = "rename", "upsert", "untag", "archive"


def kind_of(request: Request) -> str:
    """What a request does with people; nothing for one that changes nobody."""
    if request.method not in SENDING:
        return ""
    if request.path == LIST:
        return UPSERT
    return {"PUT": RENAME, "DELETE": ARCHIVE}.get(request.method, UNTAG)


def people_of(request: Request) -> set[str]:
    """Whom a request concerns, by the hashes of their addresses."""
    content: Mapping[str, Any] = orjson.loads(request.body) if request.body else {}
    emails = [member["email_address"] for member in content.get("members", ())]
    emails += [*content.get("members_to_remove", ()), *filter(None, [content.get("email_address")])]
    in_path = {request.path.rpartition("/")[2]} if "/members/" in request.path else set()
    return in_path | set(map(hash_of, emails))


class WatchedClient(InProcessClient):
    """A client that sees who is in which calls, and when.

    :ivar together: people who were in two calls of different kinds at the same time.
    :ivar kinds: of the calls for each person, in order.
    """

    def __init__(self, sandbox: InProcessSandbox, *, meet: Callable[[str], object] = lambda kind: None):
        super().__init__(sandbox, max_connections=8)
        self.together: set[str] = set()
        self.kinds: defaultdict[str, list[str]] = defaultdict(list)
        self._meet = meet
        self._in_flight: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    def _transmit(self, request: Request) -> Response | RetryableError:
        kind = kind_of(request)
        if not kind:
            return super()._transmit(request)
        with self._seen(people_of(request), kind):
            self._meet(kind)
            return super()._transmit(request)

    @contextmanager
    def _seen(self, concerned: set[str], kind: str) -> Iterator[None]:
        with self._lock:
            self.together |= {person for person, other in +self._in_flight if other != kind} & concerned
            self._in_flight.update((person, kind) for person in concerned)
            for person in concerned:
                self.kinds[person].append(kind)
        try:
            yield
        finally:
            with self._lock:
                self._in_flight.subtract((person, kind) for person in concerned)


def meeting(*kinds: str) -> Callable[[str], object]:
    """Make what lets the first call of each kind wait for those of the others."""
    barrier, left = threading.Barrier(len(kinds), timeout=PATIENCE), list(kinds)

    def meet(kind: str) -> None:
        if kind in left:
            left.remove(kind)
            barrier.wait()

    return meet


@pytest.fixture
def life(life: Life) -> Life:
    """An export whose profiles have ids, and names."""
    life.options = {"profile_id": "id", "max_removal_ratio": 1}
    life.field_map = {"EMAIL": "email", "FNAME": "name"}
    return life


def named(emails: Sequence[str], name: str = "Ada", *, ids: Sequence[str] | None = None) -> Any:
    """Make a segment of people who have all the same name; ids are their addresses unless given."""
    return people(*emails, id=ids or emails, name=[name] * len(emails))


def test_who_leaves_does_not_wait_for_who_is_sent(life: Life) -> None:
    """The tag is taken from who left while others are sent."""
    life.run({"A": named([ADA, BO])})
    client = WatchedClient(life.sandbox, meet=meeting(UPSERT, UNTAG))
    submission, _ = life.submit({"A": named([ADA, *CROWD])}, client=client)
    assert submission.report
    assert submission.report.counts == Counts(rows_read=601, created=600, unchanged=1, removed=1)
    assert client.together == set()


def test_tags_are_taken_in_any_order(life: Life) -> None:
    """Who loses two tags may lose both at once."""
    life.run({"A": named([ADA, BO]), "B": named([ADA, BO])})
    client = WatchedClient(life.sandbox, meet=meeting(UNTAG, UNTAG))
    submission, _ = life.submit({"A": named([BO]), "B": named([BO])}, client=client)
    assert submission.report
    assert submission.report.counts == Counts(rows_read=2, merged=1, unchanged=1, removed=1)
    assert life.tags(ADA) == set()


@pytest.mark.parametrize("on_leave", [OnLeave.UNTAG, OnLeave.ARCHIVE])
def test_the_order_for_one_person(life: Life, on_leave: OnLeave) -> None:
    """Whoever is renamed, sent and loses tags, all in one run, is so in that order, and each once the other is over."""
    old, stay, left = CROWD[:20], CROWD[20:40], CROWD[40:60]
    moved = [f"new.{email}" for email in old]
    segments = {name: named(CROWD[:60]) for name in "ABC"}
    life.run(segments, on_leave=on_leave)
    client = WatchedClient(life.sandbox)
    segments["A"] = named([*moved, *stay], "Zoë", ids=[*old, *stay])
    segments |= {name: named([BO]) for name in "BC"}
    submission, _ = life.submit(segments, client=client, on_leave=on_leave)
    assert client.together == set()
    taken = [UNTAG] * 2
    assert {tuple(client.kinds[hash_of(email)]) for email in stay} == {(UPSERT, *taken)}
    assert {tuple(client.kinds[hash_of(email)]) for email in moved} == {(RENAME, UPSERT, *taken)}
    gone = [ARCHIVE] if on_leave is OnLeave.ARCHIVE else [*taken, UNTAG]
    assert {tuple(client.kinds[hash_of(email)]) for email in left} == {tuple(gone)}
    assert submission.report
    assert submission.report.counts.adds_up
    audience = life.audience()
    assert all(audience[email] == ("subscribed", {"A"}) for email in (*moved, *stay))


class DiesAfter(InProcessClient):
    """A client whose process dies when certain calls are over, before anybody hears of it."""

    def __init__(self, sandbox: InProcessSandbox, die: Callable[[str], None]) -> None:
        super().__init__(sandbox, max_connections=8)
        self._die = die

    def _transmit(self, request: Request) -> Response | RetryableError:
        answer = super()._transmit(request)
        self._die(kind_of(request))
        return answer


class OptsOut(InProcessClient):
    """A client by which somebody opts out as their address changes, and is found, under the old one, before it has."""

    def __init__(self, life: Life) -> None:
        super().__init__(life.sandbox, max_connections=2)
        self._life = life
        life.now = self._calendar = FakeCalendar()
        self._left, self._found = threading.Event(), threading.Event()
        self._looks = 0

    def _transmit(self, request: Request) -> Response | RetryableError:
        if request.method == "PUT" and hash_of(ADA) in request.path:
            self._life.change(ADA, status="unsubscribed")
            self._calendar.forward(seconds=FRESH_FOR.total_seconds())
            self._left.set()
            self._found.wait(PATIENCE)
        elif request.method == "PUT":
            self._left.wait(PATIENCE)
        answer = super()._transmit(request)
        if self._left.is_set() and request.method == "GET":
            self._looks += 1
            if self._looks == len(HELD_BACK):
                self._found.set()
        return answer


def test_an_opt_out_while_the_address_changes(life: Life) -> None:
    """Who is found under the old address, while it changes, is not subscribed under the new one."""
    others = CROWD[:3]
    moved = [f"new.{email}" for email in others]
    life.run({"A": named([ADA, *others])})
    client = OptsOut(life)
    submission, _ = life.submit({"A": named([NEW, *moved], "Zoë", ids=[ADA, *others])}, client=client)
    assert life.audience()[NEW] == ("unsubscribed", {"A"})
    assert submission.report
    assert submission.report.address_changes["renamed"] == 4
    assert submission.report.counts == Counts(rows_read=4, updated=3, suppressed=1)


def test_a_death_after_renames_on_an_object_storage(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """That an address was changed is written before anybody is sent, so that no tag is forgotten there."""
    life.folder = ExportFolder(UPath(f"memory://{uuid4().hex}/life"))
    life.run({"A": named([ADA, *CROWD[:3]]), "B": named([CROWD[0]])})
    dead = threading.Event()
    close = ObjectAppender.close
    monkeypatch.setattr(ObjectAppender, "close", lambda self: None if dead.is_set() else close(self))

    def die(kind: str) -> None:
        if kind == UPSERT:
            dead.set()
            raise Killed

    moved = named([NEW, *CROWD[:3]], ids=[ADA, *CROWD[:3]])
    with pytest.raises(Killed):
        life.submit(
            {"A": moved, "B": named([CROWD[0], NEW], ids=[CROWD[0], ADA])},
            client=DiesAfter(life.sandbox, die),
            name="dies",
        )
    dead.clear()
    life.folder.remove(LOCK)
    life.run({"A": moved, "B": named([CROWD[0]])}, name="next")
    assert life.tags(NEW) == {"A"}
    assert life.ledger()[NEW]["tags"] == ["A"]
