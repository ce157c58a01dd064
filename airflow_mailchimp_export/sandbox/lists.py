"""Audiences: ``/lists`` and ``/lists/{list_id}``."""

from __future__ import annotations

import secrets
from typing import Any

from airflow_mailchimp_export.sandbox.account import Account
from airflow_mailchimp_export.sandbox.calls import Answer, Call
from airflow_mailchimp_export.sandbox.choices import Plan
from airflow_mailchimp_export.sandbox.columns import Status
from airflow_mailchimp_export.sandbox.links import links
from airflow_mailchimp_export.sandbox.moments import iso
from airflow_mailchimp_export.sandbox.problems import PLAN_FORBIDS, Refused
from airflow_mailchimp_export.sandbox.reading import require, switched_on, to_object, to_page
from airflow_mailchimp_export.sandbox.state import Audience, digest_of
from airflow_mailchimp_export.sandbox.views import Shape

MAX_AUDIENCES = {Plan.FOREVER_FREE: 1, Plan.MONTHLY: 5, Plan.PAY_AS_YOU_GO: 5}

FIELDS = frozenset(
    [
        "id",
        "web_id",
        "name",
        "contact",
        "permission_reminder",
        "use_archive_bar",
        "campaign_defaults",
        "notify_on_subscribe",
        "notify_on_unsubscribe",
        "date_created",
        "list_rating",
        "email_type_option",
        "subscribe_url_short",
        "subscribe_url_long",
        "beamer_address",
        "visibility",
        "double_optin",
        "has_welcome",
        "marketing_permissions",
        "modules",
        "stats",
        "_links",
    ]
)
SHAPE: Shape = dict.fromkeys(FIELDS)
COLLECTION_SHAPE: Shape = {"lists": FIELDS, "total_items": None, "constraints": None, "_links": None}

_BODY = {
    "name": str,
    "contact": dict,
    "permission_reminder": str,
    "campaign_defaults": dict,
    "email_type_option": bool,
    "double_optin": bool,
}


def get_lists(account: Account, call: Call) -> Answer:
    """All audiences."""
    found = list(account.audiences.values())
    if "email" in call.query:
        digest = digest_of(call.query["email"])
        found = [audience for audience in found if digest in audience.by_digest]
    limit = MAX_AUDIENCES[account.settings.plan]
    content = {
        "lists": [_to_json(account, audience, call) for audience in to_page(call.query).of(found)],
        "total_items": len(found),
        "constraints": {
            "may_create": len(account.audiences) < limit,
            "max_instances": limit,
            "current_total_instances": len(account.audiences),
        },
        "_links": links(account.api_url, "/lists", "Lists"),
    }
    return Answer(call.view.apply(content), total_items=len(found))


def get_list(account: Account, call: Call) -> Answer:
    """One audience."""
    return Answer(call.view.apply(_to_json(account, account.audience(call), call)))


def post_lists(account: Account, call: Call) -> Answer:
    """A new audience, if the plan allows one more."""
    body = to_object(call)
    require(body, _BODY, *(name for name in _BODY if name != "double_optin"))
    if len(account.audiences) >= MAX_AUDIENCES[account.settings.plan]:
        raise Refused(PLAN_FORBIDS)
    audience = account.add_audience(secrets.token_hex(5), body["name"])
    audience.double_optin = body.get("double_optin", False)
    return Answer(call.view.apply(_to_json(account, audience, call)))


def _to_json(account: Account, audience: Audience, call: Call) -> dict[str, Any]:
    path = f"/lists/{audience.audience_id}"
    stats = _stats(account, audience)
    if not switched_on(call.query, "include_total_contacts"):
        stats = {name: number for name, number in stats.items() if name != "total_contacts"}
    return {
        "id": audience.audience_id,
        "web_id": 1000,
        "name": audience.name,
        **_FORMALITIES,
        "date_created": iso(audience.created),
        "list_rating": 0,
        "email_type_option": False,
        "subscribe_url_short": f"{account.url}/subscribe/{audience.audience_id}",
        "subscribe_url_long": f"{account.url}/subscribe?id={audience.audience_id}",
        "beamer_address": "",
        "visibility": "prv",
        "double_optin": audience.double_optin or account.settings.double_optin,
        "has_welcome": False,
        "marketing_permissions": False,
        "modules": [],
        "stats": stats,
        "_links": links(account.api_url, path, "Lists"),
    }


def _stats(account: Account, audience: Audience) -> dict[str, Any]:
    now = account.clock() + account.settings.clock_shift
    if audience.cached_stats is None or now - audience.cached_stats[0] >= account.settings.stats_cache:
        audience.cached_stats = (now, _counted(audience))
    return audience.cached_stats[1]


def _counted(audience: Audience) -> dict[str, Any]:
    totals = audience.statuses.totals
    return {
        "member_count": totals[Status.SUBSCRIBED],
        "total_contacts": audience.statuses.count(list(Status)),
        "unsubscribe_count": totals[Status.UNSUBSCRIBED],
        "cleaned_count": totals[Status.CLEANED],
        "member_count_since_send": totals[Status.SUBSCRIBED],
        "unsubscribe_count_since_send": totals[Status.UNSUBSCRIBED],
        "cleaned_count_since_send": totals[Status.CLEANED],
        "campaign_count": 0,
        "campaign_last_sent": "",
        "merge_field_count": len(audience.fields),
        "avg_sub_rate": 0,
        "avg_unsub_rate": 0,
        "target_sub_rate": 0,
        "open_rate": 0,
        "click_rate": 0,
        "last_sub_date": iso(audience.last_sub),
        "last_unsub_date": iso(audience.last_unsub),
    }


_FORMALITIES: dict[str, Any] = {
    "contact": {
        "company": "Sandbox",
        "address1": "1 Loopback Road",
        "address2": "",
        "city": "Localhost",
        "state": "GA",
        "zip": "30308",
        "country": "US",
        "phone": "",
    },
    "permission_reminder": "You are in a sandbox.",
    "use_archive_bar": False,
    "campaign_defaults": {
        "from_name": "Sandbox",
        "from_email": "owner@sandbox.example",
        "subject": "",
        "language": "en",
    },
    "notify_on_subscribe": "",
    "notify_on_unsubscribe": "",
}
