"""The metadata of the tables."""

from __future__ import annotations

import pytest

from tests.sandbox.customer_insights.driver import MEMBERSHIPS, PROFILES, Insights

ONE = "EntityDefinitions(LogicalName='msdynci_segmentmembership')"


@pytest.mark.parametrize(("table_type", "told"), [("elastic", "Elastic"), ("virtual", "Virtual")])
def test_definition(insights: Insights, table_type: str, told: str) -> None:
    """A table says its set, its key, and whether it is elastic or virtual."""
    insights.set(table_type=table_type)
    found = insights.get(f"{ONE}?$select=LogicalName,EntitySetName,PrimaryIdAttribute,TableType")
    del found["@odata.context"], found["MetadataId"]
    assert found == {
        "LogicalName": "msdynci_segmentmembership",
        "EntitySetName": MEMBERSHIPS,
        "PrimaryIdAttribute": "msdynci_segmentmembershipid",
        "TableType": told,
    }


def test_attributes(insights: Insights) -> None:
    """A table lists its columns with their types; those of the profile come from the data that was loaded."""
    path = "EntityDefinitions(LogicalName='msdynci_customerprofile')/Attributes"
    rows = insights.get(f"{path}?$select=LogicalName,AttributeType,IsValidForRead")["value"]
    kinds = {row["LogicalName"]: row["AttributeType"] for row in rows}
    assert kinds["msdynci_email"] == "String"
    assert kinds["msdynci_lifetimevalue"] == "Double"
    assert kinds["msdynci_newsletteroptin"] == "Boolean"
    assert kinds["msdynci_lastpurchase"] == "DateTime"
    assert kinds["partitionid"] == "String"
    assert kinds["ownerid"] == "Owner"
    assert all(row["IsValidForRead"] for row in rows)


def test_columns_of_provider_and_type_can_be_called_otherwise_or_be_missing(insights: Insights) -> None:
    """The names of two columns are not documented: they can be changed, and the columns taken away."""
    insights.set(provider_column="msdynci_provider", type_column="")
    rows = insights.get(f"{ONE}/Attributes?$select=LogicalName")["value"]
    names = {row["LogicalName"] for row in rows}
    assert "msdynci_provider" in names
    assert not names & {"msdynci_segmentprovider", "msdynci_segmentmembershiptype"}
    assert insights.get(f"{MEMBERSHIPS}?$select=msdynci_provider")["value"]
    insights.set(provider_column="")
    assert "'msdynci_provider'" in insights.error(f"{MEMBERSHIPS}?$select=msdynci_provider")[1]
    assert (
        "msdynci_segmentmembershiptype"
        in insights.error(f"{MEMBERSHIPS}?$select=msdynci_segmentmembershiptype")[1]
    )


def test_by_filter(insights: Insights) -> None:
    """A table is found by its logical name in a filter too."""
    found = insights.get("EntityDefinitions?$filter=LogicalName eq 'msdynci_customerprofile'")["value"]
    assert [one["EntitySetName"] for one in found] == [PROFILES]
    everything = insights.get("EntityDefinitions?$select=EntitySetName")["value"]
    assert [one["EntitySetName"] for one in everything] == [MEMBERSHIPS, PROFILES]


def test_there_is_no_lookup_from_one_table_to_the_other(insights: Insights) -> None:
    """No relationship is listed, and no query may expand one."""
    assert insights.get(f"{ONE}/ManyToOneRelationships")["value"] == []
    assert insights.error(f"{MEMBERSHIPS}?$expand=msdynci_customer") == (
        "0x80048d0b",
        "Link entities are not supported.",
    )


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("EntityDefinitions(LogicalName='msdynci_nothing')", 404, "'msdynci_nothing'"),
        (f"{ONE}/Nothing", 404, "'Nothing'"),
        ("EntityDefinitions(msdynci_segmentmembership)", 404, "EntityDefinitions(msdynci_segmentmembership)"),
        ("EntityDefinitions?$filter=TableType eq 'Elastic'", 501, "LogicalName eq"),
        (f"{PROFILES}/Nothing", 404, "'Nothing'"),
        (f"{ONE}?$select=Nothing", 400, "'Nothing'"),
    ],
)
def test_unknown_names(insights: Insights, path: str, status: int, words: str) -> None:
    """What is not there is named."""
    assert words in insights.error(path, status)[1]


def test_table_of_segments_is_optional(insights: Insights) -> None:
    """There is a table of segments only if it is switched on; it may count all members, whoever asks."""
    assert insights.call("mscipriv_segmentmetadatas").status_code == 404
    insights.set(segment_metadata=True)
    rows = insights.get("mscipriv_segmentmetadatas")["value"]
    assert [(row["mscipriv_name"], row["mscipriv_friendlyname"]) for row in rows] == [
        ("VIP", "VIP"),
        ("Newsletter", "Newsletter"),
        ("Recent_buyers", "Recent buyers"),
    ]
    insights.set(user="business-unit")
    rows = insights.get("mscipriv_segmentmetadatas?$select=mscipriv_name,mscipriv_membercount")["value"]
    counted = {row["mscipriv_name"]: row["mscipriv_membercount"] for row in rows}
    assert counted == {name: len(insights.members(name)) for name in ("VIP", "Newsletter", "Recent_buyers")}
    insights.set(count_column="")
    assert "mscipriv_membercount" not in insights.get("mscipriv_segmentmetadatas")["value"][0]


def test_directory(insights: Insights) -> None:
    """The root lists the entity sets."""
    names = [one["name"] for one in insights.get("")["value"]]
    assert names == ["EntityDefinitions", MEMBERSHIPS, PROFILES]
