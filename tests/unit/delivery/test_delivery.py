"""Bringing chunks to Mailchimp: call by call, or as batches."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_mailchimp_export.delivery.batches import (
    MAX_BATCH_BYTES,
    MAX_BATCH_PEOPLE,
    Operation,
    group_into_batches,
    submit_batches,
    to_operation,
)
from airflow_mailchimp_export.delivery.pool import MAX_CONSECUTIVE_FAILURES, deliver_directly
from airflow_mailchimp_export.delivery.upserts import MAX_CONSECUTIVE_REJECTIONS, Upserter
from airflow_mailchimp_export.errors import (
    AccessDenied,
    ConfigError,
    PermanentError,
    RetryableError,
    TimedOut,
)
from airflow_mailchimp_export.mailchimp.batches import cancel_batches
from airflow_mailchimp_export.mailchimp.protocol import Request
from airflow_mailchimp_export.model import Chunk, Effect, Outcome, Reason
from airflow_mailchimp_export.state.manifest import SubmittedBatch
from tests.kit.archives import finished
from tests.kit.client import (
    Consent,
    FakeClient,
    accepted,
    gateway,
    in_turn,
    members_of,
    out_of_reach,
    raising,
    refusal,
)
from tests.kit.exports import AUDIENCE_ID, LIST
from tests.kit.people import chunk
from tests.kit.waiting import PATIENCE

UPSERT = f"POST {LIST}"


def upserter(client: Any, permit: Callable[[], None] = lambda: None, **options: Any) -> Upserter:
    """Make what sends chunks."""
    return Upserter(gateway(client, permit), AUDIENCE_ID, **options)


def persons(count: int) -> list[str]:
    """Make so many addresses."""
    return [f"p{number:04d}@mail.eu" for number in range(count)]


def refusing(
    bad: Collection[str], error: PermanentError | None = None
) -> Callable[[Request], dict[str, Any]]:
    """Refuse each request that carries one of these, take all others."""

    def answer(request: Request) -> dict[str, Any]:
        if any(carried["email_address"] in bad for carried in members_of(request)):
            raise error or refusal(400, words="The resource submitted could not be validated.")
        return accepted(request)

    return answer


@dataclass
class Kept:
    """Takes in what became of each chunk, from any thread."""

    outcomes: dict[int, tuple[Outcome, ...]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, answered: Chunk, outcomes: Sequence[Outcome]) -> None:
        """Keep one chunk's outcomes."""
        with self.lock:
            assert answered.number not in self.outcomes
            self.outcomes[answered.number] = tuple(outcomes)


class TestDividing:
    """A chunk that Mailchimp refuses as a whole."""

    @pytest.mark.parametrize("status", [400, 413, 422])
    def test_the_offenders_are_found(self, status: int) -> None:
        """A refused chunk is halved until each offender is alone; all others are created."""
        people = persons(100)
        bad = {people[0], people[41], people[42], people[99]}
        client = FakeClient({UPSERT: refusing(bad, refusal(status))})
        outcomes = upserter(client).upsert(chunk(0, *people))
        assert [outcome.email for outcome in outcomes] == people
        assert {outcome.email for outcome in outcomes if outcome.effect is Effect.REJECTED} == bad
        assert {outcome.effect for outcome in outcomes} == {Effect.CREATED, Effect.REJECTED}

    @given(st.sets(st.integers(0, 63), max_size=40))
    def test_exactly_the_offenders_are_found(self, places: set[int]) -> None:
        """Whoever they are, however many, exactly the offenders are refused, each once."""
        people = persons(64)
        bad = {people[place] for place in places}
        outcomes = upserter(FakeClient({UPSERT: refusing(bad)})).upsert(chunk(0, *people))
        assert [outcome.email for outcome in outcomes] == people
        assert {outcome.email for outcome in outcomes if outcome.effect is Effect.REJECTED} == bad

    def test_an_offender_has_reason_field_and_words(self) -> None:
        """What Mailchimp said of the offender alone is their reason, with the field it named."""
        error = refusal(
            400, words="Your merge fields were invalid.", field="AGE", message="Please enter a number"
        )
        client = FakeClient({UPSERT: raising(error)})
        assert upserter(client).upsert(chunk(0, "ada@mail.eu")) == (
            Outcome(
                "ada@mail.eu",
                Effect.REJECTED,
                reason=Reason.INVALID_FIELD,
                field="AGE",
                words="Your merge fields were invalid. Please enter a number",
            ),
        )

    def test_an_offender_without_details_is_refused(self) -> None:
        """Where Mailchimp gives no details, the reason is that it refused."""
        client = FakeClient({UPSERT: raising(refusal(400))})
        assert upserter(client).upsert(chunk(0, "ada@mail.eu")) == (
            Outcome("ada@mail.eu", Effect.REJECTED, reason=Reason.REFUSED),
        )

    def test_who_said_no_is_suppressed(self) -> None:
        """Someone refused alone because of compliance is suppressed, not rejected."""
        error = refusal(
            400, words="ada is in a compliance state due to unsubscribe and cannot be subscribed."
        )
        (outcome,) = upserter(FakeClient({UPSERT: raising(error)})).upsert(chunk(0, "ada@mail.eu"))
        assert (outcome.effect, outcome.reason) == (Effect.SUPPRESSED, Reason.COMPLIANCE)

    @pytest.mark.parametrize(
        "error",
        [AccessDenied("no", status=403), refusal(404), AccessDenied("no", status=400), out_of_reach()],
        ids=["role", "not found", "denied", "out of reach"],
    )
    def test_what_is_not_in_the_members_is_raised(self, error: Exception) -> None:
        """A refusal for which no member can be to blame is not bisected."""
        client = FakeClient({UPSERT: raising(error)})
        with pytest.raises(type(error)):
            upserter(client).upsert(chunk(0, *persons(8)))
        # The untrimmed request follows only where the refusal may be about the trimming.
        assert len(client.requests) <= 2

    def test_hopeless_refusals_stop(self) -> None:
        """After so many members refused one by one without any accepted, the refusal is raised."""
        client = FakeClient({UPSERT: raising(refusal(400, words="Nobody."))})
        sender = upserter(client)
        sender.upsert(chunk(0, *persons(MAX_CONSECUTIVE_REJECTIONS - 1)))
        with pytest.raises(PermanentError, match="answered 400"):
            sender.upsert(chunk(1, "one.more@mail.eu"))

    def test_an_accepted_member_gives_hope(self) -> None:
        """One accepted request between the refusals, and counting starts again."""
        bad = persons(MAX_CONSECUTIVE_REJECTIONS - 1)
        sender = upserter(FakeClient({UPSERT: refusing(bad)}))
        sender.upsert(chunk(0, *bad))
        sender.upsert(chunk(1, "good@mail.eu"))
        outcomes = sender.upsert(chunk(2, *bad))
        assert {outcome.effect for outcome in outcomes} == {Effect.REJECTED}


class TestTakingTooLong:
    """Requests that Mailchimp does not answer in time."""

    @staticmethod
    def answering(most: int) -> FakeClient:
        """Make a client that answers requests of at most so many members in time."""

        def answer(request: Request) -> dict[str, Any]:
            if len(members_of(request)) > most:
                raise TimedOut("answered 502")
            return accepted(request)

        return FakeClient({UPSERT: answer})

    def test_the_size_is_found_and_kept(self) -> None:
        """What took too long is sent in halves, and later chunks in parts of the size that was answered."""
        client = self.answering(130)
        sender = upserter(client)
        for number in range(2):
            outcomes = sender.upsert(chunk(number, *persons(500)))
            assert [outcome.email for outcome in outcomes] == persons(500)
        sizes = [len(members_of(request)) for request in client.requests]
        assert sizes == [500, 250, 125, 125, 125, 125, 125, 125, 125, 125]

    def test_it_has_an_end(self) -> None:
        """Where few members take too long as well, their number is not what it is about, and the chunk is given up."""
        client = self.answering(0)
        with pytest.raises(TimedOut):
            upserter(client).upsert(chunk(0, *persons(500)))
        assert [len(members_of(request)) for request in client.requests] == [500, 250, 125, 62, 31, 25]

    @pytest.mark.parametrize(("people", "divisible"), [(500, True), (26, True), (25, False)])
    def test_which_calls_are_divisible(self, people: int, *, divisible: bool) -> None:
        """The client repeats a request of few members by itself, and leaves others to be divided."""
        assert upserter(FakeClient()).call(chunk(0, *persons(people))).divisible is divisible


class TestTrimming:
    """Asking for only a part of the answer, which Mailchimp does not document for this call."""

    def test_honoured(self) -> None:
        """Where it works, each request asks for the trimmed answer."""
        client = FakeClient({UPSERT: accepted})
        sender = upserter(client)
        assert sender.upsert(chunk(0, "a@mail.eu")) == (Outcome("a@mail.eu", Effect.CREATED, "subscribed"),)
        sender.upsert(chunk(1, "b@mail.eu"))
        assert ["fields" in dict(request.query) for request in client.requests] == [True, True]

    def test_ignored(self) -> None:
        """Where it is ignored, the whole answer does as well."""
        whole = {
            "updated_members": [{"email_address": "A@mail.eu", "status": "subscribed", "stats": {}}],
            "x": 1,
        }
        outcomes = upserter(FakeClient({UPSERT: lambda _: whole})).upsert(chunk(0, "a@mail.eu"))
        assert outcomes == (Outcome("A@mail.eu", Effect.UPDATED, "subscribed"),)

    @pytest.mark.parametrize("status", [400, 422])
    def test_refused(self, status: int) -> None:
        """Where it is refused, the same members go untrimmed, and so do all further chunks."""

        def answer(request: Request) -> dict[str, Any]:
            if "fields" in dict(request.query):
                raise refusal(status)
            return accepted(request)

        client = FakeClient({UPSERT: answer})
        sender = upserter(client)
        for number in range(3):
            assert len(sender.upsert(chunk(number, *persons(10)))) == 10
        assert ["fields" in dict(request.query) for request in client.requests] == [True, False, False, False]

    def test_an_empty_answer(self) -> None:
        """Where trimming leaves nothing of the answer, members are sent again without it, then always so."""
        client = FakeClient({UPSERT: lambda request: {} if dict(request.query) else accepted(request)})
        sender = upserter(client)
        assert len(sender.upsert(chunk(0, *persons(3)))) == 3
        assert len(sender.upsert(chunk(1, *persons(3)))) == 3
        assert ["fields" in dict(request.query) for request in client.requests] == [True, False, False]

    def test_trimming_that_worked_is_not_doubted(self) -> None:
        """Once it worked, a refusal is about the members, and an empty answer stays one."""
        client = FakeClient({UPSERT: in_turn({"errors": [{"email_address": "a@mail.eu"}]}, refusal(400), {})})
        sender = upserter(client)
        for number in range(3):
            sender.upsert(chunk(number, "a@mail.eu"))
        assert ["fields" in dict(request.query) for request in client.requests] == [True] * 3

    def test_what_another_thread_found_out_is_not_overturned(self) -> None:
        """Where another chunk is trimmed while one is sent untrimmed, trimming counts as found to work."""

        def answer(request: Request) -> dict[str, Any]:
            if len(client.requests) == 1:
                raise refusal(400)
            if len(client.requests) == 2:
                sender.upsert(chunk(1, "b@mail.eu"))
            return accepted(request)

        client = FakeClient({UPSERT: answer})
        sender = upserter(client)
        sender.upsert(chunk(0, "a@mail.eu"))
        sender.upsert(chunk(2, "c@mail.eu"))
        assert ["fields" in dict(request.query) for request in client.requests] == [True, False, True, True]

    def test_required_fields_may_be_waived(self) -> None:
        """The request asks Mailchimp to do without required merge fields only where the export says so."""
        client = FakeClient({UPSERT: accepted})
        upserter(client).upsert(chunk(0, "a@mail.eu"))
        upserter(client, skip_merge_validation=True).upsert(chunk(0, "a@mail.eu"))
        assert [dict(request.query).get("skip_merge_validation") for request in client.requests] == [
            None,
            "true",
        ]


class TestPermit:
    """Consent is asked for before each request."""

    def test_before_each_request(self) -> None:
        """Halves of a refused chunk and untrimmed repetitions are asked for too."""
        consent = Consent(ConfigError("off"), permits=1000)
        client = FakeClient({UPSERT: refusing({"p0003@mail.eu"})})
        upserter(client, consent).upsert(chunk(0, *persons(8)))
        assert consent.asked == len(client.requests)

    def test_nothing_is_sent_without(self) -> None:
        """Without consent there is no request at all."""
        client = FakeClient({UPSERT: accepted})
        with pytest.raises(ConfigError, match="off"):
            upserter(client, Consent(ConfigError("off"), permits=0)).upsert(chunk(0, "a@mail.eu"))
        assert client.requests == []

    def test_withdrawn_consent_stops_at_once(self) -> None:
        """After consent is withdrawn nothing more is sent; what was answered until then is kept."""
        client, kept = FakeClient({UPSERT: accepted}), Kept()
        sender = upserter(client, Consent(ConfigError("off"), permits=5))
        delivered = deliver_directly(
            (chunk(number, f"p{number}@mail.eu") for number in range(1000)),
            sender.upsert,
            connections=2,
            keep=kept,
        )
        with pytest.raises(ConfigError, match="off"):
            list(delivered)
        assert len(client.requests) == len(kept.outcomes) == 5


class TestDirect:
    """Call by call."""

    def test_everything_is_sent_and_kept(self) -> None:
        """Each chunk's outcomes are kept under its number, and its members are counted once."""
        client, kept = FakeClient({UPSERT: accepted}), Kept()
        chunks = [
            chunk(number, *(f"p{number}.{each}@mail.eu" for each in range(number + 1)))
            for number in range(20)
        ]
        delivered = list(deliver_directly(chunks, upserter(client).upsert, connections=3, keep=kept))
        assert sorted(delivered) == list(range(1, 21))
        assert {number: [one.email for one in outcomes] for number, outcomes in kept.outcomes.items()} == {
            one.number: [each.email for each in one.members] for one in chunks
        }

    @pytest.mark.parametrize("connections", [1, 3, 8])
    def test_at_most_so_many_in_flight(self, connections: int) -> None:
        """All connections are used at the same time, and never more."""
        together = threading.Barrier(connections, timeout=PATIENCE)

        def answer(request: Request) -> dict[str, Any]:
            together.wait()
            return accepted(request)

        client = FakeClient({UPSERT: answer})
        chunks = [chunk(number, f"p{number}@mail.eu") for number in range(connections * 6)]
        list(deliver_directly(chunks, upserter(client).upsert, connections=connections, keep=Kept()))
        assert client.most_in_flight == connections

    def test_few_chunks_are_taken_ahead(self) -> None:
        """Of a long stream of chunks only twice as many as there are connections wait in memory."""
        taken: list[int] = []
        sent = FakeClient({UPSERT: accepted})

        def stream() -> Iterator[Chunk]:
            for number in range(100):
                taken.append(number)
                yield chunk(number, f"p{number}@mail.eu")

        for count, _ in enumerate(
            deliver_directly(stream(), upserter(sent).upsert, connections=3, keep=Kept())
        ):
            assert len(taken) <= count + 1 + 2 * 3

    def test_what_collides_waits_for_its_turn(self) -> None:
        """Of chunks that collide, the later one is begun once the outcomes of the earlier are kept; others go on."""
        kept = Kept()
        meeting = threading.Barrier(2, timeout=PATIENCE)
        seen: dict[int, set[int]] = {}

        def work(one: Chunk) -> list[Outcome]:
            seen[one.number] = set(kept.outcomes)
            meeting.wait()
            return []

        chunks = [chunk(number) for number in (0, 1, 10, 11)]
        list(
            deliver_directly(
                chunks,
                work,
                connections=4,
                keep=kept,
                collide=lambda one, other: one.number % 10 == other.number % 10,
            )
        )
        assert 0 in seen[10]
        assert 1 in seen[11]

    def test_nothing_is_kept_where_nobody_was_asked(self) -> None:
        """A chunk of which nobody may be sent has no answer of Mailchimp's."""
        kept = Kept()
        chunks = [chunk(number, "p@mail.eu") for number in range(3)]
        outcomes = [Outcome("p@mail.eu", Effect.CREATED)]
        work = lambda one: None if one.number == 1 else outcomes  # noqa: E731
        assert list(deliver_directly(chunks, work, connections=1, keep=kept)) == [1, 1]
        assert kept.outcomes.keys() == {0, 2}

    def test_a_chunk_without_answer_stays_unconfirmed(self, caplog: pytest.LogCaptureFixture) -> None:
        """A chunk that got no answer is left out with a warning, and the rest goes on."""
        lost = {"p3@mail.eu", "p7@mail.eu"}
        client, kept = FakeClient({UPSERT: losing(lost)}), Kept()
        chunks = [chunk(number, f"p{number}@mail.eu") for number in range(10)]
        assert list(deliver_directly(chunks, upserter(client).upsert, connections=1, keep=kept)) == [1] * 8
        assert set(range(10)) - kept.outcomes.keys() == {3, 7}
        warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        assert (
            warnings
            == [
                "A chunk got no answer and stays unconfirmed: POST request failed on the way: ConnectionError"
            ]
            * 2
        )

    def test_five_in_a_row_stop(self) -> None:
        """So many chunks without answer in a row, and Mailchimp counts as out of reach."""
        client, kept = FakeClient({UPSERT: in_turn({"errors": [{}]}, out_of_reach())}), Kept()
        chunks = [chunk(number, f"p{number}@mail.eu") for number in range(100)]
        with pytest.raises(RetryableError, match="ConnectionError"):
            list(deliver_directly(chunks, upserter(client).upsert, connections=1, keep=kept))
        assert 1 + MAX_CONSECUTIVE_FAILURES <= len(client.requests) <= 1 + MAX_CONSECUTIVE_FAILURES + 2
        assert list(kept.outcomes) == [0]

    def test_an_answer_gives_hope(self) -> None:
        """Four lost chunks, an answer, four lost chunks: that is not yet out of reach."""
        lost = {f"p{number}@mail.eu" for number in (*range(4), *range(5, 9))}
        client = FakeClient({UPSERT: losing(lost)})
        chunks = [chunk(number, f"p{number}@mail.eu") for number in range(10)]
        assert list(deliver_directly(chunks, upserter(client).upsert, connections=1, keep=Kept())) == [1, 1]

    def test_only_an_answer_gives_hope(self) -> None:
        """Chunks for which no call is made, between those without an answer, say nothing of Mailchimp."""

        def work(one: Chunk) -> list[Outcome] | None:
            if one.number % 3:
                raise RetryableError("out of reach")
            return None

        chunks = [chunk(number, "p@mail.eu") for number in range(30)]
        with pytest.raises(RetryableError):
            list(deliver_directly(chunks, work, connections=1, keep=Kept()))

    def test_a_place_that_cannot_be_written_to_stops(self) -> None:
        """Where answers cannot be kept, no further chunk is sent."""

        def full(answered: Chunk, outcomes: Sequence[Outcome]) -> None:
            raise ConfigError("no space left")

        client = FakeClient({UPSERT: accepted})
        chunks = (chunk(number, f"p{number}@mail.eu") for number in range(1000))
        with pytest.raises(ConfigError, match="no space"):
            list(deliver_directly(chunks, upserter(client).upsert, connections=2, keep=full))
        assert len(client.requests) < 20

    def test_no_chunks(self) -> None:
        """Without chunks nothing is sent."""
        client = FakeClient()
        assert list(deliver_directly([], upserter(client).upsert, connections=2, keep=Kept())) == []


class TestBatches:
    """As jobs on Mailchimp's side."""

    def test_several_batches(self) -> None:
        """Chunks are handed over in as many batches as needed, and each is told as soon as it was taken."""
        client = FakeClient(
            {"POST /batches": in_turn({"id": "one", "status": "pending"}, {"id": "two", "status": "pending"})}
        )
        chunks = [chunk(number, *persons(500)) for number in range(41)]
        submitted = submit_batches(operations(chunks, upserter(client)), gateway(client))
        assert next(submitted) == (SubmittedBatch("one", tuple(range(40))), 20_000)
        assert len(client.requests) == 1
        assert list(submitted) == [(SubmittedBatch("two", (40,)), 500)]

    def test_operations_are_the_direct_calls(self) -> None:
        """Each operation carries a chunk's number, and the same path, query and body as the direct call."""
        client = FakeClient({"POST /batches": lambda _: {"id": "one", "status": "pending"}, UPSERT: accepted})
        sender = upserter(client, skip_merge_validation=True)
        list(submit_batches(operations([chunk(7, "ada@mail.eu")], sender), gateway(client)))
        sender.upsert(chunk(7, "ada@mail.eu"))
        batch, direct = client.requests
        (operation,) = json.loads(batch.body or b"")["operations"]
        path, _, query = operation["path"].partition("?")
        assert (operation["method"], path, operation["operation_id"]) == ("POST", LIST, "7")
        assert operation["body"].encode() == direct.body
        assert query.startswith("skip_merge_validation=true&fields=new_members.email_address%2C")

    def test_consent_is_asked_for_before_each(self) -> None:
        """Withdrawn consent stops before the next batch; those before are told."""
        client = FakeClient({"POST /batches": lambda _: {"id": "one", "status": "pending"}})
        chunks = [chunk(number, *persons(500)) for number in range(81)]
        consent = Consent(ConfigError("off"), permits=1)
        submitted = submit_batches(operations(chunks, upserter(client)), gateway(client, consent))
        assert next(submitted)[0].id == "one"
        with pytest.raises(ConfigError, match="off"):
            next(submitted)
        assert len(client.requests) == 1


class TestPacking:
    """How many chunks make a batch."""

    def test_by_people(self) -> None:
        """A batch takes chunks up to so many people, and the next chunk goes into the next batch."""
        each = [operation(number, people=500) for number in range(41)]
        sizes = [sum(one.people for one in group) for group in group_into_batches(each)]
        assert sizes == [MAX_BATCH_PEOPLE, 500]

    def test_by_bytes(self) -> None:
        """A batch takes chunks up to so many bytes of operations."""
        fives = [operation(number, bulk=MAX_BATCH_BYTES // 2) for number in range(5)]
        assert [[one.number for one in group] for group in group_into_batches(fives)] == [[0, 1], [2, 3], [4]]

    def test_a_chunk_that_is_too_large_travels_alone(self) -> None:
        """What is too large by itself is sent anyway."""
        each = [operation(0), operation(1, bulk=MAX_BATCH_BYTES + 1), operation(2)]
        assert [[one.number for one in group] for group in group_into_batches(each)] == [[0], [1], [2]]

    def test_nothing_makes_no_batch(self) -> None:
        """Without chunks there is no batch."""
        assert list(group_into_batches([])) == []

    @given(st.lists(st.tuples(st.integers(1, 500), st.integers(0, 2_000_000)), max_size=60))
    def test_every_chunk_is_in_one_batch(self, shapes: list[tuple[int, int]]) -> None:
        """Whatever the chunks are like, each is in one batch, in order, and no batch is past its limits."""
        each = [operation(number, people, bulk) for number, (people, bulk) in enumerate(shapes)]
        groups = list(group_into_batches(each))
        assert [one for group in groups for one in group] == each
        for group in groups:
            assert sum(one.people for one in group) <= MAX_BATCH_PEOPLE
            assert len(group) == 1 or sum(len(one.content) for one in group) <= MAX_BATCH_BYTES


class TestCancelling:
    """Batches that nobody waits for any more."""

    def test_unfinished_batches_are_cancelled(self) -> None:
        """Batches at work are cancelled, finished ones keep their results."""
        client = FakeClient(
            {
                "GET /batches/one": lambda _: finished("one", status="started"),
                "GET /batches/two": lambda _: finished("two"),
                "DELETE /batches/one": lambda _: None,
            }
        )
        cancel_batches(client, ["one", "two"])
        assert len(client.sent("DELETE /batches/one")) == 1
        assert len(client.requests) == 3

    @pytest.mark.parametrize(
        ("status", "done", "cancelled"),
        [
            ("finalizing", 3, 0),
            ("finalizing", 2, 1),
            ("finalizing", 0, 1),
            ("started", 3, 1),
            ("pending", 0, 1),
        ],
    )
    def test_what_is_worked_off_is_left_alone(self, status: str, done: int, cancelled: int) -> None:
        """A batch that has only its results to pack can do nothing later, so it is not cancelled; any other is."""
        state = finished("one", status=status, total_operations=3 if done else 0, finished_operations=done)
        client = FakeClient({"GET /batches/one": lambda _: state, "DELETE /batches/one": lambda _: None})
        cancel_batches(client, ["one"])
        assert len(client.sent("DELETE /batches/one")) == cancelled

    @pytest.mark.parametrize(
        ("error", "warns"),
        [
            (refusal(404), False),
            (refusal(400), True),
            (AccessDenied("revoked", status=401), True),
            (out_of_reach(), True),
        ],
        ids=["gone", "refused", "denied", "out of reach"],
    )
    def test_what_cannot_be_cancelled_stops_nobody(
        self, error: Exception, warns: bool, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Whatever keeps one batch from being cancelled, the next one is; only one that is gone is no warning."""
        client = FakeClient(
            {
                "GET /batches/one": raising(error),
                "GET /batches/two": lambda _: finished("two", status="pending"),
                "DELETE /batches/two": lambda _: None,
            }
        )
        cancel_batches(client, ["one", "two"])
        assert len(client.sent("DELETE /batches/two")) == 1
        warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        assert warnings == ([f"Batch one could not be cancelled: {error}"] if warns else [])


def operation(number: int, people: int = 1, bulk: int = 9) -> Operation:
    """An operation for so many people, of so many bytes."""
    return Operation(number, people, b"x" * bulk)


def operations(chunks: Iterable[Chunk], sender: Upserter) -> Iterator[Operation]:
    """Chunks as operations."""
    return (to_operation(one.number, len(one.members), sender.call(one)) for one in chunks)


def losing(lost: Collection[str]) -> Callable[[Request], dict[str, Any]]:
    """Give no answer to requests that carry one of these."""

    def answer(request: Request) -> dict[str, Any]:
        if any(carried["email_address"] in lost for carried in members_of(request)):
            raise out_of_reach()
        return accepted(request)

    return answer
