"""``/ping`` and the root: who is calling, and on which plan."""

from __future__ import annotations

from typing import Any

from airflow_mailchimp_export.sandbox.account import Account
from airflow_mailchimp_export.sandbox.calls import Answer, Call
from airflow_mailchimp_export.sandbox.columns import Status
from airflow_mailchimp_export.sandbox.credentials import valid_tokens
from airflow_mailchimp_export.sandbox.links import links
from airflow_mailchimp_export.sandbox.views import Shape

ACCOUNT_NAME = "Sandbox"
EMAIL = "owner@sandbox.example"
USER_ID = 131656250

ROOT_SHAPE: Shape = dict.fromkeys(
    [
        "account_id",
        "login_id",
        "account_name",
        "email",
        "first_name",
        "last_name",
        "username",
        "avatar_url",
        "role",
        "member_since",
        "pricing_plan_type",
        "first_payment",
        "account_timezone",
        "account_industry",
        "pro_enabled",
        "last_login",
        "total_subscribers",
        "contact",
        "industry_stats",
        "_links",
    ]
)


def ping(account: Account, call: Call) -> Answer:
    """Everything is well."""
    return Answer({"health_status": "Everything's Chimpy!"})


def root(account: Account, call: Call) -> Answer:
    """The account."""
    return Answer(call.view.apply(_to_json(account)))


def _to_json(account: Account) -> dict[str, Any]:
    subscribed = sum(one.statuses.totals[Status.SUBSCRIBED] for one in account.audiences.values())
    return {
        "account_id": "8d3a3db4d97663a9074efcc16",
        "login_id": str(USER_ID),
        "account_name": ACCOUNT_NAME,
        "email": EMAIL,
        "first_name": "Sandra",
        "last_name": "Box",
        "username": "sandbox",
        "avatar_url": "",
        "role": account.settings.role.value,
        "member_since": "2020-01-01T00:00:00+00:00",
        "pricing_plan_type": account.settings.plan.value,
        "first_payment": "2020-01-01T00:00:00+00:00",
        "account_timezone": "Etc/UTC",
        "account_industry": "",
        "contact": {
            "company": ACCOUNT_NAME,
            "addr1": "1 Loopback Road",
            "addr2": "",
            "city": "Localhost",
            "state": "GA",
            "zip": "30308",
            "country": "US",
        },
        "pro_enabled": False,
        "last_login": "2020-01-01T00:00:00+00:00",
        "total_subscribers": subscribed,
        "industry_stats": {"open_rate": 0.2, "bounce_rate": 0.01, "click_rate": 0.02},
        "_links": links(account.api_url, "/", "Root", [("self", "", "GET", "Response")]),
    }


def oauth_metadata(account: Account, token: str | None) -> dict[str, Any]:
    """``/oauth2/metadata``; a bad token gets 200 as well, only without ``api_endpoint``."""
    if token not in valid_tokens(account):
        return {"error": "invalid_token"}
    login = {"email": EMAIL, "avatar": None, "login_id": USER_ID, "login_name": EMAIL, "login_email": EMAIL}
    return {
        "dc": account.settings.datacenter,
        "role": account.settings.role.value,
        "accountname": ACCOUNT_NAME,
        "user_id": USER_ID,
        "login": login,
        "login_url": account.url,
        "api_endpoint": account.url,
    }
