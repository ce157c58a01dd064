"""Segments of Customer Insights, read from a local one that is a second, independent reading of the documentation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from typing import Any

import pyarrow as pa
import pytest

from airflow_mailchimp_export.customer_insights.__main__ import table_of
from airflow_mailchimp_export.customer_insights.check import check_connection, failed_check
from airflow_mailchimp_export.customer_insights.client import DataverseClient
from airflow_mailchimp_export.customer_insights.identity import who_am_i
from airflow_mailchimp_export.customer_insights.listing import list_segments
from airflow_mailchimp_export.errors import ConfigError, ExportError, SourceError
from airflow_mailchimp_export.settings.segments import parse_segments
from airflow_mailchimp_export.sources.opening import opened_sources
from tests.kit.insights import HASTY, RULES, Insights, truth

COLUMNS = ("msdynci_email", "msdynci_firstname")
MEMBERSHIPS, PROFILE_ROWS = (
    "/api/data/v9.2/msdynci_segmentmemberships",
    "/api/data/v9.2/msdynci_customerprofiles",
)


def read(
    insights: Insights, *segments: str, columns: tuple[str, ...] = COLUMNS, **options: Any
) -> dict[str, list[tuple[Any, ...]]]:
    """Read segments as an export does; each is named like its table."""
    given = {name: {"conn_id": "ci", "segment": name, **options} for name in segments}
    return read_all(insights, given, columns)


def read_all(
    insights: Insights, given: Mapping[str, Any], columns: tuple[str, ...] = COLUMNS
) -> dict[str, list[tuple[Any, ...]]]:
    """Read segments as they are given."""
    with opened_sources(
        parse_segments(given), columns, insights=lambda conn_id: insights.client()
    ) as sources:
        return {
            source.segment: rows(pa.Table.from_batches(source.batches(), source.schema)) for source in sources
        }


def rows(table: pa.Table) -> list[tuple[Any, ...]]:
    """The rows of a table."""
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def check(insights: Insights, **parts: Any) -> tuple[bool, str]:
    """Press the Test button."""
    settings = insights.settings(**parts)
    try:
        with closing(insights.client(**parts)) as client:
            return check_connection(client, settings)
    except ExportError as error:
        return failed_check(error)


class TestSegments:
    """Who is read."""

    def test_segments_share_one_reading(self, insights: Insights) -> None:
        """All segments of a connection are read with one pass of memberships and one of profiles."""
        insights.change(page_limit=1_000)
        found = read(insights, *RULES, profile_read="scan")
        assert {name: Counter(people) for name, people in found.items()} == {
            name: truth(insights, name) for name in RULES
        }
        calls = insights.calls()
        assert sum(PROFILE_ROWS in call for call in calls) == 2
        assert sum(MEMBERSHIPS in call for call in calls) == 2

    @pytest.mark.parametrize("way", ["scan", "by_id"])
    def test_both_ways_read_the_same(self, insights: Insights, way: str) -> None:
        """By id and by one reading of all, everybody comes once."""
        assert Counter(read(insights, "VIP", profile_read=way)["VIP"]) == truth(insights, "VIP")

    def test_rows_come_in_the_order_of_ids(self, insights: Insights) -> None:
        """However pages come: what decides between two profiles of one address must not change from run to run."""
        columns = ("msdynci_email", "msdynci_customerid")
        by_scan = read(insights, "VIP", columns=columns, profile_read="scan")
        insights.change(page_limit=77)
        assert read(insights, "VIP", columns=columns, profile_read="by_id") == by_scan
        ids = [row[1] for row in by_scan["VIP"]]
        assert ids == sorted(ids)

    def test_a_row_is_told_by_its_customer(self, insights: Insights) -> None:
        """Whoever is rejected is found again in Customer Insights."""
        given = parse_segments({"VIP": {"conn_id": "ci", "segment": "VIP"}})
        wanted = ("msdynci_email", "msdynci_customerid")
        with opened_sources(given, wanted, insights=lambda conn_id: insights.client()) as (source,):
            table = pa.Table.from_batches(source.batches(), source.schema)
            for row in (0, 100, 5, table.num_rows - 1):
                assert source.locate(row) == f"msdynci_customerid {table.column(1)[row]}"

    def test_types(self, insights: Insights) -> None:
        """Columns have the types that the metadata tell."""
        given = parse_segments({"VIP": {"conn_id": "ci", "segment": "VIP", "timezone": "Europe/Berlin"}})
        wanted = ("msdynci_email", "msdynci_lifetimevalue", "msdynci_newsletteroptin", "msdynci_birthday")
        with opened_sources(given, wanted, insights=lambda conn_id: insights.client()) as (source,):
            assert source.schema.types == [
                pa.string(),
                pa.float64(),
                pa.bool_(),
                pa.timestamp("us", "Europe/Berlin"),
            ]
            assert pa.Table.from_batches(source.batches()).num_rows == truth(insights, "VIP").total()

    def test_a_mistyped_column(self, insights: Insights) -> None:
        """It is told before any profile is read."""
        with pytest.raises(ConfigError, match=r"Segment 'VIP': .*did you mean 'msdynci_firstname'"):
            read(insights, "VIP", columns=("msdynci_email", "msdynci_first_name"))

    def test_a_mistyped_segment(self, insights: Insights) -> None:
        """A segment of nobody is an error, and case counts although the server's filter ignores it."""
        with pytest.raises(SourceError, match=r"nobody is in segment 'vip' .*did you mean 'VIP'"):
            read(insights, "vip")
        assert read(insights, "vip", may_be_empty=True) == {"vip": []}


class TestOtherReadings:
    """What the documentation leaves open is read either way."""

    @pytest.mark.parametrize(
        "settings",
        [
            {"table_type": "virtual", "contains_refused": True},
            {"table_type": "virtual", "null_columns": False},
            {"extra_columns": False},
            {"filter_reading": "literal"},
            {"filter_reading": "exact"},
            {"backslash_escapes": True},
            {"provider_column": "", "type_column": ""},
            {"in_function": False},
            {"trailing_page": True, "page_limit": 64},
            {"short_pages": 0.3, "page_limit": 50},
            {"compress": False},
            {"segment_metadata": True},
            {"segment_metadata": True, "count_column": ""},
            {"segments_form": "spaced"},
            {"segments_form": "list"},
            {"emptied": "null"},
            {"emptied": "empty-list"},
            {"several_rows": 0.3},
            {"contact_rows": 0.3},
            {"contact_rows": 0.3, "type_column": ""},
            {"null_segments": 0.3},
        ],
        ids=str,
    )
    def test_the_same_people(self, insights: Insights, settings: dict[str, Any]) -> None:
        """Whatever the tables are like, the same people are in the segment."""
        insights.change(**settings)
        insights.control("reset", {})
        assert Counter(read(insights, "VIP")["VIP"]) == truth(insights, "VIP")

    def test_malformed_json(self, insights: Insights) -> None:
        """Who may be in a segment is not taken for who is not."""
        insights.change(malformed_segments=0.05)
        insights.control("reset", {})
        with pytest.raises(SourceError, match="another form than JSON"):
            read(insights, "Newsletter")


class TestMissingPeople:
    """Nobody is lost without a word."""

    def test_members_without_a_profile(self, insights: Insights) -> None:
        """More of them than allowed stop the export; as many as are allowed are left out."""
        insights.change(unhydrated=0.02)
        with pytest.raises(
            SourceError, match=r"members have no profile .* max_missing_profiles allows \(0\)"
        ):
            read(insights, "VIP")
        left = read(insights, "VIP", max_missing_profiles=0.1)["VIP"]
        assert 0.95 * truth(insights, "VIP").total() < len(left) < truth(insights, "VIP").total()
        with pytest.raises(SourceError, match="max_missing_profiles"):
            read(insights, "VIP", max_missing_profiles=truth(insights, "VIP").total() - len(left) - 1)

    def test_a_row_that_comes_twice(self, insights: Insights) -> None:
        """A page that begins with the last row of the one before makes nobody two."""
        insights.change(page_limit=300)
        insights.control("faults", {"path": PROFILE_ROWS, "answer": "repeated-row", "count": 2, "skip": 1})
        insights.control("faults", {"path": MEMBERSHIPS, "answer": "repeated-row", "count": 2, "skip": 1})
        assert Counter(read(insights, "Newsletter", profile_read="scan")["Newsletter"]) == truth(
            insights, "Newsletter"
        )

    def test_a_business_unit_sees_less(self, insights: Insights) -> None:
        """Fewer rows come without an error, and where Customer Insights does not count, only the list shows it."""
        insights.change(user="business-unit", segment_metadata=True, count_column="")
        with closing(insights.client()) as client:
            listed = {segment.name: segment for segment in list_segments(client)}
        assert listed["VIP"].members < 0.6 * truth(insights, "VIP").total()
        assert listed["VIP"].counted is None

    def test_fewer_than_customer_insights_counts(self, insights: Insights) -> None:
        """Where it counts the members, whoever is hidden stops the export, and the list shows both numbers."""
        insights.change(user="business-unit", segment_metadata=True)
        everybody = truth(insights, "VIP").total()
        with pytest.raises(SourceError, match=f"counts {everybody:,} members of 'VIP', and only"):
            read(insights, "VIP")
        with closing(insights.client()) as client:
            listed = {segment.name: segment for segment in list_segments(client)}
        assert listed["VIP"].counted == everybody > listed["VIP"].members


class TestAccess:
    """Who may read."""

    @pytest.mark.parametrize(
        ("settings", "words"),
        [
            ({"user": "unknown"}, "as an application user"),
            ({"user": "unknown", "unknown_user_status": 401}, "application user"),
            ({"user": "without-memberships"}, "Customer Insights Data Read Access"),
            ({"user": "without-profiles"}, "Customer Insights Data Read Access"),
            ({"secret_expired": True}, "secret has expired"),
            ({"client_secret": "another"}, "not its Secret ID"),
            ({"client_id": "00001111-aaaa-2222-bbbb-3333cccc4444"}, "no such app registration"),
            ({"tenant_id": "99999999-2222-3333-4444-555555555555"}, "no such directory"),
        ],
        ids=str,
    )
    def test_each_obstacle_has_its_remedy(
        self, insights: Insights, settings: dict[str, Any], words: str
    ) -> None:
        """The button says what to do, and an export stops without trying again."""
        insights.change(**settings)
        insights.control("tokens/revoke", {})
        passed, message = check(insights)
        assert not passed
        assert words in message
        with pytest.raises(ConfigError):
            read(insights, "VIP")

    def test_nothing_stands_in_the_way(self, insights: Insights) -> None:
        """The button names the user and the tables."""
        passed, message = check(insights)
        assert passed
        with closing(insights.client()) as client:
            assert f"Application user {who_am_i(client).name} of 127.0.0.1." in message
        assert "Business unit Contoso." in message
        assert "Table msdynci_segmentmembership (Elastic): 13 columns, a row was read." in message

    def test_a_business_unit_below_the_root(self, insights: Insights) -> None:
        """It is an obstacle, because it hides people without an error."""
        insights.change(user="business-unit")
        passed, message = check(insights)
        assert not passed
        assert "The application user is in business unit Benelux" in message

    @pytest.mark.parametrize("settings", [{"units_readable": False}, {"null_columns": False}], ids=str)
    def test_a_unit_that_is_not_told(self, insights: Insights, settings: dict[str, Any]) -> None:
        """The button says that it cannot tell, and is no obstacle."""
        insights.change(**settings)
        passed, message = check(insights)
        assert passed
        assert "Whether its business unit is the root cannot be told" in message

    def test_tokens_are_renewed(self, insights: Insights) -> None:
        """One that ends, or is taken back, in the middle of a reading is replaced."""
        insights.change(token_lifetime=0.2, latency=0.05, page_limit=300)
        assert Counter(read(insights, "Newsletter", profile_read="scan")["Newsletter"]) == truth(
            insights, "Newsletter"
        )
        insights.change(token_lifetime=3599, latency=0)
        insights.control("faults", {"path": PROFILE_ROWS, "answer": "unauthorized", "count": 1, "skip": 2})
        assert Counter(read(insights, "Newsletter", profile_read="scan")["Newsletter"]) == truth(
            insights, "Newsletter"
        )

    def test_a_token_that_is_never_taken(self, insights: Insights) -> None:
        """Is asked for once more, and then no more."""
        insights.control("faults", {"path": PROFILE_ROWS, "answer": "unauthorized", "count": -1})
        with pytest.raises(ConfigError, match="answered 401"):
            read(insights, "VIP", profile_read="scan")
        assert sum(PROFILE_ROWS in call for call in insights.calls()) == 2


class TestFaults:
    """What goes wrong on the way."""

    @pytest.mark.parametrize("path", [MEMBERSHIPS, PROFILE_ROWS])
    @pytest.mark.parametrize(
        "answer",
        [
            *("unavailable", "error", "gateway", "reset", "cut", "truncated", "html", "empty", "no-value"),
            *("408", "504-empty", "500-html"),
        ],
    )
    def test_what_passes(self, insights: Insights, answer: str, path: str) -> None:
        """A page that fails is asked for again."""
        insights.change(page_limit=300, retry_after="none")
        insights.control("faults", {"path": path, "answer": answer, "count": 2, "skip": 2})
        assert Counter(read(insights, "Newsletter", profile_read="scan")["Newsletter"]) == truth(
            insights, "Newsletter"
        )

    @pytest.mark.parametrize("answer", ["too-many-requests", "too-much-time", "too-many-at-once"])
    def test_push_back(self, insights: Insights, answer: str) -> None:
        """It is waited for as long as was asked, however long that is."""
        insights.change(page_limit=300, retry_after_seconds=170)
        insights.control("faults", {"path": PROFILE_ROWS, "answer": answer, "skip": 1})
        pauses: list[float] = []
        given = parse_segments({"VIP": {"conn_id": "ci", "segment": "VIP", "profile_read": "scan"}})
        client = DataverseClient(insights.settings(), pace=HASTY, sleep=pauses.append)
        with opened_sources(given, COLUMNS, insights=lambda conn_id: client) as (source,):
            found = rows(pa.Table.from_batches(source.batches(), source.schema))
        assert Counter(found) == truth(insights, "VIP")
        assert max(pauses) == 170

    @pytest.mark.parametrize("answer", ["unavailable", "truncated", "html", "no-value", "reset"])
    def test_what_does_not_pass(self, insights: Insights, answer: str) -> None:
        """Is an error after some attempts, and never a part of the people."""
        insights.change(page_limit=300, retry_after="none")
        insights.control("faults", {"path": PROFILE_ROWS, "answer": answer, "count": -1, "skip": 2})
        with pytest.raises(SourceError, match="Segment 'VIP': The reading of msdynci_customerprofiles"):
            read(insights, "VIP", profile_read="scan")

    @pytest.mark.parametrize(
        ("answer", "words"), [("loop", "in a circle"), ("foreign-link", "another place")]
    )
    @pytest.mark.parametrize("path", [MEMBERSHIPS, PROFILE_ROWS])
    def test_links_that_are_not_followed(
        self, insights: Insights, path: str, answer: str, words: str
    ) -> None:
        """The token leaves for no other host, and no circle is walked."""
        insights.change(page_limit=300)
        insights.control("faults", {"path": path, "answer": answer, "skip": 1})
        with pytest.raises(SourceError, match=words):
            read(insights, "Newsletter", profile_read="scan")


def test_the_list_of_segments(insights: Insights) -> None:
    """The command shows each with its size and its last change."""
    insights.change(segment_metadata=True)
    with closing(insights.client()) as client:
        lines = list(table_of(list_segments(client)))
    assert lines[0].split() == [
        "segment",
        "members",
        "Customer",
        "Insights",
        "counts",
        "refreshed",
        "friendly",
        "name",
    ]
    assert [line.split()[:2] for line in lines[1:]] == [
        [name, f"{truth(insights, name).total():,}"] for name in sorted(RULES)
    ]
    assert lines[2].endswith("+00:00  Recent buyers")
