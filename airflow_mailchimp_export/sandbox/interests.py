"""Interest categories and their interests, as far as an export needs them."""

from __future__ import annotations

import secrets
from typing import Any

from airflow_mailchimp_export.sandbox.account import Account
from airflow_mailchimp_export.sandbox.calls import Answer, Call
from airflow_mailchimp_export.sandbox.links import links
from airflow_mailchimp_export.sandbox.problems import INVALID_RESOURCE, NOT_FOUND, Refused
from airflow_mailchimp_export.sandbox.reading import require, require_choice, to_object, to_page
from airflow_mailchimp_export.sandbox.state import Audience, InterestCategory
from airflow_mailchimp_export.sandbox.views import Shape

MAX_INTERESTS = 60
"""Group names per audience."""

TYPES = ("checkboxes", "dropdown", "radio", "hidden")
CATEGORY_FIELDS = frozenset({"list_id", "id", "title", "display_order", "type", "_links"})
INTEREST_FIELDS = frozenset(
    {"category_id", "list_id", "id", "name", "subscriber_count", "display_order", "_links"}
)
CATEGORIES_SHAPE: Shape = {
    "categories": CATEGORY_FIELDS,
    "list_id": None,
    "total_items": None,
    "_links": None,
}
INTERESTS_SHAPE: Shape = {
    "interests": INTEREST_FIELDS,
    "list_id": None,
    "category_id": None,
    "total_items": None,
    "_links": None,
}


def get_categories(account: Account, call: Call) -> Answer:
    """One page of the categories."""
    audience = account.audience(call)
    found = list(audience.categories.values())
    content = {
        "list_id": audience.audience_id,
        "categories": [_category(account, audience, one) for one in to_page(call.query).of(found)],
        "total_items": len(found),
        "_links": links(account.api_url, call.path, "Lists/InterestCategories"),
    }
    return Answer(call.view.apply(content), total_items=len(found))


def post_categories(account: Account, call: Call) -> Answer:
    """A new category."""
    audience, body = account.audience(call), to_object(call)
    require(body, {"title": str, "type": str, "display_order": int}, "title", "type")
    require_choice(body, "type", TYPES)
    one = InterestCategory(secrets.token_hex(5), body["title"], body["type"], body.get("display_order", 0))
    audience.categories[one.category_id] = one
    return Answer(call.view.apply(_category(account, audience, one)))


def get_interests(account: Account, call: Call) -> Answer:
    """One page of a category's interests."""
    audience = account.audience(call)
    category = _known(audience, call)
    found = list(category.interests)
    content = {
        "interests": [_interest(account, audience, category, one) for one in to_page(call.query).of(found)],
        "list_id": audience.audience_id,
        "category_id": category.category_id,
        "total_items": len(found),
        "_links": links(account.api_url, call.path, "Lists/InterestCategories/Interests"),
    }
    return Answer(call.view.apply(content), total_items=len(found))


def post_interests(account: Account, call: Call) -> Answer:
    """A new interest."""
    audience, body = account.audience(call), to_object(call)
    category = _known(audience, call)
    require(body, {"name": str}, "name")
    if len(audience.interest_ids) >= MAX_INTERESTS:
        raise Refused(INVALID_RESOURCE.saying(f"Cannot have more than {MAX_INTERESTS} interests per list."))
    interest_id = secrets.token_hex(5)
    category.interests[interest_id] = body["name"]
    return Answer(call.view.apply(_interest(account, audience, category, interest_id)))


def _known(audience: Audience, call: Call) -> InterestCategory:
    found = audience.categories.get(call.args["interest_category_id"])
    if found is None:
        raise Refused(NOT_FOUND)
    return found


def _category(account: Account, audience: Audience, one: InterestCategory) -> dict[str, Any]:
    path = f"/lists/{audience.audience_id}/interest-categories/{one.category_id}"
    return {
        "list_id": audience.audience_id,
        "id": one.category_id,
        "title": one.title,
        "display_order": one.display_order,
        "type": one.type,
        "_links": links(account.api_url, path, "Lists/InterestCategories"),
    }


def _interest(
    account: Account, audience: Audience, category: InterestCategory, interest_id: str
) -> dict[str, Any]:
    path = f"/lists/{audience.audience_id}/interest-categories/{category.category_id}/interests/{interest_id}"
    # Mailchimp gives the number of subscribers as a string.
    return {
        "category_id": category.category_id,
        "list_id": audience.audience_id,
        "id": interest_id,
        "name": category.interests[interest_id],
        "subscriber_count": "0",
        "display_order": list(category.interests).index(interest_id) + 1,
        "_links": links(account.api_url, path, "Lists/InterestCategories/Interests"),
    }
