"""What ``$filter`` finds, under each reading."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.customer_insights.driver import MEMBERSHIPS, PROFILES, Insights

A, B, C, D = (letter * 32 for letter in "abcd")
ROWS = [
    {"customer_id": A, "segments": ["Under_40"]},
    {"customer_id": B, "segments": ["underX40", "O'Neil"]},
    {"customer_id": C, "segments": ["Under_40_lapsed"]},
    {"customer_id": D, "text": None},
]


@pytest.fixture
def known(insights: Insights) -> Insights:
    """Four memberships and no others."""
    insights.control("memberships/remove", {"customer_ids": insights.ids(MEMBERSHIPS)})
    insights.control("memberships", {"rows": ROWS})
    return insights


def found(insights: Insights, condition: str, table: str = MEMBERSHIPS) -> str:
    """The first letters of whom a filter finds."""
    ids = insights.ids(f"{table}?$select=msdynci_customerid&$filter={condition}")
    return "".join(sorted(customer_id[0] for customer_id in ids))


@pytest.mark.parametrize(
    ("reading", "condition", "letters"),
    [
        ("like", "contains(msdynci_segments,'Under_40')", "abc"),
        ("literal", "contains(msdynci_segments,'Under_40')", "ac"),
        ("exact", "contains(msdynci_segments,'Under_40')", "ac"),
        ("like", "contains(msdynci_segments,'UNDER_40')", "abc"),
        ("literal", "contains(msdynci_segments,'UNDER_40')", "ac"),
        ("exact", "contains(msdynci_segments,'UNDER_40')", ""),
        ("like", "contains(msdynci_segments,'\"Under_40\"')", "ab"),
        ("exact", "contains(msdynci_segments,'\"Under_40\"')", "a"),
        ("like", "contains(msdynci_segments,'O''Neil')", "b"),
        ("like", "contains(msdynci_segments,'%25')", "abc"),
        ("exact", "contains(msdynci_segments,'%25')", ""),
        ("like", f"msdynci_customerid eq '{A.upper()}'", "a"),
        ("exact", f"msdynci_customerid eq '{A.upper()}'", ""),
        ("exact", "startswith(msdynci_customerid,'bb') or endswith(msdynci_customerid,'cc')", "bc"),
        ("like", "startswith(msdynci_customerid,'BB') or endswith(msdynci_customerid,'CC')", "bc"),
    ],
)
def test_readings(known: Insights, reading: str, condition: str, letters: str) -> None:
    """Text is compared as in LIKE, without its wildcards, or letter by letter."""
    known.set(filter_reading=reading)
    assert found(known, condition) == letters


@pytest.mark.parametrize(("escapes", "letters"), [(False, ""), (True, "ab")])
def test_a_backslash_before_a_quote(known: Insights, escapes: bool, letters: str) -> None:
    """Microsoft's example has backslashes before the quotes, which may be part of the text or not."""
    known.set(backslash_escapes=escapes)
    assert found(known, r"contains(msdynci_segments,'\"Under_40\"')") == letters


def test_virtual_provider_may_refuse_contains(known: Insights) -> None:
    """Set so, functions over text are a 400, and comparisons go on working."""
    known.set(contains_refused=True)
    assert known.error(f"{MEMBERSHIPS}?$filter=contains(msdynci_segments,'Under')")[0] == "0x80040203"
    assert found(known, f"msdynci_customerid eq '{B}'") == "b"


@pytest.mark.parametrize(
    ("condition", "letters"),
    [
        (f"msdynci_customerid eq '{A}' or msdynci_customerid eq '{C}'", "ac"),
        (f"msdynci_customerid ne '{A}' and msdynci_customerid ne '{B}'", "cd"),
        (f"msdynci_customerid eq '{A}' or msdynci_customerid eq '{B}' and msdynci_segments eq null", "a"),
        (f"(msdynci_customerid eq '{A}' or msdynci_customerid eq '{D}') and msdynci_segments eq null", "d"),
        (f"not (msdynci_customerid eq '{A}')", "bcd"),
        ("msdynci_segments ne null", "abc"),
        ("msdynci_customerid gt 'b' and msdynci_customerid le 'cd'", "bc"),
        ("versionnumber gt 0", "abcd"),
        (
            "Microsoft.Dynamics.CRM.In(PropertyName='msdynci_customerid',"
            f'PropertyValues=["{A}","{D}","nobody"])',
            "ad",
        ),
    ],
)
def test_conditions(known: Insights, condition: str, letters: str) -> None:
    """Comparisons, and, or, not, parentheses, null and In."""
    assert found(known, condition) == letters


def test_forty_ids_in_one_call(insights: Insights) -> None:
    """As many profiles as fit into a URL are found by their ids, in one call."""
    ids = insights.ids(PROFILES)[:40]
    either = " or ".join(f"msdynci_customerid eq '{one}'" for one in ids)
    assert sorted(insights.ids(f"{PROFILES}?$filter={either}")) == sorted(ids)


def test_in_may_be_missing(known: Insights) -> None:
    """Whether In works for these tables is not documented: it can be switched off."""
    known.set(in_function=False)
    condition = f"Microsoft.Dynamics.CRM.In(PropertyName='msdynci_customerid',PropertyValues=[\"{A}\"])"
    assert known.error(f"{MEMBERSHIPS}?$filter={condition}")[0] == "0x80060888"


def test_numbers_truths_and_moments(insights: Insights) -> None:
    """Values of other types are compared as what they are."""
    rows = insights.rows(PROFILES)
    asked = insights.rows(
        f"{PROFILES}?$filter=msdynci_lifetimevalue ge 100.5 and msdynci_newsletteroptin eq true"
    )
    expected = [
        row for row in rows if row["msdynci_lifetimevalue"] >= 100.5 and row["msdynci_newsletteroptin"]
    ]
    assert asked == expected
    assert 0 < len(expected) < len(rows)
    later = insights.rows(f"{PROFILES}?$filter=msdynci_lastpurchase gt 2026-01-01T02:00:00Z")
    assert later == [row for row in rows if row["msdynci_lastpurchase"] > "2026-01-01T02:00:00Z"]


@pytest.mark.parametrize(
    "condition",
    [
        "",
        "msdynci_customerid",
        "msdynci_customerid eq",
        "msdynci_customerid like 'a'",
        "msdynci_customerid eq 'a' and",
        "msdynci_customerid eq 'a'b'",
        "contains(msdynci_segments)",
        "contains(msdynci_segments,5)",
        "msdynci_customerid in ('a','b')",
        "(msdynci_customerid eq 'a'",
        "msdynci_customerid gt null",
        "msdynci_customerid eq '",
        "msdynci_customerid eq 'a' 'b'",
        "msdynci_customerid eq nothing",
        "Microsoft.Dynamics.CRM.In(PropertyName='msdynci_customerid',PropertyValues=[nothing])",
        "Microsoft.Dynamics.CRM.In(PropertyName='msdynci_customerid',PropertyValues=[])",
    ],
)
def test_what_cannot_be_read_is_a_400(insights: Insights, condition: str) -> None:
    """A filter that is not understood is refused, and never taken as none."""
    code, message = insights.error(f"{MEMBERSHIPS}?$filter={condition}")
    assert (code, message.startswith("Syntax error in the filter")) == ("0x80060888", True)


def test_unknown_column(insights: Insights) -> None:
    """A column that is not there is named."""
    assert "'msdynci_nothing'" in insights.error(f"{PROFILES}?$filter=msdynci_nothing eq 1")[1]


def test_other_tables(insights: Insights) -> None:
    """A filter over another table is nothing that the sandbox can do."""
    assert "other tables" in insights.error(f"{PROFILES}?$filter=owner/name eq 'a'", 501)[1]


def test_too_many_conditions(insights: Insights) -> None:
    """A filter may have so many conditions and no more, those of In included."""
    insights.set(condition_limit=3)
    ids: list[Any] = [f"msdynci_customerid eq '{letter}'" for letter in "abcd"]
    assert insights.rows(f"{PROFILES}?$filter={' or '.join(ids[:3])}") == []
    assert insights.error(f"{PROFILES}?$filter={' or '.join(ids)}")[0] == "0x8004430C"
    listed = 'Microsoft.Dynamics.CRM.In(PropertyName=\'msdynci_customerid\',PropertyValues=["a","b","c","d"])'
    assert insights.error(f"{PROFILES}?$filter={listed}")[0] == "0x8004430C"
