"""All that an export gave is taken back, or the tag of one segment that was taken out of it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airflow_mailchimp_export.counts import Counts
from airflow_mailchimp_export.errors import ConfigError, RemovalLimitExceeded
from airflow_mailchimp_export.model import Delivery, Verdict
from airflow_mailchimp_export.options import OnLeave
from airflow_mailchimp_export.planning.tags import TAG_REMEDIES, TagWarning
from airflow_mailchimp_export.state.claims import TAGS
from airflow_mailchimp_export.state.ledger import read_mark
from airflow_mailchimp_export.state.run import ExportFolder
from tests.kit.life import Life, changing
from tests.kit.mortal import Killed, MortalClient
from tests.kit.people import people

ADA, BO, CY, STRANGER = "ada@brieftaube.eu", "bo@brieftaube.eu", "cy@brieftaube.eu", "stranger@brieftaube.eu"
NOBODY = {"A": people()}
CROWD = [f"p{number:03}@brieftaube.eu" for number in range(100)]


def warned(report: Any) -> list[tuple[str, str]]:
    """The warnings of a run about tags."""
    return [(warning.field, warning.kind) for warning in report.warnings]


@pytest.mark.parametrize("on_leave", OnLeave)
@pytest.mark.parametrize("delivery", Delivery)
def test_everybody_loses_what_the_export_gave(life: Life, delivery: Delivery, on_leave: OnLeave) -> None:
    """However many, and whatever becomes of who leaves: all its tags are taken, and nobody else is touched."""
    life.put(STRANGER, tags=["A", "Friends"])
    life.put(ADA, tags=["Friends"])
    life.run({"A": people(ADA, *CROWD), "B": people(ADA, BO)}, delivery=delivery, on_leave=on_leave)
    report = life.run({"A": people(ADA)}, delivery=delivery, on_leave=on_leave, withdraw=True)
    assert (report.verdict, report.counts) == (Verdict.SUCCESS, Counts(removed=102))
    assert {name: segment.left for name, segment in report.segments.items()} == {
        "A (retired)": 101,
        "B (retired)": 2,
    }
    audience = life.audience()
    assert audience.pop(STRANGER) == ("subscribed", {"A", "Friends"})
    assert audience.pop(ADA) == ("subscribed", {"Friends"})
    assert set(audience) == {BO, *CROWD}
    assert all(member == ("subscribed", set()) for member in audience.values())
    assert life.ledger() == {}


def test_a_later_run_puts_everybody_back(life: Life) -> None:
    """After a withdrawal the export goes on as if it were new."""
    life.run({"A": people(ADA, BO)})
    life.run(NOBODY, withdraw=True)
    assert life.run({"A": people(ADA, BO)}).counts == Counts(rows_read=2, updated=2)
    assert (life.tags(ADA), life.tags(BO)) == ({"A"}, {"A"})


def test_a_withdrawal_reads_no_source(life: Life, tmp_path: Path) -> None:
    """Neither a file that is gone nor a merge field that the audience lacks keeps tags where they are."""
    life.run({"A": people(ADA)})
    gone = {"A": str(tmp_path / "gone.parquet")}
    report = life.run(gone, withdraw=True, field_map={"EMAIL": "mail", "LACKING": "column"})
    assert report.counts == Counts(removed=1)


def test_a_dry_run_counts_and_changes_nothing(life: Life) -> None:
    """The dry run of a withdrawal says how many would lose which tag."""
    life.run({"A": people(ADA, BO), "B": people(ADA)})
    before = life.audience(), life.ledger()
    with life.watched() as seen:
        report = life.run(NOBODY, withdraw=True, dry_run=True)
    assert (report.counts, report.withdraw, report.dry_run) == (Counts(removed=2), True, True)
    assert {name: segment.left for name, segment in report.segments.items()} == {
        "A (retired)": 2,
        "B (retired)": 1,
    }
    assert changing(seen) == []
    assert (life.audience(), life.ledger()) == before


def test_who_said_no_is_left_as_they_are(life: Life) -> None:
    """Who unsubscribed keeps the tag, which the report says; the ledger remembers that they opted out."""
    life.run({"A": people(ADA, BO)})
    life.change(BO, status="unsubscribed")
    life.run({"A": people(ADA, BO)})
    report = life.run(NOBODY, withdraw=True)
    assert report.counts == Counts(removed=1)
    assert warned(report) == [("A", TagWarning.KEPT)]
    assert report.warnings[0].count == 1
    assert life.tags(BO) == {"A"}
    assert {email: row["state"] for email, row in life.ledger().items()} == {BO: "suppressed"}
    assert life.run({"A": people(ADA, BO)}).counts == Counts(rows_read=2, updated=1, suppressed=1)


@pytest.mark.parametrize(("delivery", "applied"), [(Delivery.DIRECT, False), (Delivery.BATCH, True)])
def test_a_withdrawal_that_is_killed_goes_on(life: Life, delivery: Delivery, *, applied: bool) -> None:
    """Wherever its process dies, before a request or before its answer, the next attempt ends what it began."""
    life.run({"A": people(ADA), "B": people(BO)})
    for dies_at in range(100):
        client = MortalClient(life.sandbox, dies_at=dies_at, applied=applied)
        with suppress(Killed):
            submission, folder = life.submit(
                NOBODY, withdraw=True, delivery=delivery, client=client, name="killed"
            )
            life.wait(submission.batch_ids)
            life.finalize(folder)
            break
    assert dies_at > 5
    assert (life.tags(ADA), life.tags(BO)) == (set(), set())
    assert life.ledger() == {}


def test_without_a_ledger_there_is_nothing_to_withdraw(life: Life) -> None:
    """An export that has put nobody there is refused: its name, or its place, may be wrong."""
    with pytest.raises(ConfigError) as caught:
        life.run(NOBODY, withdraw=True)
    assert str(caught.value) == (
        f"There is nothing to withdraw: export 'life' has no ledger in {life.folder.uri}, so it is not known to have "
        "put anybody into an audience. Nothing was sent. Correct the export's name, or set exports_root to where its "
        "runs kept it"
    )


def test_without_consent_nothing_is_withdrawn(life: Life) -> None:
    """Taking tags away sends addresses, so it needs consent; the message says what to do."""

    def refuse() -> None:
        raise ConfigError("Consent is off", "Switch it on")

    life.run({"A": people(ADA)})
    with pytest.raises(ConfigError) as caught:
        life.submit(NOBODY, withdraw=True, permit=refuse)
    assert str(caught.value) == (
        "Consent is off. Nothing was sent. Taking tags away sends people's addresses to Mailchimp too. Switch consent "
        "on in the connection until they are withdrawn, or remove the tags in Mailchimp"
    )
    assert life.tags(ADA) == {"A"}


def test_another_export_may_give_the_tags_then(life: Life) -> None:
    """A withdrawn export owns no tag any more."""
    life.run({"A": people(ADA)})
    other = replace(
        life, folder=ExportFolder(Path(life.folder.uri).with_name("other")), options={"name": "other"}
    )
    with pytest.raises(ConfigError, match="belongs to export 'life'"):
        other.run({"A": people(BO)})
    life.run(NOBODY, withdraw=True)
    assert other.run({"A": people(BO)}).counts == Counts(rows_read=1, created=1)


def test_what_another_export_gives_by_now_stays(life: Life) -> None:
    """Of two exports that gave one tag before there were claims, a withdrawal takes nothing from the other's people."""
    life.run({"A": people(ADA), "B": people(ADA)})
    place, aside = Path(life.folder.uri), Path(life.folder.uri).parent.with_name("aside")
    place.rename(aside)
    other = replace(
        life, folder=ExportFolder(Path(life.folder.uri).with_name("other")), options={"name": "other"}
    )
    other.run({"A": people(ADA)})
    aside.rename(place)
    life.folder.remove(TAGS)
    report = life.run(NOBODY, withdraw=True)
    assert warned(report) == [("A", TagWarning.OTHERS)]
    assert life.tags(ADA) == {"A"}


@pytest.mark.parametrize("on_leave", OnLeave)
@pytest.mark.parametrize("delivery", Delivery)
def test_a_retired_segment_is_untagged(life: Life, delivery: Delivery, on_leave: OnLeave) -> None:
    """Its people lose its tag and nothing else, however many they are, while the other segments go on."""
    how: dict[str, Any] = {"delivery": delivery, "on_leave": on_leave}
    life.run({"A": people(ADA, BO), "Old": people(BO, CY, *CROWD)}, **how)
    report = life.run({"A": people(ADA, BO)}, retire=("old",), **how)
    assert report.counts == Counts(rows_read=2, unchanged=2, removed=102)
    assert report.segments["Old (retired)"].left == 102
    assert life.tags(BO) == {"A"}
    assert life.audience()[CY] == ("subscribed", set())
    assert set(life.ledger()) == {ADA, BO}


def test_a_retired_name_may_stay(life: Life) -> None:
    """The next runs do nothing about it, and say nothing of it."""
    life.run({"A": people(ADA), "Old": people(ADA)})
    life.run({"A": people(ADA)}, retire=("Old",))
    with life.watched() as seen:
        report = life.run({"A": people(ADA)}, retire=("Old",))
    assert (changing(seen), warned(report)) == ([], [])
    mark = read_mark(life.folder)
    assert mark
    assert mark.retired == ("Old",)


def test_an_unknown_name_is_a_warning(life: Life) -> None:
    """A name that the export never gave is told in the report, with what may have been meant."""
    life.run({"A": people(ADA), "Summer sale": people(ADA)})
    report = life.run({"A": people(ADA)}, retire=("Sumer sale",))
    assert warned(report) == [("Sumer sale", TagWarning.UNKNOWN)]
    assert report.warnings[0].remedy == (
        f"{TAG_REMEDIES[TagWarning.UNKNOWN].rstrip('.')} (did you mean 'Summer sale'?)."
    )
    assert life.tags(ADA) == {"A", "Summer sale"}


def test_other_removals_keep_their_limit(life: Life) -> None:
    """The other removals of a run keep their limit, counted without those of the retired segment."""
    life.options = {"removal_floor": 0}
    life.run({"A": people(*CROWD[:10]), "Old": people(*CROWD)})
    with pytest.raises(RemovalLimitExceeded, match="tag 'A' 4 of 10 people"):
        life.run({"A": people(*CROWD[4:10])}, retire=("Old",))
    report = life.run({"A": people(*CROWD[2:10])}, retire=("Old",))
    assert report.counts == Counts(rows_read=8, unchanged=8, removed=100)


def test_who_left_all_segments_at_once_is_archived(life: Life) -> None:
    """Who left a segment that goes on leaves as on_leave says; who was only in the retired one is untagged."""
    life.run({"A": people(ADA, BO), "Old": people(BO, CY)}, on_leave=OnLeave.ARCHIVE)
    life.run({"A": people(ADA)}, retire=("Old",), on_leave=OnLeave.ARCHIVE, max_removal_ratio=1)
    assert life.audience() == {
        ADA: ("subscribed", {"A"}),
        BO: ("archived", {"A", "Old"}),
        CY: ("subscribed", set()),
    }


def test_a_segment_that_comes_back_gives_its_tag_again(life: Life) -> None:
    """Who takes a retired segment into the export again finds its people tagged again."""
    life.run({"A": people(ADA), "Old": people(ADA)})
    life.run({"A": people(ADA)}, retire=("Old",))
    life.run({"A": people(ADA), "Old": people(ADA)})
    assert life.tags(ADA) == {"A", "Old"}
    mark = read_mark(life.folder)
    assert mark
    assert mark.retired == ()
