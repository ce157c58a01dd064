"""From method and path to a handler; calls from outside and operations of a batch take the same way."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias
from urllib.parse import unquote

from airflow_mailchimp_export.sandbox.account import Account
from airflow_mailchimp_export.sandbox.calls import Answer, Call
from airflow_mailchimp_export.sandbox.problems import (
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    TOO_DEEP,
    Problem,
)
from airflow_mailchimp_export.sandbox.views import Shape

DEEPEST = 8

Handler: TypeAlias = Callable[[Account, Call], Answer]


@dataclass(frozen=True, slots=True)
class Route:
    """One operation of the API."""

    method: str
    template: str
    handler: Handler
    shape: Shape = field(default_factory=dict)
    collection: bool = False
    """A GET without ``count`` inside a batch fetches all pages of a collection."""


class Router:
    """Finds routes by the segments of their path."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._tree: dict[str, Any] = {}
        for route in routes:
            node = self._tree
            for part in _parts(route.template):
                node = node.setdefault("*" if part.startswith("{") else part, {})
            node.setdefault("", {})[route.method] = route

    def match(self, method: str, path: str) -> tuple[Route, dict[str, str]] | Problem:
        """The route and what its placeholders stand for, or the problem to answer with."""
        parts = _parts(path)
        if len(parts) > DEEPEST:
            return TOO_DEEP
        node = self._tree
        for part in parts:
            node = node.get(part) or node.get("*") or {}
        routes: dict[str, Route] = node.get("", {})
        if not routes:
            return NOT_FOUND
        if method not in routes:
            return replace(METHOD_NOT_ALLOWED, allow=tuple(routes))
        route = routes[method]
        names = _parts(route.template)
        return route, {name[1:-1]: part for name, part in zip(names, parts, strict=True) if name[0] == "{"}


def _parts(path: str) -> list[str]:
    return [unquote(part) for part in path.strip("/").split("/") if part]
