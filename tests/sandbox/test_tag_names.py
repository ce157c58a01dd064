"""Which spellings name the same tag, in every call that names one, and how tags are renamed."""

from __future__ import annotations

from hashlib import md5
from typing import Any

import pytest

from tests.sandbox.driver import LIST, Sandbox, person

ADA = "ada@people.example"
SEGMENTS = f"{LIST}/segments"
TAGS_OF_ADA = f"{LIST}/members/{md5(ADA.encode()).hexdigest()}/tags"
SPELLINGS = ["vip", "VIP", "Vip", "  vIP "]


@pytest.fixture
def vip(sandbox: Sandbox) -> str:
    """The path of a tag that was first spelled ``Vip``, in an audience with one member, who lacks it."""
    sandbox.put({"email": ADA, "status": "subscribed"})
    return f"{SEGMENTS}/{make(sandbox, 'Vip')['id']}"


def make(sandbox: Sandbox, name: str) -> dict[str, Any]:
    """A new tag that nobody has."""
    answer = sandbox.call("POST", SEGMENTS, {"name": name, "static_segment": []})
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()
    return made


def turn(sandbox: Sandbox, name: str, status: str) -> None:
    """Give the member a tag, or take it away."""
    body = {"tags": [{"name": name, "status": status}]}
    assert sandbox.call("POST", TAGS_OF_ADA, body).status_code == 204


def all_tags(sandbox: Sandbox) -> list[str]:
    """The names of all tags of the audience."""
    return [tag["name"] for tag in sandbox.get(f"{LIST}/tag-search")["tags"]]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_batch_subscribe(sandbox: Sandbox, vip: str, spelling: str) -> None:
    """A tag in any spelling is the tag that is there, under its first spelling."""
    member = sandbox.subscribe(person(ADA, tags=[spelling]))["updated_members"][0]
    assert [tag["name"] for tag in member["tags"]] == ["Vip"]
    assert (all_tags(sandbox), sandbox.get(vip)["member_count"]) == (["Vip"], 1)


def test_several_spellings_at_once(sandbox: Sandbox) -> None:
    """Several spellings in one call are one tag, which keeps the first of them without its blanks."""
    people = person(ADA, tags=[" New", "NEW"]), person("bob@people.example", tags=["new "])
    assert [member["tags_count"] for member in sandbox.subscribe(*people)["new_members"]] == [1, 1]
    assert all_tags(sandbox) == ["New"]


def test_sync_tags(sandbox: Sandbox, vip: str) -> None:
    """With sync_tags, a tag that is sent in another spelling is kept, with the moment when it was given."""
    sandbox.put({"email": ADA, "tags": ["Vip", "Other"]})
    before = sandbox.get(TAGS_OF_ADA)["tags"][0]
    sandbox.set(clock_shift=60)
    sandbox.subscribe(person(ADA, tags=["VIP"]), sync_tags=True)
    after = sandbox.get(TAGS_OF_ADA)["tags"]
    assert (after, after[0]["name"]) == ([before], "Vip")


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_member_tags(sandbox: Sandbox, vip: str, spelling: str) -> None:
    """A member gets and loses a tag in any spelling."""
    turn(sandbox, spelling, "active")
    assert (sandbox.member(ADA)["tags"], all_tags(sandbox)) == (["Vip"], ["Vip"])
    turn(sandbox, spelling.swapcase(), "inactive")
    assert (sandbox.member(ADA)["tags"], all_tags(sandbox)) == ([], ["Vip"])


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_new_segment(sandbox: Sandbox, vip: str, spelling: str) -> None:
    """A new tag whose name differs only by case or blanks is a duplicate."""
    problem = sandbox.problem("POST", SEGMENTS, {"name": spelling, "static_segment": []})
    assert (problem["status"], problem["detail"]) == (400, "Sorry, that tag already exists.")


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_rename_to_taken(sandbox: Sandbox, vip: str, spelling: str) -> None:
    """A tag cannot take the name of another in any spelling, and keeps its own then."""
    other = make(sandbox, "Other")
    problem = sandbox.problem("PATCH", f"{SEGMENTS}/{other['id']}", {"name": spelling})
    assert problem["detail"] == "Sorry, that tag already exists."
    assert all_tags(sandbox) == ["Vip", "Other"]


def test_rename(sandbox: Sandbox, vip: str) -> None:
    """A renamed tag keeps its id and its members, and shows its new name wherever it is shown."""
    turn(sandbox, "Vip", "active")
    renamed = sandbox.call("PATCH", vip, {"name": " Very important "}).json()
    assert (renamed["name"], renamed["member_count"]) == ("Very important", 1)
    tag = {"id": renamed["id"], "name": "Very important"}
    assert sandbox.get(f"{LIST}/members/{ADA}")["tags"] == [tag]
    assert sandbox.get(TAGS_OF_ADA, fields="tags.id,tags.name")["tags"] == [tag]
    assert sandbox.subscribe(person(ADA))["updated_members"][0]["tags"] == [tag]
    assert sandbox.get(f"{LIST}/tag-search", name="very")["tags"] == [tag]
    assert sandbox.get(f"{LIST}/tag-search", name="vip")["tags"] == []


def test_old_name_is_free(sandbox: Sandbox, vip: str) -> None:
    """The name that a renamed tag had is free for another tag, and its new name leads to it."""
    turn(sandbox, "Vip", "active")
    sandbox.call("PATCH", vip, {"name": "Gold"})
    turn(sandbox, "VIP", "active")
    turn(sandbox, "gold", "active")
    assert (sandbox.member(ADA)["tags"], all_tags(sandbox)) == (["Gold", "VIP"], ["Gold", "VIP"])


def test_rename_to_another_spelling(sandbox: Sandbox, vip: str) -> None:
    """A tag can take another spelling of its own name."""
    assert sandbox.call("PATCH", vip, {"name": "VIP"}).json()["name"] == "VIP"
    turn(sandbox, "vip", "active")
    assert sandbox.member(ADA)["tags"] == ["VIP"]


def test_deleted_name_is_free(sandbox: Sandbox, vip: str) -> None:
    """The name of a deleted tag is free, in any spelling."""
    sandbox.call("DELETE", vip)
    turn(sandbox, "VIP", "active")
    assert sandbox.member(ADA)["tags"] == ["VIP"]


@pytest.mark.parametrize(("name", "found"), [("v", ["Vip", "VIEWER"]), (" VI", ["Vip", "VIEWER"]), ("x", [])])
def test_search(sandbox: Sandbox, vip: str, name: str, found: list[str]) -> None:
    """The search finds tags by how they begin, in any spelling."""
    make(sandbox, "VIEWER")
    make(sandbox, "Other")
    assert [tag["name"] for tag in sandbox.get(f"{LIST}/tag-search", name=name)["tags"]] == found


def test_other_scripts(sandbox: Sandbox, vip: str) -> None:
    """Letters of every script are folded, also where a capital has two small letters."""
    sandbox.subscribe(person(ADA, tags=["Großkunde", "ΣΟΦΟΣ"]))
    sandbox.subscribe(person(ADA, tags=["GROSSKUNDE", "σοφος"]))
    assert sandbox.member(ADA)["tags"] == ["Großkunde", "ΣΟΦΟΣ"]


def test_saved_segment_is_no_tag(sandbox: Sandbox, vip: str) -> None:
    """A member's tag with the name of a saved segment is a tag of its own, and nobody is in the segment."""
    saved = sandbox.call("POST", SEGMENTS, {"name": "Smart", "options": {}}).json()
    turn(sandbox, "smart", "active")
    assert (sandbox.member(ADA)["tags"], all_tags(sandbox)) == (["smart"], ["Vip", "smart"])
    assert sandbox.get(f"{SEGMENTS}/{saved['id']}")["member_count"] == 0
    assert sandbox.problem("POST", SEGMENTS, {"name": "SMART", "options": {}})["status"] == 400


def test_to_the_letter(sandbox: Sandbox, vip: str) -> None:
    """Set so, each spelling is a tag of its own, in every call."""
    sandbox.set(tags_fold_case=False)
    sandbox.subscribe(person(ADA, tags=["VIP", " vip"]))
    turn(sandbox, "vIP", "active")
    make(sandbox, "vip")
    assert all_tags(sandbox) == ["Vip", "VIP", " vip", "vIP", "vip"]
    turn(sandbox, "vip", "inactive")
    assert sandbox.member(ADA)["tags"] == ["VIP", " vip", "vIP"]
    assert sandbox.call("PATCH", vip, {"name": "ViP"}).status_code == 200
    assert sandbox.get(f"{LIST}/tag-search", name="V")["total_items"] == 2


def test_switched_back(sandbox: Sandbox, vip: str) -> None:
    """Folded again, spellings that have become tags of their own lead to the oldest of them."""
    sandbox.set(tags_fold_case=False)
    make(sandbox, "VIP")
    sandbox.set(tags_fold_case=True)
    turn(sandbox, "VIP", "active")
    assert sandbox.member(ADA)["tags"] == ["Vip"]
