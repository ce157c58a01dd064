"""``fields`` and ``exclude_fields``: which parts of an answer are wanted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import orjson

from airflow_mailchimp_export.sandbox.problems import BAD_FIELDS, Refused

Tree: TypeAlias = dict[str, Any]
Shape: TypeAlias = Mapping[str, frozenset[str] | None]
"""Names at the top of an answer, each with those below it where these are fixed."""


@dataclass(frozen=True, slots=True)
class Projection:
    """A tree of names to keep, or to leave out; without a tree, everything is kept."""

    tree: Tree | None = None
    exclude: bool = False

    def sub(self, name: str) -> Projection | None:
        """What is wanted below this name; None: nothing."""
        if self.tree is None:
            return self
        below = self.tree.get(name)
        if below is None:
            return WHOLE if self.exclude else None
        if below:
            return Projection(below, self.exclude)
        return None if self.exclude else WHOLE

    def apply(self, value: Any) -> Any:
        """The wanted part of a JSON value."""
        if self.tree is None:
            return value
        if isinstance(value, orjson.Fragment):
            value = orjson.loads(orjson.dumps(value))
        if isinstance(value, list):
            return [self.apply(item) for item in value]
        if isinstance(value, dict):
            wanted = ((name, self.sub(name), item) for name, item in value.items())
            return {name: view.apply(item) for name, view, item in wanted if view is not None}
        return value


WHOLE = Projection()


def to_projection(query: Mapping[str, str], shape: Shape) -> Projection:
    """Read both parameters; a name that the resource does not have is refused."""
    kept, dropped = query.get("fields", ""), query.get("exclude_fields", "")
    if kept and dropped:
        raise Refused(BAD_FIELDS.saying("The fields and exclude_fields parameters are mutually exclusive."))
    names = [name.strip() for name in (kept or dropped).split(",") if name.strip()]
    for name in names:
        _check(name, shape)
    return Projection(_to_tree(names), exclude=bool(dropped)) if names else WHOLE


def _check(name: str, shape: Shape) -> None:
    top, _, below = name.partition(".")
    known = shape.get(top, frozenset())
    within = known is None or not below or below.partition(".")[0] in known
    if top not in shape or not within:
        raise Refused(BAD_FIELDS.saying(f"The field '{name}' is not part of this resource."))


def _to_tree(names: Iterable[str]) -> Tree:
    tree: Tree = {}
    for name in sorted(names, key=len, reverse=True):
        node = tree
        *path, leaf = name.split(".")
        for part in path:
            node = node.setdefault(part, {})
        node[leaf] = {}
    return tree
