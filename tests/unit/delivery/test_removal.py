"""Taking tags, archiving, and following changed addresses, request by request."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from airflow_mailchimp_export import rules
from airflow_mailchimp_export.delivery.removals import Remover, to_removal_outcomes
from airflow_mailchimp_export.delivery.renames import Renamer, rename_key, unanswered
from airflow_mailchimp_export.errors import AccessDenied, ConfigError, NotFound, RetryableError
from airflow_mailchimp_export.mailchimp.archive import OperationResult
from airflow_mailchimp_export.mailchimp.protocol import Request
from airflow_mailchimp_export.model import Effect, Outcome, Reason, RemovalChunk
from airflow_mailchimp_export.state.plan_file import Rename
from tests.kit.client import Consent, FakeClient, gateway, in_turn, out_of_reach, raising, refusal
from tests.kit.exports import AUDIENCE_ID, LIST
from tests.kit.people import hash_of

ADA, BO = "ada@mail.eu", "bo@mail.eu"
UNTAG = f"POST {LIST}/segments/7"
TAGS = f"GET {LIST}/tag-search"
MOVE = Rename(hash_of(ADA), ADA, "new@mail.eu", "subscribed")


def denied() -> AccessDenied:
    """Make the error of a key that may not do this."""
    return AccessDenied("answered 403", status=403)


def member_path(email: str) -> str:
    """Where a member is."""
    return f"{LIST}/members/{hash_of(email)}"


def client_of(**answers: Any) -> FakeClient:
    """Make a client whose audience has the tag ``A``; ``untag`` answers taking it."""
    untag = answers.pop("untag", lambda _: {"errors": []})
    return FakeClient({TAGS: lambda _: {"tags": [{"id": 7, "name": "A"}]}, UNTAG: untag, **answers})


def untag(*emails: str, tag: str = "A") -> RemovalChunk:
    """Make a chunk of people who lose a tag."""
    return RemovalChunk(3, rules.UNTAG, tag, emails)


def archive(email: str = ADA) -> RemovalChunk:
    """Make the chunk of somebody who is archived."""
    return RemovalChunk(3, rules.ARCHIVE, "", (email,))


def remove(client: Any, chunk: RemovalChunk, permit: Any = lambda: None) -> dict[str, Effect]:
    """Let people leave; return what became of each."""
    return effects(Remover(gateway(client, permit), AUDIENCE_ID).remove(chunk))


def effects(outcomes: Sequence[Outcome]) -> dict[str, Effect]:
    """What became of each person."""
    return {outcome.email: outcome.effect for outcome in outcomes}


def removed_by(request: Request) -> list[str]:
    """Whom a request takes the tag from."""
    emails: list[str] = json.loads(request.body or b"")["members_to_remove"]
    return emails


class TestUntag:
    """Taking a tag."""

    def test_all_of_a_chunk_by_one_request(self) -> None:
        """500 people lose a tag by one request that names them all."""
        client = client_of()
        emails = [f"p{number}@mail.eu" for number in range(500)]
        assert set(remove(client, untag(*emails)).values()) == {Effect.REMOVED}
        (request,) = client.sent(UNTAG)
        assert json.loads(request.body or b"") == {"members_to_remove": emails}

    def test_tags_are_looked_up_once(self) -> None:
        """However many chunks there are, the audience's tags are read once."""
        client = client_of()
        remover = Remover(gateway(client), AUDIENCE_ID)
        for _ in range(3):
            remover.remove(untag(ADA))
        assert len(client.sent(TAGS)) == 1

    def test_a_tag_that_is_gone(self) -> None:
        """Where the audience has no such tag nobody carries it: all are removed without a request, and none is made."""
        client = client_of()
        remover = Remover(gateway(client), AUDIENCE_ID)
        assert effects(remover.remove(untag(ADA, BO, tag="B"))) == {ADA: Effect.REMOVED, BO: Effect.REMOVED}
        assert remover.call(untag(ADA, tag="B")) is None
        assert client.sent(UNTAG) == []

    def test_a_tag_that_goes_meanwhile(self) -> None:
        """A tag that was deleted since it was looked up is answered 404, and everybody is without it."""
        client = client_of(untag=raising(refusal(404)))
        assert remove(client, untag(ADA, BO)) == {ADA: Effect.REMOVED, BO: Effect.REMOVED}

    @pytest.mark.parametrize("status", [400, 422])
    @pytest.mark.parametrize("culprits", [{0}, {6}, {2, 3}, set(range(7))])
    def test_the_culprits_are_found(self, status: int, culprits: set[int]) -> None:
        """When Mailchimp refuses the whole request it is halved until exactly those to blame are left."""
        emails = [f"p{number}@mail.eu" for number in range(7)]
        blamed = {emails[number] for number in culprits}

        def answer(request: Request) -> Any:
            if blamed & set(removed_by(request)):
                raise refusal(status, words="No.")
            return {"errors": []}

        outcomes = Remover(gateway(client_of(untag=answer)), AUDIENCE_ID).remove(untag(*emails))
        assert {outcome.email for outcome in outcomes if outcome.effect is Effect.REMOVAL_FAILED} == blamed
        assert {outcome.email for outcome in outcomes} == set(emails)
        assert {(one.reason, one.words) for one in outcomes if one.email in blamed} == {
            (Reason.REFUSED, "No.")
        }

    def test_who_is_not_in_the_audience_has_no_tag(self) -> None:
        """Whom Mailchimp names as refused, and does not know as a member, is without the tag."""
        refused = {"errors": [{"email_addresses": [ADA.upper()], "error": "Unknown."}]}
        answers = {f"GET {member_path(ADA)}/tags": raising(refusal(404))}
        client = client_of(untag=lambda _: refused, **answers)
        assert remove(client, untag(ADA, BO)) == {ADA: Effect.REMOVED, BO: Effect.REMOVED}

    @pytest.mark.parametrize(
        ("carried", "effect"),
        [(["A", "B"], Effect.REMOVAL_FAILED), (["B"], Effect.REMOVED), ([], Effect.REMOVED)],
    )
    def test_who_is_refused_is_looked_at(self, carried: list[str], effect: Effect) -> None:
        """Whom Mailchimp names as refused has failed only if they still carry the tag."""
        refused = {"errors": [{"email_addresses": [ADA], "error": "Not here."}]}
        tags = {"tags": [{"id": number, "name": name} for number, name in enumerate(carried)]}
        client = client_of(untag=lambda _: refused, **{f"GET {member_path(ADA)}/tags": lambda _: tags})
        assert remove(client, untag(ADA)) == {ADA: effect}

    def test_a_look_that_is_refused_tells_nothing(self) -> None:
        """Where the member cannot be looked at, Mailchimp's refusal stands, with its words."""
        refused = {"errors": [{"email_addresses": [ADA], "error": "Not here."}]}
        answers = {f"GET {member_path(ADA)}/tags": raising(refusal(400))}
        client = client_of(untag=lambda _: refused, **answers)
        (outcome,) = Remover(gateway(client), AUDIENCE_ID).remove(untag(ADA))
        assert outcome == Outcome(ADA, Effect.REMOVAL_FAILED, reason=Reason.REFUSED, words="Not here.")


class TestArchive:
    """Archiving."""

    def test_a_member_is_archived(self) -> None:
        """The member is deleted as Mailchimp calls it, by hash, which archives them; never for good."""
        client = FakeClient({f"DELETE {member_path(ADA)}": lambda _: None})
        assert remove(client, archive()) == {ADA: Effect.REMOVED}
        assert [request.path for request in client.requests] == [member_path(ADA)]

    def test_who_is_not_there(self) -> None:
        """Whom Mailchimp does not know is gone."""
        client = FakeClient({f"DELETE {member_path(ADA)}": raising(refusal(404))})
        assert remove(client, archive()) == {ADA: Effect.REMOVED}

    def test_who_cannot_be_archived(self) -> None:
        """Whom Mailchimp refuses to archive, such as somebody archived already (405), has failed, with its words."""
        client = FakeClient({f"DELETE {member_path(ADA)}": raising(refusal(405, words="Not allowed."))})
        outcomes = Remover(gateway(client), AUDIENCE_ID).remove(archive())
        assert outcomes == (Outcome(ADA, Effect.REMOVAL_FAILED, reason=Reason.REFUSED, words="Not allowed."),)


class TestStops:
    """What is in nobody's person."""

    @pytest.mark.parametrize("error", [denied(), RetryableError("out of reach")])
    def test_it_is_raised(self, error: Exception) -> None:
        """A key that may not do this, or a Mailchimp out of reach, is an error of the run."""
        with pytest.raises(type(error)):
            remove(client_of(untag=raising(error)), untag(ADA, BO))

    def test_a_look_that_is_denied_is_raised(self) -> None:
        """So it is when the member cannot be looked at for want of rights."""
        refused = {"errors": [{"email_addresses": [ADA], "error": "Not here."}]}
        client = client_of(untag=lambda _: refused, **{f"GET {member_path(ADA)}/tags": raising(denied())})
        with pytest.raises(AccessDenied):
            remove(client, untag(ADA))

    def test_consent_is_asked_for_before_each_request(self) -> None:
        """Halving asks again each time, and stops where consent is withdrawn."""
        consent = Consent(ConfigError("off"), permits=2)
        client = client_of(untag=raising(refusal()))
        with pytest.raises(ConfigError, match="off"):
            remove(client, untag(ADA, BO), consent)
        assert len(client.sent(UNTAG)) == 2


def result(status: int, answer: Any = None) -> OperationResult:
    """Make an operation's entry in an archive."""
    return OperationResult(operation_id="3", status=status, answer=answer)


class TestOperations:
    """The same as operations of a batch."""

    @pytest.mark.parametrize("status", [200, 204])
    def test_archived(self, status: int) -> None:
        """An operation that archived somebody says so by its status alone."""
        assert effects(to_removal_outcomes(archive(), result(status))) == {ADA: Effect.REMOVED}

    @pytest.mark.parametrize("chunk", [archive(), untag(ADA)])
    def test_not_found(self, chunk: RemovalChunk) -> None:
        """Where member or tag are not found, everybody is gone."""
        assert effects(to_removal_outcomes(chunk, result(404))) == {ADA: Effect.REMOVED}

    @pytest.mark.parametrize("chunk", [archive(), untag(ADA, BO)])
    @pytest.mark.parametrize("status", [400, 405, 429, 500])
    def test_refused(self, chunk: RemovalChunk, status: int) -> None:
        """An operation that was refused says nothing of its people: the chunk is sent directly then."""
        assert to_removal_outcomes(chunk, result(status, {"detail": "No."})) == ()

    def test_untagged(self) -> None:
        """An answer without errors says that all are without the tag."""
        taken = effects(to_removal_outcomes(untag(ADA, BO), result(200, {"errors": []})))
        assert taken == {ADA: Effect.REMOVED, BO: Effect.REMOVED}

    @pytest.mark.parametrize("answer", [None, {"errors": [{"email_addresses": [BO], "error": "Unknown."}]}])
    def test_somebody_is_refused(self, answer: Any) -> None:
        """Where somebody was refused, or the answer is missing, the chunk is sent directly, which looks closer."""
        assert to_removal_outcomes(untag(ADA, BO), result(200, answer)) == ()


class TestRename:
    """Addresses that changed."""

    def test_the_member_gets_the_new_address(self) -> None:
        """The new address is put to the member of the old one, with the status for the case that they are gone."""
        client = FakeClient({f"PUT {member_path(ADA)}": lambda _: {"email_address": "new@mail.eu"}})
        outcomes = Renamer(gateway(client), AUDIENCE_ID).rename(MOVE)
        assert effects(outcomes) == {ADA: Effect.RENAMED}
        body = json.loads(client.requests[0].body or b"")
        assert body == {"email_address": "new@mail.eu", "status_if_new": "subscribed"}

    def test_an_address_that_is_taken(self) -> None:
        """Where the old address is still somebody's, a refusal is one, with Mailchimp's words."""
        client = FakeClient(
            {
                f"PUT {member_path(ADA)}": raising(refusal(400, words="Taken.")),
                f"GET {member_path(ADA)}": lambda _: {"status": "subscribed"},
            }
        )
        refused = Outcome(ADA, Effect.RENAME_REFUSED, reason=Reason.REFUSED, words="Taken.")
        assert Renamer(gateway(client), AUDIENCE_ID).rename(MOVE) == (refused,)

    @pytest.mark.parametrize(
        ("there", "effect"),
        [
            (raising(NotFound("answered 404")), Effect.RENAME_REFUSED),
            (lambda _: {"status": "subscribed"}, Effect.RENAMED),
        ],
    )
    def test_it_was_done_before(self, there: Any, effect: Effect) -> None:
        """Where the old address is nobody's and the new one somebody's, the member has been renamed."""
        client = FakeClient(
            {
                f"PUT {member_path(ADA)}": raising(refusal(400, words="Member exists.")),
                f"GET {member_path(ADA)}": raising(NotFound("answered 404")),
                f"GET {member_path(MOVE.email)}": there,
            }
        )
        assert effects(Renamer(gateway(client), AUDIENCE_ID).rename(MOVE)) == {ADA: effect}

    @pytest.mark.parametrize("error", [denied(), out_of_reach()])
    def test_no_answer(self, error: Exception) -> None:
        """A call that was given up, or that the key may not make, says nothing of the member."""
        client = FakeClient({f"PUT {member_path(ADA)}": raising(error)})
        with pytest.raises(type(error)):
            Renamer(gateway(client), AUDIENCE_ID).rename(MOVE)

    def test_consent_is_withdrawn(self) -> None:
        """Without consent nobody is renamed."""
        client = FakeClient()
        with pytest.raises(ConfigError):
            Renamer(gateway(client, Consent(ConfigError("off"), permits=0)), AUDIENCE_ID).rename(MOVE)
        assert client.requests == []

    def test_which_are_unanswered(self) -> None:
        """Each has an answer of its own, and in what release 0.1.0 kept all have one together."""
        other = Rename(hash_of(BO), BO, "b@mail.eu", "subscribed")
        assert unanswered([MOVE, other], {rename_key(MOVE)}) == (other,)
        assert unanswered([MOVE, other], {"renames"}) == ()


def test_a_refusal_that_passes_is_not_the_persons() -> None:
    """A request that is refused once and taken when halved leaves nobody behind."""
    client = client_of(untag=in_turn(refusal(), {"errors": []}))
    assert remove(client, untag(ADA, BO)) == {ADA: Effect.REMOVED, BO: Effect.REMOVED}
