"""The official ``mailchimp-marketing`` package against the sandbox, over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mailchimp_marketing
import pytest
from mailchimp_marketing.api_client import ApiClientError

from airflow_mailchimp_export.sandbox.account import AUDIENCE_ID
from tests.sandbox.driver import Sandbox, download, person, unpack

ADA, BOB = "ada@people.example", "bob@people.example"


@pytest.fixture
def client(sandbox: Sandbox) -> mailchimp_marketing.Client:
    """The official client, pointed at the sandbox."""
    client = mailchimp_marketing.Client({"api_key": sandbox.key, "server": "us0"})
    client.api_client.host = f"{sandbox.url}/3.0"
    return client


@pytest.fixture
def ada(client: mailchimp_marketing.Client) -> str:
    """The hash of a subscribed member with a tag."""
    member = client.lists.add_list_member(AUDIENCE_ID, {**person(ADA), "tags": ["VIP"]})
    return str(member["id"])


@pytest.fixture
def segment_id(client: mailchimp_marketing.Client, ada: str) -> str:
    """The id of an empty tag."""
    return str(client.lists.create_segment(AUDIENCE_ID, {"name": "Spring", "static_segment": []})["id"])


@pytest.fixture
def category_id(client: mailchimp_marketing.Client) -> str:
    """The id of an interest category."""
    body = {"title": "Colours", "type": "checkboxes"}
    return str(client.lists.create_list_interest_category(AUDIENCE_ID, body)["id"])


def test_ping(client: mailchimp_marketing.Client) -> None:
    """The official client finds everything chimpy."""
    assert client.ping.get() == {"health_status": "Everything's Chimpy!"}


def test_root(client: mailchimp_marketing.Client) -> None:
    """The official client reads selected fields of the account."""
    account = client.root.get_root(fields=["role", "pricing_plan_type", "contact.country"])
    assert account == {"role": "admin", "pricing_plan_type": "monthly", "contact": {"country": "US"}}


def test_oauth_token(sandbox: Sandbox) -> None:
    """The official client gets in with an OAuth token as well."""
    client = mailchimp_marketing.Client(
        {"access_token": sandbox.control("/settings")["oauth_token"], "server": "us0"}
    )
    client.api_client.host = f"{sandbox.url}/3.0"
    assert client.ping.get()["health_status"]


def test_error(client: mailchimp_marketing.Client) -> None:
    """The official client raises its error with the problem document as text."""
    with pytest.raises(ApiClientError) as raised:
        client.lists.get_list("0000000000")
    assert raised.value.status_code == 404
    assert '"title":"Resource Not Found"' in raised.value.text


def test_lists(client: mailchimp_marketing.Client) -> None:
    """The official client finds the audience and may make another."""
    found = client.lists.get_all_lists(count=1000)
    assert [one["id"] for one in found["lists"]] == [AUDIENCE_ID]
    assert client.lists.get_list(AUDIENCE_ID, include_total_contacts=True)["stats"]["total_contacts"] == 0
    body = {"name": "Second", "permission_reminder": "", "email_type_option": False}
    made = client.lists.create_list(
        {**body, "permission_reminder": "x", "contact": {"a": 1}, "campaign_defaults": {"a": 1}}
    )
    assert made["name"] == "Second"


def test_batch_list_members(client: mailchimp_marketing.Client, ada: str) -> None:
    """The official client sends members in bulk and learns what became of each."""
    body = {"members": [person(ADA), person(BOB), person("nobody")], "update_existing": True}
    answer = client.lists.batch_list_members(AUDIENCE_ID, body, skip_merge_validation=True)
    assert [answer[name] for name in ("total_created", "total_updated", "error_count")] == [1, 1, 1]


def test_members_info(client: mailchimp_marketing.Client, ada: str) -> None:
    """The official client reads a page of members, with only the fields that it names."""
    found = client.lists.get_list_members_info(
        AUDIENCE_ID, count=1000, status="subscribed", fields=["members.id", "total_items"]
    )
    assert found == {"members": [{"id": ada}], "total_items": 1}


def test_one_member(client: mailchimp_marketing.Client, ada: str) -> None:
    """The official client reads, changes, upserts, archives and erases a member."""
    assert client.lists.get_list_member(AUDIENCE_ID, ada)["email_address"] == ADA
    changed = client.lists.update_list_member(AUDIENCE_ID, ada, {"merge_fields": {"FNAME": "Ada"}})
    assert changed["full_name"] == "Ada"
    upserted = client.lists.set_list_member(
        AUDIENCE_ID, ada, {"email_address": ADA, "status_if_new": "pending"}
    )
    assert upserted["status"] == "subscribed"
    assert client.lists.delete_list_member(AUDIENCE_ID, ada).status_code == 204
    assert client.lists.get_list_member(AUDIENCE_ID, ada)["status"] == "archived"
    assert client.lists.delete_list_member_permanent(AUDIENCE_ID, ada).status_code == 204
    with pytest.raises(ApiClientError):
        client.lists.get_list_member(AUDIENCE_ID, ada)


def test_member_tags(client: mailchimp_marketing.Client, ada: str) -> None:
    """The official client changes the tags of a member and finds tags by name."""
    body = {"tags": [{"name": "VIP", "status": "inactive"}, {"name": "Spring", "status": "active"}]}
    assert client.lists.update_list_member_tags(AUDIENCE_ID, ada, body).status_code == 204
    found = client.lists.get_list_member_tags(AUDIENCE_ID, ada)
    assert [tag["name"] for tag in found["tags"]] == ["Spring"]
    assert client.lists.tag_search(AUDIENCE_ID, name="Spr")["total_items"] == 1


def test_segments(client: mailchimp_marketing.Client, segment_id: str) -> None:
    """The official client lists, reads, renames and deletes a segment."""
    assert {one["name"] for one in client.lists.list_segments(AUDIENCE_ID)["segments"]} == {"VIP", "Spring"}
    assert client.lists.get_segment(AUDIENCE_ID, segment_id)["type"] == "static"
    renamed = client.lists.update_segment(AUDIENCE_ID, segment_id, {"name": "Summer"})
    assert renamed["name"] == "Summer"
    assert client.lists.delete_segment(AUDIENCE_ID, segment_id).status_code == 204


def test_segment_members(client: mailchimp_marketing.Client, segment_id: str, ada: str) -> None:
    """The official client adds and removes members of a segment, one by one and in bulk."""
    added = client.lists.create_segment_member(AUDIENCE_ID, segment_id, {"email_address": ADA})
    assert added["id"] == ada
    found = client.lists.get_segment_members_list(AUDIENCE_ID, segment_id)
    assert [member["id"] for member in found["members"]] == [ada]
    assert client.lists.remove_segment_member(AUDIENCE_ID, segment_id, ada).status_code == 204
    answer = client.lists.batch_segment_members({"members_to_add": [ADA]}, AUDIENCE_ID, segment_id)
    assert answer["total_added"] == 1


def test_merge_fields(client: mailchimp_marketing.Client) -> None:
    """The official client lists, adds, reads, renames and deletes merge fields."""
    made = client.lists.add_list_merge_field(AUDIENCE_ID, {"name": "Town", "type": "text", "tag": "TOWN"})
    merge_id = str(made["merge_id"])
    found = client.lists.get_list_merge_fields(AUDIENCE_ID, count=1000)["merge_fields"]
    assert [one["tag"] for one in found] == ["FNAME", "LNAME", "ADDRESS", "PHONE", "BIRTHDAY", "TOWN"]
    assert client.lists.get_list_merge_field(AUDIENCE_ID, merge_id)["name"] == "Town"
    assert client.lists.update_list_merge_field(AUDIENCE_ID, merge_id, {"name": "City"})["name"] == "City"
    assert client.lists.delete_list_merge_field(AUDIENCE_ID, merge_id).status_code == 204


def test_interests(client: mailchimp_marketing.Client, category_id: str) -> None:
    """The official client makes and lists interest categories and their interests."""
    client.lists.create_interest_category_interest(AUDIENCE_ID, category_id, {"name": "Green"})
    categories = client.lists.get_list_interest_categories(AUDIENCE_ID)["categories"]
    assert [one["title"] for one in categories] == ["Colours"]
    interests = client.lists.list_interest_category_interests(AUDIENCE_ID, category_id)["interests"]
    assert [one["name"] for one in interests] == ["Green"]


def test_batches(client: mailchimp_marketing.Client, sandbox: Sandbox) -> None:
    """The official client starts a batch, watches it, lists it and deletes it."""
    batch = client.batches.start({"operations": [{"method": "GET", "path": "/ping", "operation_id": "one"}]})
    assert (batch["status"], batch["total_operations"]) == ("pending", 0)
    finished = sandbox.wait_for(batch["id"])
    assert client.batches.status(batch["id"])["finished_operations"] == 1
    assert unpack(download(finished).content)[0]["operation_id"] == "one"
    assert client.batches.list()["total_items"] == 1
    assert client.batches.delete_request(batch["id"]).status_code == 204


@pytest.mark.parametrize(
    "forbidden",
    [
        lambda client, ada: client.lists.delete_list_member(AUDIENCE_ID, ada),
        lambda client, ada: client.lists.batch_list_members(AUDIENCE_ID, {"members": []}),
        lambda client, ada: client.batches.start({"operations": []}),
    ],
)
def test_viewer(
    client: mailchimp_marketing.Client, sandbox: Sandbox, ada: str, forbidden: Callable[..., Any]
) -> None:
    """A viewer may read, but every write is forbidden."""
    sandbox.set(role="viewer")
    assert client.lists.get_list_member(AUDIENCE_ID, ada)["id"] == ada
    with pytest.raises(ApiClientError) as raised:
        forbidden(client, ada)
    assert raised.value.status_code == 403
