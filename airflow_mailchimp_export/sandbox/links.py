"""The ``_links`` of answers."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import TypeAlias

import orjson

Link: TypeAlias = tuple[str, str, str, str]
"""Relation, path below the resource, method and schema."""

_MARK = b"\x00"
_MARK_JSON = b"\\u0000"

_MEMBER_LINKS: tuple[Link, ...] = (
    ("self", "", "GET", "Response"),
    ("parent", "..", "GET", "CollectionResponse"),
    ("update", "", "PATCH", "Response"),
    ("upsert", "", "PUT", "Response"),
    ("delete", "", "DELETE", ""),
    ("activity", "/activity", "GET", "Activity/Response"),
    ("goals", "/goals", "GET", "Goals/Response"),
    ("notes", "/notes", "GET", "Notes/CollectionResponse"),
    ("events", "/events", "POST", "Events/POST"),
    ("delete_permanent", "/actions/delete-permanent", "POST", ""),
)


def links(api_url: str, path: str, schema: str, relations: Iterable[Link] = ()) -> list[dict[str, str]]:
    """Links of one resource; without relations only to itself and its parent."""
    wanted = tuple(relations) or (
        ("self", "", "GET", "Response"),
        ("parent", "..", "GET", "CollectionResponse"),
    )
    return [_link(api_url, path, schema, relation) for relation in wanted]


def _link(api_url: str, path: str, schema: str, relation: Link) -> dict[str, str]:
    rel, below, method, kind = relation
    target = path.rpartition("/")[0] if below == ".." else path + below
    link = {"rel": rel, "href": f"{api_url}{target}", "method": method}
    definitions = f"{api_url.removesuffix('/3.0')}/schema/3.0/Definitions/{schema}"
    if kind:
        link["targetSchema"] = f"{definitions}/{kind}.json"
    if method in {"PATCH", "PUT", "POST"} and kind:
        link["schema"] = f"{definitions}/{method}.json"
    if kind == "CollectionResponse":
        link["schema"] = f"{api_url.removesuffix('/3.0')}/schema/3.0/Paths/{schema}/Collection.json"
    return link


@lru_cache
def member_links(api_url: str, audience_id: str) -> list[bytes]:
    """The links of a member as JSON, cut where the member's hash belongs."""
    path = f"/lists/{audience_id}/members/{_MARK.decode()}"
    return orjson.dumps(links(api_url, path, "Lists/Members", _MEMBER_LINKS)).split(_MARK_JSON)
