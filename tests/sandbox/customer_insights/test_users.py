"""What the application user may do."""

from __future__ import annotations

import pytest

from tests.sandbox.customer_insights.driver import MEMBERSHIPS, PROFILES, Insights


def test_who_am_i(insights: Insights) -> None:
    """A user who is known learns its ids, and those of its unit and organisation."""
    found = insights.get("WhoAmI")
    assert {"BusinessUnitId", "UserId", "OrganizationId"} < found.keys()
    assert insights.get("WhoAmI()") == found


@pytest.mark.parametrize("status", [401, 403])
def test_unknown_user(insights: Insights, status: int) -> None:
    """An application that was never added as a user is refused everywhere."""
    insights.set(user="unknown", unknown_user_status=status)
    for path in ("WhoAmI", MEMBERSHIPS, "EntityDefinitions"):
        assert insights.error(path, status) == (
            "0x80072560",
            "The user is not a member of the organization.",
        )


@pytest.mark.parametrize(
    ("user", "forbidden", "allowed", "privilege"),
    [
        ("without-memberships", MEMBERSHIPS, PROFILES, "prvReadmsdynci_segmentmembership"),
        ("without-profiles", PROFILES, MEMBERSHIPS, "prvReadmsdynci_customerprofile"),
    ],
)
def test_missing_privilege(
    insights: Insights, user: str, forbidden: str, allowed: str, privilege: str
) -> None:
    """A user without the role may not read a table, and is told which privilege is missing."""
    insights.set(user=user)
    for path in (forbidden, f"{forbidden}/$count"):
        code, message = insights.error(path, 403)
        assert code == "0x80040220"
        assert f"is missing {privilege} privilege" in message
    assert insights.call(allowed).status_code == 200
    assert insights.call("WhoAmI").status_code == 200


def test_business_unit(insights: Insights) -> None:
    """The user of a business unit sees fewer rows, of both tables the same customers, and no error."""
    everyone = set(insights.ids(PROFILES))
    memberships = set(insights.ids(MEMBERSHIPS))
    insights.set(user="business-unit", unit_share=0.5)
    seen = set(insights.ids(PROFILES))
    assert 0 < len(seen) < len(everyone)
    assert set(insights.ids(MEMBERSHIPS)) == memberships & seen
    count = insights.call(f"{PROFILES}/$count")
    assert (count.status_code, count.content.decode("utf-8-sig")) == (200, str(len(seen)))
    units = {row["_owningbusinessunit_value"] for row in insights.rows(PROFILES)}
    assert units == {insights.get("WhoAmI")["BusinessUnitId"]}


def test_the_user_and_its_unit(insights: Insights) -> None:
    """Both are read by the keys that WhoAmI tells; of the units, only the root has no parent."""
    who = insights.get("WhoAmI")
    root = insights.get(f"businessunits({who['BusinessUnitId']})?$select=name,_parentbusinessunitid_value")
    assert root["_parentbusinessunitid_value"] is None
    user = insights.get(f"systemusers({who['UserId']})?$select=fullname")
    assert user["fullname"].startswith("# ")
    assert user["systemuserid"] == who["UserId"]
    insights.set(user="business-unit")
    below = insights.get(f"businessunits({insights.get('WhoAmI')['BusinessUnitId']})")
    assert below["_parentbusinessunitid_value"] == root["businessunitid"]
    assert "'nickname'" in insights.error(f"systemusers({who['UserId']})?$select=nickname")[1]
    assert insights.error(f"systemusers({root['businessunitid']})", 404)[0] == "0x80040217"


def test_units_that_cannot_be_read(insights: Insights) -> None:
    """Roles may not show them; where nulls are left out, the root cannot be told either."""
    who = insights.get("WhoAmI")
    unit, user = f"businessunits({who['BusinessUnitId']})", f"systemusers({who['UserId']})"
    insights.set(null_columns=False)
    assert "_parentbusinessunitid_value" not in insights.get(unit)
    insights.set(units_readable=False)
    assert "is missing prvReadBusinessUnit privilege" in insights.error(unit, 403)[1]
    assert "is missing prvReadUser privilege" in insights.error(user, 403)[1]
