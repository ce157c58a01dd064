"""Addresses that change, where a column identifies a profile for good."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from airflow_mailchimp_export.accounting.report import Counts
from airflow_mailchimp_export.errors import RemovalLimitExceeded, RetryableError
from airflow_mailchimp_export.mailchimp.protocol import Request, Response
from airflow_mailchimp_export.model import Delivery, MemberStatus, Verdict
from airflow_mailchimp_export.options import OnLeave
from airflow_mailchimp_export.state.lock import LOCK
from tests.kit.client import raising
from tests.kit.exports import LIST
from tests.kit.life import Life, changing
from tests.kit.mortal import Killed, MortalClient
from tests.kit.people import hash_of, people
from tests.kit.sandbox import InProcessSandbox

ADA, BO, NEW = "ada@brieftaube.eu", "bo@brieftaube.eu", "new@brieftaube.eu"


@pytest.fixture
def life(life: Life) -> Life:
    """An export whose profiles have ids."""
    life.options = {"profile_id": "id", "max_removal_ratio": 1}
    return life


def changes(*, renamed: int = 0, refused: int = 0, unconfirmed: int = 0) -> dict[str, int]:
    """What a report says of changed addresses."""
    return {"renamed": renamed, "rename_refused": refused, "rename_unconfirmed": unconfirmed}


@pytest.mark.parametrize("delivery", Delivery)
def test_the_member_follows(life: Life, delivery: Delivery) -> None:
    """The same member has the new address, with all that others gave it, and there is no second one."""
    life.run({"A": people(ADA, BO, id=["1", "2"])}, delivery=delivery)
    life.change(ADA, tags=["A", "by hand"])
    report = life.run({"A": people(NEW, BO, id=["1", "2"])}, delivery=delivery)
    assert report.counts == Counts(rows_read=2, unchanged=1, updated=1)
    assert report.address_changes == changes(renamed=1)
    assert life.audience() == {NEW: ("subscribed", {"A", "by hand"}), BO: ("subscribed", {"A"})}
    assert life.ledger().keys() == {NEW, BO}
    assert report.verdict is Verdict.SUCCESS
    assert life.run({"A": people(NEW, BO, id=["1", "2"])}, delivery=delivery).counts == Counts(
        rows_read=2, unchanged=2
    )


def test_the_member_is_renamed_once(life: Life) -> None:
    """A member who was renamed before the process died is not renamed again by the retry."""
    life.run({"A": people(ADA, id=["1"])})
    life.field_map = {"EMAIL": "email", "FNAME": "name"}
    changed = {"A": people(NEW, id=["1"], name=["Ada"])}
    life.script[f"POST {LIST}"] = raising(Killed())
    with pytest.raises(Killed):
        life.run(changed, name="run")
    del life.script[f"POST {LIST}"]
    report = life.run(changed, name="run")
    assert report.address_changes == changes()
    assert life.audience() == {NEW: ("subscribed", {"A"})}
    assert len([request for request in life.requests if request.method == "PUT"]) == 1


OLD = [f"old{number}@brieftaube.eu" for number in range(4)]
MOVED = [f"new{number}@brieftaube.eu" for number in range(4)]
IDS = ["1", "2", "3", "4"]


@pytest.fixture
def moving(life: Life) -> Life:
    """An export of four people, each with a tag that somebody else gave them."""
    life.run({"A": people(*OLD, id=IDS)})
    for email in OLD:
        life.change(email, tags=["A", "by hand"])
    return life


def member(email: str) -> str:
    """Where a member is."""
    return f"{LIST}/members/{hash_of(email)}"


class DiesRenaming(MortalClient):
    """A client whose process dies at a certain rename, of which one is made at a time."""

    def __init__(self, sandbox: InProcessSandbox, *, dies_at: int, applied: bool) -> None:
        super().__init__(sandbox, dies_at=dies_at, applied=applied)
        self.max_connections = 1

    def _transmit(self, request: Request) -> Response | RetryableError:
        return (super() if request.method == "PUT" else super(MortalClient, self))._transmit(request)


def dies(life: Life, *, at: int, applied: bool) -> set[str]:
    """Let a run die after so many renames; return the paths of those that were begun."""
    client = DiesRenaming(life.sandbox, dies_at=at, applied=applied)
    with pytest.raises(Killed):
        life.submit({"A": people(*MOVED, id=IDS)}, name="run", client=client)
    life.folder.remove(LOCK)
    return {request.path for request in client.requests if request.method == "PUT"}


@pytest.mark.parametrize("again", ["run", "next"])
@pytest.mark.parametrize("applied", [True, False])
@pytest.mark.parametrize("renamed", [0, 2, 3])
def test_a_death_between_renames(moving: Life, renamed: int, again: str, *, applied: bool) -> None:
    """Wherever the process dies, the retry and the next run rename everybody, and nobody is there twice."""
    dies(moving, at=renamed, applied=applied)
    report = moving.run({"A": people(*MOVED, id=IDS)}, name=again)
    assert moving.audience() == {email: ("subscribed", {"A", "by hand"}) for email in MOVED}
    assert moving.ledger().keys() == set(MOVED)
    assert report.verdict is Verdict.SUCCESS
    assert report.address_changes["rename_refused"] == 0


def test_what_is_answered_is_not_asked_again(moving: Life) -> None:
    """The retry renames those who have no answer, and nobody else."""
    answered = dies(moving, at=2, applied=False)
    report = moving.run({"A": people(*MOVED, id=IDS)}, name="run")
    renamed = {request.path for request in moving.requests if request.method == "PUT"}
    assert len(answered) == 2
    assert renamed == {member(email) for email in OLD} - answered
    assert report.address_changes == changes(renamed=2)
    assert moving.audience() == {email: ("subscribed", {"A", "by hand"}) for email in MOVED}


@pytest.mark.parametrize("delivery", Delivery)
def test_a_lost_answer(moving: Life, delivery: Delivery) -> None:
    """Whose rename was done though its answer was lost counts as renamed: nobody has the old address."""
    moving.sandbox.control("faults", {"method": "PUT", "path": "/lists/*/members/*", "answer": "reset-after"})
    report = moving.run({"A": people(*MOVED, id=IDS)}, delivery=delivery)
    assert report.counts == Counts(rows_read=4, updated=4)
    assert report.address_changes == changes(renamed=4)
    assert moving.audience() == {email: ("subscribed", {"A", "by hand"}) for email in MOVED}


@pytest.mark.parametrize("answer", ["503", "reset-after"])
@pytest.mark.parametrize("delivery", Delivery)
def test_a_rename_without_an_answer(moving: Life, delivery: Delivery, answer: str) -> None:
    """Who gets no answer is held back and stops nobody; the next run renames them, and there is nobody twice."""
    path = f"/lists/*/members/{hash_of(OLD[1])}"
    # The look that follows a lost answer fails as well.
    faults = [("PUT", answer, 3)] if answer == "503" else [("PUT", answer, 1), ("GET", "503", 3)]
    for method, word, count in faults:
        moving.sandbox.control("faults", {"method": method, "path": path, "answer": word, "count": count})
    report = moving.run({"A": people(*MOVED, id=IDS)}, delivery=delivery)
    assert report.counts == Counts(rows_read=4, updated=3, unconfirmed=1)
    assert report.address_changes == changes(renamed=3, unconfirmed=1)
    assert report.verdict is Verdict.PARTIAL
    assert moving.ledger().keys() == {OLD[1], MOVED[0], MOVED[2], MOVED[3]}
    report = moving.run({"A": people(*MOVED, id=IDS)}, delivery=delivery)
    assert report.address_changes == changes(renamed=1)
    assert moving.audience() == {email: ("subscribed", {"A", "by hand"}) for email in MOVED}
    assert moving.ledger().keys() == set(MOVED)


def test_mailchimp_is_out_of_reach(moving: Life) -> None:
    """A run that can rename nobody sends nobody, and the next one follows all of them."""
    moving.script.update({f"PUT {member(email)}": raising(RetryableError("503")) for email in OLD})
    report = moving.run({"A": people(*MOVED, id=IDS)})
    assert report.counts == Counts(rows_read=4, unconfirmed=4)
    assert report.address_changes == changes(unconfirmed=4)
    assert moving.audience().keys() == set(OLD)
    moving.script.clear()
    report = moving.run({"A": people(*MOVED, id=IDS)})
    assert report.address_changes == changes(renamed=4)
    assert moving.audience() == {email: ("subscribed", {"A", "by hand"}) for email in MOVED}


def test_an_id_that_changes_first(life: Life) -> None:
    """Who gets another id, and another address later, is followed, though nobody was sent in between."""
    life.run({"A": people(ADA, BO, id=["1", "2"])})
    assert life.run({"A": people(ADA, BO, id=["one", "2"])}).counts == Counts(rows_read=2, unchanged=2)
    report = life.run({"A": people(NEW, BO, id=["one", "2"])})
    assert report.address_changes == changes(renamed=1)
    assert life.audience().keys() == {NEW, BO}


def test_ids_are_learnt_of_who_is_unchanged(life: Life) -> None:
    """An export that gets its profile_id later follows addresses from then on, without sending anybody."""
    life.options = {"max_removal_ratio": 1}
    life.run({"A": people(ADA, BO, id=["1", "2"])})
    life.options = {"profile_id": "id", "max_removal_ratio": 1}
    assert life.run({"A": people(ADA, BO, id=["1", "2"])}).counts == Counts(rows_read=2, unchanged=2)
    assert life.run({"A": people(NEW, BO, id=["1", "2"])}).address_changes["renamed"] == 1


@pytest.mark.parametrize("delivery", Delivery)
def test_the_new_address_is_there_already(life: Life, delivery: Delivery) -> None:
    """Where the new address is a member already, that one is tagged, and the old one loses the tag."""
    life.put(NEW, tags=["other"])
    life.run({"A": people(ADA, BO, id=["1", "2"])}, delivery=delivery)
    report = life.run({"A": people(NEW, BO, id=["1", "2"])}, delivery=delivery)
    assert (report.counts.updated, report.counts.removed) == (1, 1)
    assert report.address_changes["renamed"] == 0
    assert life.audience() == {
        ADA: ("subscribed", set()),
        NEW: ("subscribed", {"A", "other"}),
        BO: ("subscribed", {"A"}),
    }
    assert life.ledger().keys() == {NEW, BO}


def test_without_a_profile_id_there_are_two_members(life: Life) -> None:
    """Unless a column is named, a changed address is one who left and one who joined."""
    life.options = {"max_removal_ratio": 1}
    life.run({"A": people(ADA)})
    assert life.run({"A": people(NEW)}).counts == Counts(rows_read=1, created=1, removed=1)
    assert life.audience() == {ADA: ("subscribed", set()), NEW: ("subscribed", {"A"})}


@pytest.mark.parametrize("status", ["unsubscribed", "pending"])
def test_who_said_no_stays_out_under_a_new_address(life: Life, status: str) -> None:
    """Who opted out under the old address is suppressed under the new one, by every further run."""
    life.run({"A": people(ADA, BO, id=["1", "2"])})
    life.change(ADA, status=status)
    for _ in range(2):
        with life.watched() as seen:
            report = life.run({"A": people(NEW, BO, id=["1", "2"])})
        assert report.suppressed_by_reason == {status: 1}
        assert changing(seen) == []
    assert NEW not in life.audience()


def test_mail_that_bounced_is_a_new_start(life: Life) -> None:
    """Whose old address bounced gets the tag under the corrected one."""
    life.run({"A": people(ADA, BO, id=["1", "2"])})
    life.change(ADA, status="cleaned")
    report = life.run({"A": people(NEW, BO, id=["1", "2"])})
    assert report.counts == Counts(rows_read=2, unchanged=1, created=1)
    assert life.audience()[ADA][0] == "cleaned"
    assert life.audience()[NEW] == ("subscribed", {"A"})


def test_an_address_that_somebody_else_has_now(life: Life) -> None:
    """Where two people swap addresses both are members already: nobody is renamed, and both keep their tags."""
    life.run({"A": people(ADA, BO, id=["1", "2"])})
    report = life.run({"A": people(BO, ADA, id=["1", "2"])})
    assert report.address_changes == changes()
    assert report.counts.removed == 0
    assert life.audience() == {ADA: ("subscribed", {"A"}), BO: ("subscribed", {"A"})}


def test_with_on_leave_archive(life: Life) -> None:
    """Who moves to another address has not left: nobody is archived."""
    life.run({"A": people(ADA, BO, id=["1", "2"])}, on_leave=OnLeave.ARCHIVE)
    report = life.run({"A": people(NEW, BO, id=["1", "2"])}, on_leave=OnLeave.ARCHIVE)
    assert (report.counts.removed, report.address_changes["renamed"]) == (0, 1)
    assert life.audience() == {NEW: ("subscribed", {"A"}), BO: ("subscribed", {"A"})}


def test_a_new_address_that_mailchimp_refuses(life: Life) -> None:
    """Where Mailchimp takes the new address for a fake the old one loses the tag, and the report has both."""
    life.run({"A": people(ADA, BO, id=["1", "2"])})
    report = life.run({"A": people("ada@example.com", BO, id=["1", "2"])})
    assert report.counts == Counts(rows_read=2, unchanged=1, rejected=1, removed=1)
    assert report.address_changes == changes(refused=1)
    assert life.audience() == {ADA: ("subscribed", set()), BO: ("subscribed", {"A"})}


def test_ids_may_be_numbers(life: Life) -> None:
    """Ids are compared as text, so that a column of numbers serves as well; rows without one are left alone."""
    life.run({"A": people(ADA, BO, id=[1, None])})
    report = life.run({"A": people(NEW, "bob@brieftaube.eu", id=[1, None])})
    assert report.address_changes["renamed"] == 1
    assert (report.counts.created, report.counts.removed) == (1, 1)


def test_a_dry_run_renames_nobody(life: Life) -> None:
    """A dry run counts who would be renamed, and changes nothing."""
    life.run({"A": people(ADA, BO, id=["1", "2"])})
    with life.watched() as seen:
        report = life.run({"A": people(NEW, BO, id=["1", "2"])}, dry_run=True)
    assert report.address_changes["renamed"] == 1
    assert changing(seen) == []


def test_required_fields_are_waived_for_renames_too(life: Life) -> None:
    """With skip_merge_validation a member without a field that became required later is renamed anyway."""
    waived = {"skip_merge_validation": True}
    life.run({"A": people(ADA, id=["1"])}, **waived)
    life.sandbox.call("PATCH", f"{LIST}/merge-fields/1", {"required": True})
    report = life.run({"A": people(NEW, id=["1"])}, **waived)
    assert report.address_changes == changes(renamed=1)
    assert life.audience() == {NEW: ("subscribed", {"A"})}


class TestLeavingOnTheSameDay:
    """Who moves and leaves a segment in one run."""

    BEFORE: Mapping[str, Any] = {"A": people(ADA, BO, id=["1", "2"]), "B": people(ADA, BO, id=["1", "2"])}
    AFTER: Mapping[str, Any] = {"A": people(NEW, BO, id=["1", "2"]), "B": people(BO, id=["2"])}

    @pytest.mark.parametrize("on_leave", [OnLeave.UNTAG, OnLeave.ARCHIVE])
    @pytest.mark.parametrize("delivery", Delivery)
    def test_they_lose_the_tag_at_once(self, life: Life, delivery: Delivery, on_leave: OnLeave) -> None:
        """Under the new address they have the tags of their segments, those that others gave them, and no other."""
        how = {"delivery": delivery, "on_leave": on_leave}
        life.run(self.BEFORE, **how)
        life.change(ADA, tags=["A", "B", "by hand"])
        report = life.run(self.AFTER, **how)
        assert report.counts == Counts(rows_read=3, merged=1, unchanged=1, updated=1, removed=1)
        assert report.address_changes == changes(renamed=1)
        assert {name: segment.left for name, segment in report.segments.items()} == {"A": 0, "B": 1}
        assert life.audience() == {NEW: ("subscribed", {"A", "by hand"}), BO: ("subscribed", {"A", "B"})}
        assert {email: row["tags"] for email, row in life.ledger().items()} == {NEW: ["A"], BO: ["A", "B"]}
        again = life.run(self.AFTER, **how).counts
        assert again == Counts(rows_read=3, merged=1, unchanged=2)

    def test_a_dry_run_counts_them(self, life: Life) -> None:
        """A dry run says the same of them."""
        life.run(self.BEFORE)
        report = life.run(self.AFTER, dry_run=True)
        assert (report.counts.removed, report.segments["B"].left) == (1, 1)
        assert report.address_changes == changes(renamed=1)

    def test_with_on_leave_keep(self, life: Life) -> None:
        """Where nobody loses a tag, neither do they."""
        life.run(self.BEFORE)
        report = life.run(self.AFTER, on_leave=OnLeave.KEEP)
        assert (report.counts.removed, life.tags(NEW)) == (0, {"A", "B"})

    def test_a_refused_rename(self, life: Life) -> None:
        """Where the new address is refused, the old one loses all tags, and the person counts once as removed."""
        life.run(self.BEFORE)
        gone = {**self.AFTER, "A": people("ada@example.com", BO, id=["1", "2"])}
        report = life.run(gone)
        assert report.counts == Counts(rows_read=3, merged=1, unchanged=1, rejected=1, removed=1)
        assert {name: segment.left for name, segment in report.segments.items()} == {"A": 1, "B": 1}
        assert life.audience() == {ADA: ("subscribed", set()), BO: ("subscribed", {"A", "B"})}

    def test_a_rename_without_an_answer(self, life: Life) -> None:
        """Who is held back keeps the tag as well, and loses it by the run that renames them."""
        life.run(self.BEFORE)
        life.script[f"PUT {member(ADA)}"] = raising(RetryableError("503"))
        report = life.run(self.AFTER)
        assert report.counts == Counts(rows_read=3, merged=1, unchanged=1, unconfirmed=1)
        assert life.tags(ADA) == {"A", "B"}
        life.script.clear()
        assert life.run(self.AFTER).counts.removed == 1
        assert life.tags(NEW) == {"A"}

    @pytest.mark.parametrize("status", [MemberStatus.SUBSCRIBED, MemberStatus.PENDING])
    @pytest.mark.parametrize("again", ["run", "next"])
    def test_a_death_after_the_rename(self, life: Life, again: str, status: MemberStatus) -> None:
        """They lose it by the attempt or run after it, also where that one knows who is subscribed."""
        life.run(self.BEFORE)
        life.change(ADA, tags=["A", "B", "by hand"])
        client = DiesRenaming(life.sandbox, dies_at=0, applied=True)
        with pytest.raises(Killed):
            life.submit(self.AFTER, name="run", client=client)
        life.folder.remove(LOCK)
        assert NEW in life.audience()
        report = life.run(self.AFTER, name=again, new_member_status=status)
        assert (report.counts.updated, report.counts.removed) == (1, 1)
        assert life.audience() == {NEW: ("subscribed", {"A", "by hand"}), BO: ("subscribed", {"A", "B"})}
        rows = {email: (row["tags"], row["created"]) for email, row in life.ledger().items()}
        assert rows == {NEW: (["A"], True), BO: (["A", "B"], True)}

    def test_somebody_else_has_the_new_address(self, life: Life) -> None:
        """Where both are subscribed the old member loses the tags, and who is there under the new one gets theirs."""
        life.run(self.BEFORE)
        life.put(NEW, tags=["by hand"])
        report = life.run(self.AFTER, new_member_status=MemberStatus.PENDING)
        assert report.address_changes == changes()
        assert life.audience() == {
            ADA: ("subscribed", set()),
            NEW: ("subscribed", {"A", "by hand"}),
            BO: ("subscribed", {"A", "B"}),
        }

    def test_a_tag_that_cannot_be_taken(self, life: Life) -> None:
        """Whose tag stays is remembered with it under the new address, and the next run takes it."""
        life.run(self.BEFORE)
        life.sandbox.control(
            "faults", {"method": "POST", "path": "/lists/*/segments/*", "answer": "503", "count": 6}
        )
        report = life.run(self.AFTER)
        assert (report.counts.removed, report.counts.removal_failed) == (0, 1)
        assert life.ledger()[NEW]["tags"] == ["A", "B"]
        assert life.run(self.AFTER).counts == Counts(rows_read=3, merged=1, unchanged=2, removed=1)
        assert life.tags(NEW) == {"A"}

    def test_they_count_towards_the_limit(self, life: Life) -> None:
        """What is taken from those who move counts, and no more than that."""
        life.options = {"profile_id": "id", "max_removal_ratio": 0.5, "removal_floor": 0}
        life.run({"A": people(*OLD, id=IDS), "B": people(*OLD, id=IDS)})
        moved = {"A": people(*MOVED, id=IDS), "B": people(MOVED[0], id=["1"])}
        with pytest.raises(RemovalLimitExceeded, match=r"'B'.* 3 of 4"):
            life.run(moved)
        moved["B"] = people(*MOVED[:2], id=IDS[:2])
        assert life.run(moved).counts.removed == 2
