"""What an export has to know of the audience before it sends anything."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_mailchimp_export.delivery.opt_outs import FRESH_FOR, LOOK_AGAIN_AFTER, OptOuts
from airflow_mailchimp_export.errors import PermanentError
from airflow_mailchimp_export.mailchimp.members import count_members, read_members, read_tag, read_tags
from airflow_mailchimp_export.mailchimp.protocol import Request
from airflow_mailchimp_export.model import MemberStatus, MergeField
from airflow_mailchimp_export.planning.audience import create_merge_fields, read_audience
from airflow_mailchimp_export.rules import BILLED, HELD_BACK
from airflow_mailchimp_export.state.plan_file import Rename
from tests.kit.client import FakeClient, gateway, raising, refusal
from tests.kit.clock import FakeCalendar
from tests.kit.exports import AUDIENCE_ID, LIST
from tests.kit.people import hash_of, member
from tests.kit.waiting import PATIENCE

MEMBERS = f"GET {LIST}/members"

Reads = Callable[[int], Sequence[str]]


def persons(count: int) -> list[str]:
    """Make so many addresses."""
    return [f"p{number:05d}@mail.eu" for number in range(count)]


def page(request: Request, people: Sequence[str]) -> dict[str, Any]:
    """Answer with the page that a request asks for."""
    query = dict(request.query)
    start = int(query["offset"])
    found = people[start : start + int(query["count"])]
    members = [{"id": hash_of(email), "email_address": email} for email in found]
    return {"members": members, "total_items": len(people)}


def changing(states: Callable[[int], Sequence[str]]) -> Callable[[Request], dict[str, Any]]:
    """Answer the n-th request out of the n-th state."""
    numbers = iter(range(1_000_000))
    lock = threading.Lock()

    def answer(request: Request) -> dict[str, Any]:
        with lock:
            return page(request, states(next(numbers)))

    return answer


def read(client: FakeClient, status: MemberStatus = MemberStatus.UNSUBSCRIBED) -> list[tuple[str, str]]:
    """Read all members of a status."""
    return [member for members in read_members(client, AUDIENCE_ID, status) for member in members]


def in_another_thread(work: Callable[[], object]) -> threading.Thread:
    """Begin work beside this thread."""
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def told(people: Sequence[str]) -> list[tuple[str, str]]:
    """The pairs that stand for these people."""
    return [(hash_of(email), email) for email in people]


class TestAudience:
    """The audience itself."""

    def test_it_comes_with_its_merge_fields(self) -> None:
        """Name, opt-in and merge fields are read in two calls."""
        fields = [{"tag": "FNAME", "name": "First name", "type": "text", "required": True}]
        client = FakeClient(
            {
                f"GET {LIST}": lambda _: {
                    "id": AUDIENCE_ID,
                    "web_id": 4711,
                    "name": "Readers",
                    "double_optin": True,
                },
                f"GET {LIST}/merge-fields": lambda _: {"merge_fields": fields},
            }
        )
        audience = read_audience(client, AUDIENCE_ID)
        assert (audience.id, audience.name, audience.double_optin) == (AUDIENCE_ID, "Readers", True)
        assert audience.web_id == 4711
        assert audience.merge_fields == {"FNAME": MergeField("FNAME", "First name", "text", required=True)}
        assert len(client.requests) == 2

    def test_an_unknown_audience(self) -> None:
        """An audience that Mailchimp does not know is a refusal."""
        with pytest.raises(PermanentError):
            read_audience(FakeClient({f"GET {LIST}": raising(refusal(404))}), AUDIENCE_ID)

    def test_merge_fields_are_created(self) -> None:
        """Each missing merge field is created with its tag, name and type, in order."""
        client = FakeClient({f"POST {LIST}/merge-fields": lambda request: json.loads(request.body or b"")})
        fields = [MergeField("AGE", "Age", "number"), MergeField("CITY", "City", "text")]
        create_merge_fields(client, AUDIENCE_ID, fields)
        assert [json.loads(request.body or b"") for request in client.requests] == [
            {"tag": "AGE", "name": "Age", "type": "number"},
            {"tag": "CITY", "name": "City", "type": "text"},
        ]

    def test_members_are_counted(self) -> None:
        """The members of several statuses are counted without reading them."""
        people = {"subscribed": persons(1500), "unsubscribed": persons(20), "transactional": persons(3)}
        client = FakeClient({MEMBERS: lambda request: page(request, people[dict(request.query)["status"]])})
        assert count_members(client, AUDIENCE_ID, BILLED) == 1523
        assert {dict(request.query)["count"] for request in client.requests} == {"1"}


class TestMembers:
    """Reading the members of one status."""

    @pytest.mark.parametrize(
        ("count", "calls"), [(0, 1), (1, 1), (1000, 1), (1001, 2), (1950, 2), (1951, 3), (4500, 5)]
    )
    def test_all_are_read(self, count: int, calls: int) -> None:
        """Everybody is read, by pages of a thousand that overlap by fifty, with no call more than needed."""
        people = persons(count)
        client = FakeClient({MEMBERS: lambda request: page(request, people)})
        found = read(client)
        assert {*found} == {*told(people)}
        assert len(found) == count + 50 * (calls - 1)
        assert sorted(int(dict(request.query)["offset"]) for request in client.requests) == [
            950 * number for number in range(calls)
        ]
        assert {dict(request.query)["fields"] for request in client.requests} == {
            "members.id,members.email_address,total_items"
        }
        assert {dict(request.query)["status"] for request in client.requests} == {"unsubscribed"}

    def test_pages_are_read_side_by_side(self) -> None:
        """All pages behind the first are under way together, as many as there are connections."""
        together = threading.Barrier(3, timeout=PATIENCE)
        people = persons(6700)

        def answer(request: Request) -> dict[str, Any]:
            if dict(request.query)["offset"] != "0":
                together.wait()
            return page(request, people)

        client = FakeClient({MEMBERS: answer}, max_connections=3)
        assert {*read(client)} == {*told(people)}
        assert client.most_in_flight == 3

    @pytest.mark.parametrize(("leavers", "calls"), [(1, 3), (50, 3), (51, 5)])
    def test_members_who_leave_meanwhile_hide_nobody(self, leavers: int, calls: int) -> None:
        """Who leaves shifts the pages: up to fifty between two are met by the overlap, else the read is repeated."""
        people = persons(2000)
        client = FakeClient({MEMBERS: changing(lambda number: people if number == 0 else people[leavers:])})
        found = read(client)
        assert {email for _, email in found} == set(people)
        assert len(client.requests) == calls

    @pytest.mark.parametrize("swapped", [1, 50])
    def test_as_many_leave_as_join_meanwhile(self, swapped: int) -> None:
        """Where the total stays, for as many joined as left, nobody is missed either."""
        people = persons(2000)
        new = [f"z{number}@mail.eu" for number in range(swapped)]
        after = [*people[:5], *people[5 + swapped :], *new]
        client = FakeClient({MEMBERS: changing(lambda number: people if number == 0 else after)})
        assert {email for _, email in read(client)} == {*people, *new}

    def test_a_member_who_joins_meanwhile_hides_nobody(self) -> None:
        """Someone new at the front or the end: the read is repeated, and the newcomer is met too."""
        people = persons(2000)
        for after in (["new@mail.eu", *people], [*people, "new@mail.eu"]):
            client = FakeClient(
                {MEMBERS: changing(lambda number, after=after: people if number == 0 else after)}
            )
            assert {email for _, email in read(client)} == set(after)

    def test_reading_ends_where_the_audience_never_rests(self) -> None:
        """Where every read is disturbed it is given up after three, with everybody that any of them met."""
        people = persons(2500)
        client = FakeClient({MEMBERS: changing(lambda number: people[60 * number :])})
        found = {email for _, email in read(client)}
        assert len(client.requests) == 9
        assert found >= set(people[8 * 60 :])

    def test_a_refusal_comes_through(self) -> None:
        """A page that is refused stops the read: half of those who must not be touched are not enough."""
        people = persons(3000)

        def answer(request: Request) -> dict[str, Any]:
            if dict(request.query)["offset"] == "1900":
                raise refusal(500)
            return page(request, people)

        with pytest.raises(PermanentError):
            read(FakeClient({MEMBERS: answer}))


class TestTags:
    """Which tags there are, and who carries one."""

    def test_tags_have_ids(self) -> None:
        """The ids of all tags are read by name in one call."""
        answer = {"tags": [{"name": "VIP", "id": 7}, {"name": "名前", "id": 8}]}
        client = FakeClient({f"GET {LIST}/tag-search": lambda _: answer})
        assert read_tags(client, AUDIENCE_ID) == {"VIP": 7, "名前": 8}
        assert len(client.requests) == 1

    @pytest.mark.parametrize(("count", "calls"), [(0, 1), (1000, 1), (2300, 3)])
    def test_all_who_carry_a_tag_are_read(self, count: int, calls: int) -> None:
        """Everybody who carries a tag is read, by pages of a thousand that overlap."""
        people = persons(count)
        client = FakeClient({f"GET {LIST}/segments/7/members": lambda request: page(request, people)})
        found = [member for members in read_tag(client, AUDIENCE_ID, 7) for member in members]
        assert {*found} == {*told(people)}
        assert len(client.requests) == calls


class TestOptOuts:
    """Who said no since a run was planned."""

    @pytest.fixture
    def clock(self) -> FakeCalendar:
        """The time, which stands at the moment of planning."""
        return FakeCalendar(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))

    @pytest.fixture
    def gone(self) -> dict[str, list[str]]:
        """Who said no in Mailchimp so far, by status."""
        return {status.value: [] for status in HELD_BACK}

    @pytest.fixture
    def client(self, gone: dict[str, list[str]]) -> FakeClient:
        """A client that tells who said no."""
        return FakeClient({MEMBERS: lambda request: page(request, gone[dict(request.query)["status"]])})

    @pytest.fixture
    def opt_outs(self, client: FakeClient, clock: FakeCalendar) -> OptOuts:
        """The opt-outs of a run planned just now."""
        return OptOuts(gateway(client, now=clock), AUDIENCE_ID, planned_at=clock())

    def test_whose_address_changes(
        self, opt_outs: OptOuts, clock: FakeCalendar, gone: dict[str, list[str]]
    ) -> None:
        """Who said no under the old address is known by it, and from then on by the new one too."""
        move = Rename(hash_of("Ada@mail.eu"), "Ada@mail.eu", "new@mail.eu", "subscribed")
        assert opt_outs.of_renamed(move) is None
        gone["unsubscribed"] = ["ada@mail.eu"]
        clock.forward(seconds=30)
        assert opt_outs.of_renamed(move) is MemberStatus.UNSUBSCRIBED
        assert opt_outs.among([member("New@mail.eu")]) == {}
        opt_outs.follow([move])
        assert opt_outs.among([member("New@mail.eu")]) == {"New@mail.eu": MemberStatus.UNSUBSCRIBED}
        assert opt_outs.among_leaving(["new@mail.eu"]) == {"new@mail.eu": MemberStatus.UNSUBSCRIBED}
        assert opt_outs.of_renamed(replace(move, status="unsubscribed")) is None

    def test_whoever_waits_is_content_with_what_is_fresh(
        self, client: FakeClient, clock: FakeCalendar
    ) -> None:
        """Who had to wait for a look that took long does not look again where nobody would have to wait for it."""
        asked = threading.Semaphore(0)
        waiting: list[threading.Thread] = []

        def now() -> datetime:
            if threading.current_thread() is not threading.main_thread():
                asked.release()
            return clock()

        def answer(request: Request) -> Any:
            if not waiting:
                waiting.append(in_another_thread(lambda: opt_outs.among([])))
                for _ in range(2):
                    asked.acquire(timeout=PATIENCE)
                clock.forward(seconds=LOOK_AGAIN_AFTER.total_seconds() + 1)
            return page(request, [])

        opt_outs = OptOuts(gateway(client, now=now), AUDIENCE_ID, planned_at=clock())
        opt_outs.among([])
        clock.forward(seconds=FRESH_FOR.total_seconds())
        client.answers[MEMBERS] = answer
        opt_outs.among([])
        waiting[0].join(PATIENCE)
        assert len(client.requests) == 2 * len(HELD_BACK)

    def test_what_is_fresh_is_not_looked_up(
        self, opt_outs: OptOuts, client: FakeClient, clock: FakeCalendar, gone: dict[str, list[str]]
    ) -> None:
        """Before anything is sent each status is asked for, once, and then not for some time."""
        assert opt_outs.among(map(member, ["ada@mail.eu"])) == {}
        assert [dict(request.query)["status"] for request in client.requests] == [*HELD_BACK]
        gone["archived"] = ["ada@mail.eu"]
        clock.forward(seconds=LOOK_AGAIN_AFTER.total_seconds() - 1)
        assert opt_outs.among(map(member, ["ada@mail.eu"])) == {}
        clock.forward(seconds=1)
        assert opt_outs.among(map(member, ["ada@mail.eu"])) == {"ada@mail.eu": MemberStatus.ARCHIVED}

    def test_nobody_else_waits_for_a_look_in_good_time(
        self, opt_outs: OptOuts, client: FakeClient, clock: FakeCalendar
    ) -> None:
        """While one thread looks again, others go on with what is known, as long as that is fresh, and ask nothing."""
        opt_outs.among([])
        others: list[dict[str, MemberStatus]] = []

        def answer(request: Request) -> Any:
            in_another_thread(lambda: others.append(opt_outs.among([member("ada@mail.eu")]))).join(PATIENCE)
            return page(request, ["ada@mail.eu"])

        client.answers[MEMBERS] = answer
        clock.forward(seconds=LOOK_AGAIN_AFTER.total_seconds())
        assert opt_outs.among([member("ada@mail.eu")]).keys() == {"ada@mail.eu"}
        assert others[0] == {}
        assert len(others) == len(HELD_BACK)
        assert len(client.requests) == 2 * len(HELD_BACK)

    def test_who_knows_nothing_fresh_waits(
        self, opt_outs: OptOuts, client: FakeClient, clock: FakeCalendar
    ) -> None:
        """Once what is known is too old, whoever asks gets what the thread finds that looks, and asks nothing."""
        opt_outs.among([])
        waiting: list[threading.Thread] = []
        found: list[dict[str, MemberStatus]] = []

        def answer(request: Request) -> Any:
            if not waiting:
                clock.forward(seconds=(FRESH_FOR - LOOK_AGAIN_AFTER).total_seconds())
                waiting.append(
                    in_another_thread(lambda: found.append(opt_outs.among([member("ada@mail.eu")])))
                )
            return page(request, ["ada@mail.eu"] if dict(request.query)["status"] == HELD_BACK[-1] else [])

        client.answers[MEMBERS] = answer
        clock.forward(seconds=LOOK_AGAIN_AFTER.total_seconds())
        opt_outs.among([])
        waiting[0].join(PATIENCE)
        assert found == [{"ada@mail.eu": HELD_BACK[-1]}]
        assert len(client.requests) == 2 * len(HELD_BACK)

    def test_the_status_that_was_known_is_no_change(
        self, opt_outs: OptOuts, gone: dict[str, list[str]]
    ) -> None:
        """Who is sent in a status, or was archived by the export and returns, is not held back by that status."""
        gone.update(archived=["ada@mail.eu"], transactional=["bo@mail.eu"])
        returns = member("ada@mail.eu")._replace(was=MemberStatus.ARCHIVED)
        assert opt_outs.among([returns, member("bo@mail.eu", MemberStatus.TRANSACTIONAL)]) == {}
        assert opt_outs.among([member("ada@mail.eu")]) == {"ada@mail.eu": MemberStatus.ARCHIVED}

    def test_both_statuses_count(
        self, opt_outs: OptOuts, clock: FakeCalendar, gone: dict[str, list[str]]
    ) -> None:
        """Who unsubscribed and who bounced is told, however Mailchimp writes the address; nobody else is."""
        gone.update(unsubscribed=[" Ada@Mail.EU"], cleaned=["bo@mail.eu", "stranger@mail.eu"])
        clock.forward(seconds=60)
        assert opt_outs.among(map(member, ["ada@mail.eu", "bo@mail.eu", "cy@mail.eu"])) == {
            "ada@mail.eu": MemberStatus.UNSUBSCRIBED,
            "bo@mail.eu": MemberStatus.CLEANED,
        }

    def test_invisible_characters_hide_nobody(
        self, opt_outs: OptOuts, clock: FakeCalendar, gone: dict[str, list[str]]
    ) -> None:
        """Who said no is told, whether Mailchimp or a plan of release 0.1.0 has invisible characters in the address."""
        gone["unsubscribed"] = ["ada@ma\u200dil.eu", "bo@mail.eu"]
        clock.forward(seconds=60)
        assert opt_outs.among(map(member, ["ada@mail.eu", "b\u00ado@mail.eu"])) == {
            "ada@mail.eu": MemberStatus.UNSUBSCRIBED,
            "b\u00ado@mail.eu": MemberStatus.UNSUBSCRIBED,
        }

    def test_it_is_asked_again_and_again(
        self, opt_outs: OptOuts, client: FakeClient, clock: FakeCalendar, gone: dict[str, list[str]]
    ) -> None:
        """Who says no between two looks is met by the second one, and who was met before stays known."""
        gone["unsubscribed"] = ["ada@mail.eu"]
        clock.forward(seconds=30)
        assert opt_outs.among(map(member, ["ada@mail.eu", "bo@mail.eu"])).keys() == {"ada@mail.eu"}
        gone["unsubscribed"] = ["bo@mail.eu"]
        clock.forward(seconds=24)
        assert opt_outs.among(map(member, ["ada@mail.eu", "bo@mail.eu"])).keys() == {"ada@mail.eu"}
        clock.forward(seconds=1)
        assert opt_outs.among(map(member, ["ada@mail.eu", "bo@mail.eu"])).keys() == {
            "ada@mail.eu",
            "bo@mail.eu",
        }
        assert len(client.requests) == 10

    def test_clocks_may_differ(self, opt_outs: OptOuts, client: FakeClient, clock: FakeCalendar) -> None:
        """It is asked for everybody since five minutes before planning: Mailchimp's clock may be behind."""
        clock.forward(seconds=30)
        opt_outs.among(map(member, []))
        since = "2026-01-02T02:59:05+00:00"
        unsubscribed, *others = (dict(request.query) for request in client.requests)
        assert unsubscribed["unsubscribed_since"] == since
        assert [query["since_last_changed"] for query in others] == [since] * 4

    def test_many_threads_look_once(
        self, opt_outs: OptOuts, client: FakeClient, clock: FakeCalendar, gone: dict[str, list[str]]
    ) -> None:
        """Threads that come at once wait for one look, and all of them have its answer."""
        gone["cleaned"] = persons(50)
        clock.forward(seconds=30)
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(opt_outs.among, [[*map(member, persons(50))]] * 40))
        assert all(len(one) == 50 for one in found)
        assert len(client.requests) == 5

    def test_a_look_that_fails_is_made_again(
        self, opt_outs: OptOuts, client: FakeClient, clock: FakeCalendar, gone: dict[str, list[str]]
    ) -> None:
        """Without an answer nobody counts as cleared: the failure comes through, and the next one asks again."""
        gone["unsubscribed"] = ["ada@mail.eu"]
        good = client.answers[MEMBERS]
        client.answers[MEMBERS] = raising(refusal(500))
        clock.forward(seconds=30)
        with pytest.raises(PermanentError):
            opt_outs.among(map(member, ["ada@mail.eu"]))
        client.answers[MEMBERS] = good
        assert opt_outs.among(map(member, ["ada@mail.eu"])).keys() == {"ada@mail.eu"}
