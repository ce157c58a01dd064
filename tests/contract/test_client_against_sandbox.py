"""Our client against the sandbox, over HTTP: two readings of Mailchimp's API, made apart from each other."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import orjson
import pytest

from airflow_mailchimp_export.address import subscriber_hash
from airflow_mailchimp_export.errors import (
    AccessDenied,
    MailchimpError,
    NotFound,
    RetryableError,
    Throttled,
    TimedOut,
)
from airflow_mailchimp_export.mailchimp import calls
from airflow_mailchimp_export.mailchimp.archive import OperationResult, operation_results
from airflow_mailchimp_export.mailchimp.client import MailchimpClient
from airflow_mailchimp_export.mailchimp.pace import Pace
from airflow_mailchimp_export.model import (
    Batch,
    Chunk,
    Effect,
    Member,
    MemberStatus,
    MergeField,
    Outcome,
    Reason,
)
from scripts.sandbox_service import Sandbox
from tests.conftest import AUDIENCE
from tests.kit.http import PING
from tests.kit.waiting import PATIENCE, wait_until

HURRIED = Pace(attempts=50, first_pause=0.01, longest_pause=0.1, timeout_pause=0.02)
SLOW = 3600
"""Seconds: a call that takes so long ends when the test says so."""

TWICE = Pace(attempts=2, first_pause=0.0, timeout_pause=0.0)


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[MailchimpClient]:
    """A client of the sandbox that does not pause for long."""
    with to_client(sandbox, HURRIED) as client:
        yield client


def to_client(sandbox: Sandbox, pace: Pace, *, key: str = "", timeout: float = PATIENCE) -> MailchimpClient:
    """A client of the sandbox."""
    return MailchimpClient(f"{sandbox.url}/3.0", key or sandbox.key, pace=pace, timeout=timeout)


def to_member(email: str, **fields: object) -> Member:
    """A person as they are sent."""
    payload = orjson.dumps({"email_address": email, "status": "subscribed", **fields})
    return Member(subscriber_hash(email), email, MemberStatus.SUBSCRIBED, payload)


def to_chunks(count: int, size: int) -> list[Chunk]:
    """Chunks of people that are all different."""
    return [
        Chunk(number, tuple(to_member(f"p{number}.{place}@people.example") for place in range(size)))
        for number in range(count)
    ]


def by_address(outcomes: tuple[Outcome, ...]) -> dict[str, Outcome]:
    """Outcomes by their addresses."""
    return {outcome.email: outcome for outcome in outcomes}


def wait_for(client: MailchimpClient, batch: Batch) -> Batch:
    """The batch, once it is finished."""
    wait_until(lambda: client.send(calls.batch(batch.id)).finished, "the end of a batch")
    return client.send(calls.batch(batch.id))


def submit(client: MailchimpClient, sandbox: Sandbox, chunks: list[Chunk]) -> Batch:
    """The batch that carries the chunks, once it is finished."""
    operations = [
        calls.operation(chunk.number, calls.upsert(sandbox.audience_id, chunk).request) for chunk in chunks
    ]
    return wait_for(client, client.send(calls.submit_batch(operations)))


def download(client: MailchimpClient, batch: Batch) -> list[OperationResult]:
    """The results of a batch."""
    with client.download(batch.response_body_url) as stream:
        return list(operation_results(stream))


def test_who_it_is(client: MailchimpClient, sandbox: Sandbox) -> None:
    """The key is good, and leads to the account and its audience."""
    assert client.send(PING) == "Everything's Chimpy!"
    account = client.send(calls.account())
    assert (account.role, account.plan, account.contacts) == ("admin", "monthly", 0)
    audience = client.send(calls.audience(sandbox.audience_id))
    assert (audience.id, audience.double_optin, audience.member_count) == (sandbox.audience_id, False, 0)


def test_merge_fields(client: MailchimpClient, sandbox: Sandbox) -> None:
    """A merge field that is created is there afterwards, beside those of every audience."""
    made = client.send(
        calls.create_merge_field(sandbox.audience_id, MergeField("POINTS", "Points", "number"))
    )
    fields = client.send(calls.merge_fields(sandbox.audience_id))
    assert fields["POINTS"] == made
    assert (made.type, made.required) == ("number", False)
    assert fields["FNAME"].type == "text"
    assert "EMAIL" not in fields


def test_upserts(client: MailchimpClient, sandbox: Sandbox) -> None:
    """New members are created and known ones updated, with fields and tags, whatever tags others set."""
    ada = "ada@people.example"
    first = to_member(ada, merge_fields={"FNAME": "Ada"}, tags=["Theirs"])
    assert client.send(calls.upsert(sandbox.audience_id, Chunk(0, (first,)))) == (
        Outcome(ada, Effect.CREATED, status="subscribed"),
    )
    second = to_member("Ada@People.example", merge_fields={"LNAME": "L"}, tags=["Ours"])
    (outcome,) = client.send(calls.upsert(sandbox.audience_id, Chunk(1, (second,)), trimmed=False))
    assert (outcome.effect, outcome.status) == (Effect.UPDATED, "subscribed")
    (member,) = sandbox.members()
    assert member["merge_fields"] == {"FNAME": "Ada", "LNAME": "L"}
    assert sorted(member["tags"]) == ["Ours", "Theirs"]
    assert member["hash"] == subscriber_hash(ada)


@pytest.mark.parametrize("fields_on_post", ["honour", "ignore"])
def test_refused_people(client: MailchimpClient, sandbox: Sandbox, fields_on_post: str) -> None:
    """Each refused member has its reason, the others are created, and every member has an outcome."""
    sandbox.change(fields_on_post=fields_on_post)
    client.send(calls.create_merge_field(sandbox.audience_id, MergeField("POINTS", "Points", "number")))
    people = (
        to_member("good@people.example"),
        to_member("forgotten@test.com"),
        to_member("not an address"),
        to_member("many@people.example", merge_fields={"POINTS": "many"}),
    )
    outcomes = by_address(client.send(calls.upsert(sandbox.audience_id, Chunk(0, people))))
    assert {email: outcome.reason for email, outcome in outcomes.items()} == {
        "good@people.example": None,
        "forgotten@test.com": Reason.FAKE_ADDRESS,
        "not an address": Reason.INVALID_ADDRESS,
        "many@people.example": Reason.INVALID_FIELD,
    }
    assert outcomes["many@people.example"].field == "POINTS"
    assert "Please enter a number" in outcomes["many@people.example"].words


def test_people_who_opted_out(client: MailchimpClient, sandbox: Sandbox) -> None:
    """Somebody who opted out by themselves stays so, and counts as suppressed for compliance."""
    sandbox.load(AUDIENCE)
    gone = next(member for member in sandbox.members() if member["compliance"])
    (outcome,) = client.send(calls.upsert(sandbox.audience_id, Chunk(0, (to_member(gone["email"]),))))
    assert (outcome.effect, outcome.reason) == (Effect.SUPPRESSED, Reason.COMPLIANCE)
    assert gone in sandbox.members()


def test_members_by_status(client: MailchimpClient, sandbox: Sandbox) -> None:
    """The members of each status are those that the sandbox holds, page by page."""
    sandbox.load(AUDIENCE)
    held = sandbox.members()
    for status in MemberStatus:
        expected = {(member["hash"], member["email"]) for member in held if member["status"] == status}
        found: set[tuple[str, str]] = set()
        total = len(expected)
        for offset in range(0, total, 7):
            page = client.send(calls.members(sandbox.audience_id, status, offset=offset, count=7))
            assert page.total == total
            found.update(page.members)
        assert found == expected


def test_untagging(client: MailchimpClient, sandbox: Sandbox) -> None:
    """A tag is found by its name and taken away; the other tags stay."""
    people = tuple(to_member(f"{name}@people.example", tags=["VIP", "New"]) for name in ("ada", "bob"))
    client.send(calls.upsert(sandbox.audience_id, Chunk(0, people)))
    tags = client.send(calls.tags(sandbox.audience_id))
    assert set(tags) == {"VIP", "New"}
    ada = "ada@people.example"
    assert client.send(calls.untag(sandbox.audience_id, tags["VIP"], [ada])) == (
        Outcome(ada, Effect.REMOVED),
    )
    assert client.send(calls.member_tags(sandbox.audience_id, ada)) == {"New"}
    found = {member["email"]: sorted(member["tags"]) for member in sandbox.members()}
    assert found == {"ada@people.example": ["New"], "bob@people.example": ["New", "VIP"]}


def test_batches(client: MailchimpClient, sandbox: Sandbox) -> None:
    """A batch's results, several files of them, tell the outcome of every member of every chunk."""
    sandbox.change(archive_operations_per_file=2)
    chunks = to_chunks(5, 3)
    batch = submit(client, sandbox, chunks)
    assert (batch.total_operations, batch.finished_operations, batch.errored_operations) == (5, 5, 0)
    results = {result.operation_id: result for result in download(client, batch)}
    assert set(results) == {"0", "1", "2", "3", "4"}
    for chunk in chunks:
        outcomes = by_address(calls.to_outcomes(results[str(chunk.number)].answer))
        assert outcomes == {
            member.email: Outcome(member.email, Effect.CREATED, status="subscribed")
            for member in chunk.members
        }


def test_failed_operations(client: MailchimpClient, sandbox: Sandbox) -> None:
    """Operations that fail as a whole are told by their status."""
    sandbox.change(batch_operation_fault_rate=1.0)
    batch = submit(client, sandbox, to_chunks(2, 1))
    assert batch.errored_operations == 2
    assert [result.status for result in download(client, batch)] == [500, 500]


def test_a_young_and_a_cancelled_batch(client: MailchimpClient, sandbox: Sandbox) -> None:
    """A batch begins without counts; once it is cancelled it is gone for good."""
    sandbox.change(batch_pending=60.0)
    operations = [calls.operation(0, calls.upsert(sandbox.audience_id, to_chunks(1, 1)[0]).request)]
    young = client.send(calls.submit_batch(operations))
    assert young == Batch(young.id, "pending")
    assert client.send(calls.cancel_batch(young.id)) is None
    with pytest.raises(NotFound):
        client.send(calls.batch(young.id))


@pytest.mark.parametrize("fault", ["corrupt", "truncated"])
def test_spoilt_archives(client: MailchimpClient, sandbox: Sandbox, fault: str) -> None:
    """A spoilt archive is told from a good one, and the next download is good."""
    batch = submit(client, sandbox, to_chunks(20, 5))
    sandbox.change(archive_fault=fault, archive_fault_count=1)
    with pytest.raises(RetryableError, match="unreadable"):
        download(client, batch)
    assert len(download(client, client.send(calls.batch(batch.id)))) == 20


def test_an_expired_link(client: MailchimpClient, sandbox: Sandbox) -> None:
    """A link that has expired is refused, and asking for the batch again gives one that works."""
    batch = submit(client, sandbox, to_chunks(1, 1))
    sandbox.change(clock_shift=3600.0)
    with pytest.raises(RetryableError, match=r"answered 40[03]"):
        download(client, batch)
    assert len(download(client, client.send(calls.batch(batch.id)))) == 1


def test_a_download_that_fails_at_first(client: MailchimpClient, sandbox: Sandbox) -> None:
    """A download that is refused now and then works at a later attempt."""
    batch = submit(client, sandbox, to_chunks(1, 1))
    sandbox.change(batch_download_failures=2)
    for _ in range(2):
        with pytest.raises(RetryableError, match="answered 400"):
            download(client, batch)
    assert len(download(client, batch)) == 1


@pytest.mark.parametrize(
    "settings", [{"account_disabled": True}, {"role": "viewer"}, {"compliance_review": True}]
)
def test_what_is_not_allowed(sandbox: Sandbox, settings: dict[str, object]) -> None:
    """A disabled account, a role that may not write and an account under review are refused at once."""
    sandbox.change(**settings)
    with to_client(sandbox, HURRIED) as client, pytest.raises(AccessDenied):
        client.send(calls.upsert(sandbox.audience_id, to_chunks(1, 1)[0]))
    assert sum(sandbox.stats()["requests"]["POST /lists/{list_id}"].values()) == 1
    assert sandbox.members() == []


@pytest.mark.parametrize("key", ["00000000000000000000000000000000-us0", "not a key at all"])
def test_a_wrong_key(sandbox: Sandbox, key: str) -> None:
    """A wrong key is refused at once, and not told."""
    with to_client(sandbox, HURRIED, key=key) as client, pytest.raises(AccessDenied) as caught:
        client.send(PING)
    assert caught.value.status in {401, 403}
    assert key not in str(caught.value)


def test_an_unknown_audience(client: MailchimpClient) -> None:
    """An audience that is not there is a refusal that says what to check."""
    with pytest.raises(NotFound, match=r"^GET /lists/nowhere was answered 404: .*Check the audience id"):
        client.send(calls.audience("nowhere"))


def test_oauth(sandbox: Sandbox) -> None:
    """A token leads to its account's endpoint; a bad one, though answered with 200, to none."""
    token = sandbox.settings()["oauth_token"]
    for given, known in ((token, True), ("bad", False)):
        with MailchimpClient(f"{sandbox.url}/oauth2/metadata", given, oauth=True, pace=TWICE) as client:
            assert bool(client.send(calls.oauth_home()).endpoint) is known
    with to_client(sandbox, TWICE, key=token) as client:
        assert client.send(PING) == "Everything's Chimpy!"


FAULTS: list[tuple[str, type[MailchimpError]]] = [
    ("throttled", Throttled),
    ("forbidden", Throttled),
    ("error", RetryableError),
    ("gateway", TimedOut),
    ("unavailable", RetryableError),
    ("reset-before", RetryableError),
    ("reset-after", RetryableError),
    ("truncated", RetryableError),
    ("garbage", RetryableError),
    ("delay", TimedOut),
]


@pytest.mark.parametrize(("fault", "kind"), FAULTS)
def test_each_fault(sandbox: Sandbox, fault: str, kind: type[MailchimpError]) -> None:
    """Each way of going wrong is repeated, and raised as what it is once attempts are used up."""
    sandbox.change(fault_rate=1.0, faults=[fault], fault_delay=0.3)
    timeout = 0.15 if fault == "delay" else PATIENCE
    with to_client(sandbox, TWICE, timeout=timeout) as client, pytest.raises(MailchimpError) as caught:
        client.send(calls.upsert(sandbox.audience_id, to_chunks(1, 1)[0]))
    assert type(caught.value) is kind
    assert "people.example" not in str(caught.value)
    # Delayed calls are counted when they end.
    wait_until(lambda: sandbox.stats()["faults"] == {fault: 2}, "the end of the delayed calls")


def test_the_list_of_faults(sandbox: Sandbox) -> None:
    """The test above knows every way in which the sandbox can go wrong."""
    assert {fault for fault, _ in FAULTS} == set(sandbox.settings()["faults"])


def test_everybody_arrives(sandbox: Sandbox, client: MailchimpClient) -> None:
    """Where half of all calls go wrong in every way, everybody arrives, and nobody twice."""
    sandbox.change(fault_rate=0.5, fault_delay=0.01)
    chunks = to_chunks(60, 5)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda chunk: client.send(calls.upsert(sandbox.audience_id, chunk)), chunks))
    told = [outcome.email for answer in answers for outcome in answer]
    sent = [member.email for chunk in chunks for member in chunk.members]
    assert sorted(told) == sorted(sent)
    assert sorted(member["email"] for member in sandbox.members()) == sorted(sent)
    assert sum(sandbox.stats()["faults"].values()) > 20


@pytest.mark.parametrize("over_limit", ["429-json", "429-empty", "429-html", "403-empty", "403-html"])
def test_too_many_connections(sandbox: Sandbox, over_limit: str) -> None:
    """Past Mailchimp's limit, however it says so, fewer are in flight, and all is answered in the end."""
    sandbox.change(max_connections=3, latency=SLOW, over_limit=over_limit)
    with to_client(sandbox, Pace(attempts=1000, first_pause=0.01, longest_pause=0.1)) as client:
        with ThreadPoolExecutor(8) as pool:
            answers = pool.map(lambda _: client.send(PING), range(60))
            wait_until(lambda: "(over the limit)" in sandbox.stats()["requests"], "a call past the limit")
            sandbox.change(latency=0)
            assert len(list(answers)) == 60
        limit = client.limiter.limit
    requests = sandbox.stats()["requests"]
    assert requests["GET /ping"] == {"200": 60}
    assert requests["(over the limit)"][over_limit[:3]] > 0
    assert limit < client.max_connections


def test_the_ceiling(sandbox: Sandbox, client: MailchimpClient) -> None:
    """Never more than max_connections requests are in flight, and that many are."""
    sandbox.change(latency=SLOW)
    most = client.max_connections
    with ThreadPoolExecutor(20) as pool:
        answers = pool.map(lambda _: client.send(PING), range(100))
        wait_until(lambda: sandbox.stats()["in_flight"]["now"] == most, f"{most} calls in flight")
        sandbox.change(latency=0.01)
        list(answers)
    assert sandbox.stats()["in_flight"]["max"] == client.max_connections
    assert sandbox.stats()["requests"]["GET /ping"] == {"200": 100}
