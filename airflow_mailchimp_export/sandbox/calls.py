"""A call and its answer, as handlers see them: outside calls and operations of a batch look the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from airflow_mailchimp_export.sandbox.views import WHOLE, Projection


@dataclass(frozen=True, slots=True)
class Call:
    """One request, already read."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    payload: Any = None
    caller: str = "127.0.0.1"
    args: Mapping[str, str] = field(default_factory=dict)
    view: Projection = WHOLE


@dataclass(frozen=True, slots=True)
class Answer:
    """What a handler gives back; without content it is an empty 204."""

    content: Any = None
    total_items: int = 0


def to_query(text: str) -> dict[str, str]:
    """The parameters; one that is given several times becomes a comma-separated list."""
    query: dict[str, str] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        query[name] = f"{query[name]},{value}" if name in query else value
    return query
