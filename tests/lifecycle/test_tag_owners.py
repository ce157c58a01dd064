"""A tag of an audience has one owner among the exports under an exports_root."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from airflow_mailchimp_export.accounting.report import Counts
from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.state.claims import TAGS
from airflow_mailchimp_export.state.ledger import LEDGER, read_mark
from airflow_mailchimp_export.state.run import ExportFolder
from tests.kit.exports import AUDIENCE_ID
from tests.kit.life import Life, changing
from tests.kit.people import people

ADA, BO, CY = "ada@brieftaube.eu", "bo@brieftaube.eu", "cy@brieftaube.eu"


@pytest.fixture
def other(life: Life) -> Life:
    """Another export of the same audience, under the same root."""
    life.options = {"max_removal_ratio": 1}
    folder = ExportFolder(Path(life.folder.uri).with_name("other"))
    return replace(life, folder=folder, options={"max_removal_ratio": 1, "name": "other"}, requests=[])


def claimed(life: Life) -> dict[str, object]:
    """What an export has claimed."""
    found: dict[str, object] = orjson.loads(life.folder.read(TAGS))
    return found


def test_a_run_claims_its_tags(life: Life) -> None:
    """The file says which tags of which audience are this export's, and the ledger which its people carry."""
    life.run({"B": people(ADA), "A": people(ADA)})
    assert claimed(life) == {"format": 1, "export": "life", "audience_id": AUDIENCE_ID, "tags": ["A", "B"]}
    mark = read_mark(life.folder)
    assert mark
    assert mark.tags == ("A", "B")


def test_the_second_export_is_refused(life: Life, other: Life) -> None:
    """In whatever case it is spelled: the message names both exports and the remedy, and nothing is sent."""
    life.run({"VIP": people(ADA)})
    with life.watched() as seen, pytest.raises(ConfigError) as error:
        other.run({"News": people(BO), "vip": people(BO)})
    assert str(error.value) == (
        f"Tag 'vip' of audience {AUDIENCE_ID} belongs to export 'life' ({life.folder.uri}), so export 'other' may not "
        "give it too: each would take it from the other's people. Nothing was sent. Make them one export with two "
        "segments of the same tag, or give this segment another tag. If 'life' is not used any more, remove its folder"
    )
    assert changing(seen) == []
    assert not other.folder.exists(TAGS)
    assert life.run({"VIP": people(ADA)}).counts == Counts(rows_read=1, unchanged=1)


def test_a_copy_of_the_folder_is_no_other_export(life: Life) -> None:
    """Whoever keeps a copy of an export's folder beside it is not stopped by it."""
    life.run({"A": people(ADA)})
    shutil.copytree(life.folder.uri, f"{life.folder.uri}.copy")
    assert life.run({"A": people(ADA)}).counts == Counts(rows_read=1, unchanged=1)


def test_another_audience_or_another_tag_is_no_matter(life: Life, other: Life) -> None:
    """The same tag of another audience is another tag."""
    life.run({"A": people(ADA)})
    life.account.add_audience("ffffffffff", "Other")
    assert other.run({"A": people(BO)}, audience_id="ffffffffff").counts.created == 1
    assert life.run({"A": people(ADA, CY)}).counts == Counts(rows_read=2, unchanged=1, created=1)


def test_a_dry_run_claims_nothing_and_is_refused(life: Life, other: Life) -> None:
    """A dry run leaves no claim behind, and is stopped by that of another export."""
    life.run({"A": people(ADA)}, dry_run=True)
    assert not life.folder.exists(TAGS)
    other.run({"A": people(ADA)})
    with pytest.raises(ConfigError, match="belongs to export 'other'"):
        life.run({"A": people(ADA)}, dry_run=True)


def test_without_the_file_the_ledger_says_it(life: Life, other: Life) -> None:
    """An export that has not claimed anything yet owns what its ledger's people carry."""
    life.run({"A": people(ADA)})
    life.folder.remove(TAGS)
    with pytest.raises(ConfigError, match="Tag 'A' of audience a1b2c3d4e5 belongs to export 'life'"):
        other.run({"A": people(BO)})


def test_a_tag_is_released(life: Life, other: Life) -> None:
    """A tag that is in no segment any more stays claimed while people carry it, and is free afterwards."""
    life.run({"A": people(ADA), "B": people(BO)})
    life.run({"A": people(ADA)})
    assert claimed(life)["tags"] == ["A", "B"]
    with pytest.raises(ConfigError, match="Tag 'B'"):
        other.run({"B": people(CY)})
    life.run({"A": people(ADA), "B": people()})
    life.run({"A": people(ADA)})
    assert claimed(life)["tags"] == ["A"]
    assert other.run({"B": people(CY)}).counts == Counts(rows_read=1, created=1)


def test_what_two_ledgers_carry_already(life: Life, other: Life) -> None:
    """Of two exports that gave one tag before there were claims, the one that gives it up lets the other have it."""
    life.run({"A": people(ADA), "B": people(ADA)})
    place, aside = Path(life.folder.uri), Path(life.folder.uri).parent.with_name("aside")
    place.rename(aside)
    other.run({"A": people(BO)})
    aside.rename(place)
    life.folder.remove(TAGS)
    other.folder.remove(TAGS)
    for one, segments in ((life, {"A": people(ADA), "B": people(ADA)}), (other, {"A": people(BO)})):
        with pytest.raises(ConfigError, match="Tag 'A'"):
            one.run(segments)
    life.run({"B": people(ADA)})
    assert claimed(life)["tags"] == ["B"]
    assert other.run({"A": people(BO)}).counts == Counts(rows_read=1, unchanged=1)


@pytest.mark.parametrize("name", [TAGS, LEDGER])
def test_damaged_files_of_others_are_said(
    life: Life, other: Life, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A file of another export that cannot be read is a warning, and the run goes on."""
    other.folder.put(name, b"damaged")
    assert life.run({"A": people(ADA)}).counts == Counts(rows_read=1, created=1)
    assert any(f"{other.folder.uri}/{name} is damaged" in message for message in caplog.messages)
