"""Calls about accounts, and about audiences with their merge fields and tags."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from airflow_mailchimp_export.mailchimp.calls.shared import PAGE_SIZE, list_path
from airflow_mailchimp_export.mailchimp.protocol import Call, Request
from airflow_mailchimp_export.model import Audience, MergeField


@dataclass(frozen=True, slots=True)
class Account:
    """Whose key it is."""

    name: str
    role: str
    plan: str
    contacts: int


def account() -> Call[Account]:
    """Ask whose key it is."""
    query = (("fields", "account_name,role,pricing_plan_type,total_subscribers"),)
    return Call(Request("GET", "/", query), _to_account)


def _to_account(answer: Mapping[str, Any]) -> Account:
    return Account(
        name=str(answer["account_name"]),
        role=str(answer.get("role", "")),
        plan=str(answer.get("pricing_plan_type", "")),
        contacts=int(answer.get("total_subscribers") or 0),
    )


@dataclass(frozen=True, slots=True)
class Home:
    """Where an OAuth token's account lives.

    :param endpoint: of the API; empty for a bad token, which is answered with 200 too.
    """

    endpoint: str = ""
    data_center: str = ""


def oauth_home() -> Call[Home]:
    """Ask where an OAuth token's account lives."""
    return Call(Request("GET", ""), lambda answer: _to_home(answer or {}))


def _to_home(answer: Mapping[str, Any]) -> Home:
    return Home(str(answer.get("api_endpoint") or ""), str(answer.get("dc") or ""))


def audience(audience_id: str) -> Call[Audience]:
    """Ask for an audience, without its merge fields."""
    query = (("fields", "id,web_id,name,double_optin,stats.member_count"),)
    return Call(Request("GET", list_path(audience_id), query), _to_audience)


def audiences(count: int) -> Call[tuple[list[Audience], int]]:
    """Ask for the first few audiences of the account, and how many there are."""
    query = (("fields", "lists.id,lists.name,total_items"), ("count", str(count)))
    return Call(
        Request("GET", "/lists", query),
        lambda answer: ([*map(_to_audience, answer["lists"])], int(answer["total_items"])),
    )


def _to_audience(answer: Mapping[str, Any]) -> Audience:
    stats = answer.get("stats") or {}
    return Audience(
        id=str(answer["id"]),
        name=str(answer.get("name", "")),
        double_optin=bool(answer.get("double_optin")),
        member_count=int(stats.get("member_count") or 0),
        web_id=min(int(answer.get("web_id") or 0), _MOST_WEB_ID),
    )


_MOST_WEB_ID = 2**53 - 1


def merge_fields(audience_id: str) -> Call[dict[str, MergeField]]:
    """Ask for the merge fields of an audience, by tag."""
    query = (("count", str(PAGE_SIZE)),)
    return Call(Request("GET", f"{list_path(audience_id)}/merge-fields", query), _to_merge_fields)


def _to_merge_fields(answer: Mapping[str, Any]) -> dict[str, MergeField]:
    fields = (_to_merge_field(item) for item in answer["merge_fields"])
    return {field.tag: field for field in fields}


def _to_merge_field(item: Mapping[str, Any]) -> MergeField:
    options = item.get("options") or {}
    return MergeField(
        tag=str(item["tag"]),
        name=str(item.get("name", "")),
        type=str(item["type"]),
        required=bool(item.get("required")),
        choices=tuple(map(str, options.get("choices") or ())),
        phone_format=str(options.get("phone_format") or ""),
        default_country=str(options.get("default_country") or ""),
    )


def create_merge_field(audience_id: str, field: MergeField) -> Call[MergeField]:
    """Add a merge field to an audience."""
    body = orjson.dumps({"tag": field.tag, "name": field.name, "type": field.type})
    return Call(Request("POST", f"{list_path(audience_id)}/merge-fields", body=body), _to_merge_field)


def tags(audience_id: str) -> Call[dict[str, int]]:
    """Ask for the ids of all tags of an audience, by name."""
    return Call(
        Request("GET", f"{list_path(audience_id)}/tag-search"),
        lambda answer: {str(tag["name"]): int(tag["id"]) for tag in answer["tags"]},
    )
