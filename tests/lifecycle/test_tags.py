"""Tags, as Mailchimp tells them apart: without case, and whatever becomes of them there."""

from __future__ import annotations

import pytest

from airflow_mailchimp_export.accounting.report import Counts
from airflow_mailchimp_export.counts import FieldWarning
from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.model import Delivery
from airflow_mailchimp_export.planning.tags import TAG_REMEDIES, TagWarning
from airflow_mailchimp_export.settings.segments import parse_segments
from airflow_mailchimp_export.state.ledger import LEDGER
from tests.kit.exports import AUDIENCE_ID
from tests.kit.life import Life, changing
from tests.kit.people import people

ADA, BO, CY = "ada@brieftaube.eu", "bo@brieftaube.eu", "cy@brieftaube.eu"


@pytest.fixture
def life(life: Life) -> Life:
    """An export of few people, of whom most may leave."""
    life.options = {"max_removal_ratio": 1}
    return life


def delete_tag(life: Life, name: str) -> None:
    """Delete a tag in Mailchimp, as a user would: nobody carries it any more."""
    audience = life.account.audiences[AUDIENCE_ID]
    (tag_id,) = [tag_id for tag_id, tag in audience.tags.items() if tag.name == name]
    life.sandbox.call("DELETE", f"/lists/{AUDIENCE_ID}/segments/{tag_id}")


@pytest.mark.parametrize("delivery", Delivery)
class TestCase:
    """The audience spells a tag in another way than the segment."""

    def test_who_leaves_loses_it(self, life: Life, delivery: Delivery) -> None:
        """With ``vip`` in the audience and ``VIP`` as segment, who leaves carries neither afterwards."""
        life.put(CY, tags=["vip"])
        life.run({"VIP": people(ADA, BO)}, delivery=delivery)
        assert life.tags(BO) == {"vip"}
        report = life.run({"VIP": people(ADA)}, delivery=delivery)
        assert report.counts == Counts(rows_read=1, unchanged=1, removed=1)
        assert life.audience() == {
            ADA: ("subscribed", {"vip"}),
            BO: ("subscribed", set()),
            CY: ("subscribed", {"vip"}),
        }

    def test_who_carries_it_is_adopted(self, life: Life, delivery: Delivery) -> None:
        """Adopting ``VIP`` finds those who carry ``vip``."""
        life.put(BO, CY, tags=["vip"])
        report = life.run({"VIP": people(ADA, BO)}, delivery=delivery, adopt_existing_tag=True)
        assert report.counts == Counts(rows_read=2, created=1, updated=1, removed=1)
        assert life.tags(CY) == set()
        assert life.ledger()[BO]["tags"] == ["VIP"]

    def test_a_segment_that_changes_case_sends_nobody(self, life: Life, delivery: Delivery) -> None:
        """A tag that is spelled in another way from now on is still the same tag, for who stays and who leaves."""
        life.run({"VIP": people(ADA, BO)}, delivery=delivery)
        with life.watched() as seen:
            report = life.run({"vip": people(ADA, BO)}, delivery=delivery)
        assert (report.counts, changing(seen)) == (Counts(rows_read=2, unchanged=2), [])
        report = life.run({"vip": people(ADA)}, delivery=delivery)
        assert report.counts == Counts(rows_read=1, unchanged=1, removed=1)
        assert report.segments["vip"].left == 1
        assert (life.tags(BO), life.ledger().keys()) == (set(), {ADA})


@pytest.mark.parametrize("delivery", Delivery)
def test_a_tag_that_is_gone_is_said_and_given_again(
    life: Life, delivery: Delivery, caplog: pytest.LogCaptureFixture
) -> None:
    """A tag that was deleted in Mailchimp is a warning in log and report, and its people are tagged again, once."""
    segments = {"A": people(ADA, BO), "B": people(BO, CY)}
    life.run(segments, delivery=delivery)
    delete_tag(life, "B")
    report = life.run(segments, delivery=delivery)
    assert report.warnings == (FieldWarning("B", "tag_gone", 2, (), TAG_REMEDIES[TagWarning.GONE]),)
    assert any(message.startswith("Tag 'B' of 2 people: tag_gone. ") for message in caplog.messages)
    assert report.counts == Counts(rows_read=4, merged=1, unchanged=1, updated=2)
    assert life.audience() == {
        ADA: ("subscribed", {"A"}),
        BO: ("subscribed", {"A", "B"}),
        CY: ("subscribed", {"B"}),
    }
    with life.watched() as seen:
        report = life.run(segments, delivery=delivery)
    assert (report.warnings, changing(seen)) == ((), [])
    assert report.counts == Counts(rows_read=4, merged=1, unchanged=3)


def test_the_tags_are_looked_up_once(life: Life) -> None:
    """Planning asks for the audience's tags by one request, and nobody is sent when none is missing."""
    life.run({"A": people(ADA), "B": people(BO)})
    with life.watched() as seen:
        life.run({"A": people(ADA), "B": people(BO)})
    assert [entry.path.rpartition("/")[2] for entry in seen].count("tag-search") == 1
    assert changing(seen) == []


class TestSpellings:
    """Two segments and their tags."""

    def test_two_spellings_of_one_tag_are_an_error(self) -> None:
        """Tags that differ by case only are refused: the message names both segments, both tags and the remedy."""
        with pytest.raises(ConfigError) as error:
            parse_segments({"Best": {"uri": "a.csv", "tag": "Gold"}, "gold": "b.csv"})
        assert str(error.value) == (
            "segments 'Best' and 'gold' have the tags 'Gold' and 'gold', which are one tag to Mailchimp: it does not "
            "tell upper from lower case. Spell it alike in both if they share the tag, or give one of them another tag"
        )

    def test_one_spelling_is_shared(self) -> None:
        """Two segments may give the same tag, spelled alike."""
        parsed = parse_segments({"Best": {"uri": "a.csv", "tag": "Gold"}, "Gold": "b.csv"})
        assert [segment.tag for segment in parsed] == ["Gold", "Gold"]


class TestWithoutALedger:
    """A run that knows of nobody, while people carry its tags."""

    CARRIED = FieldWarning("A", "tag_carried", 2, (), TAG_REMEDIES[TagWarning.CARRIED])

    def test_it_is_said(self, life: Life, caplog: pytest.LogCaptureFixture) -> None:
        """How many carry which tag is a warning in log and report, which names the setting and the option."""
        life.put(BO, CY, tags=["A"])
        report = life.run({"A": people(ADA), "B": people(ADA)})
        assert report.warnings == (self.CARRIED,)
        assert "exports_root" in self.CARRIED.remedy
        assert "adopt_existing_tag" in self.CARRIED.remedy
        (said,) = [
            record for record in caplog.records if record.getMessage().startswith("Tag 'A' of 2 people")
        ]
        assert said.levelname == "WARNING"
        assert life.run({"A": people(ADA), "B": people(ADA)}).warnings == ()

    def test_lost_memory_is_said(self, life: Life) -> None:
        """An export whose folder is lost finds the people whom it tagged itself."""
        life.run({"A": people(BO, CY)})
        life.folder.remove(LEDGER)
        report = life.run({"A": people(BO)}, name="another")
        assert report.warnings == (self.CARRIED,)

    def test_adopting_is_no_reason_to_warn(self, life: Life) -> None:
        """With adopt_existing_tag they are known from now on; and a tag that nobody carries is none to speak of."""
        life.put(BO, CY, tags=["A"])
        assert life.run({"A": people(ADA), "B": people(ADA)}, adopt_existing_tag=True).warnings == ()
