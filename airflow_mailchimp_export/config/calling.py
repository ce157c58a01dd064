"""A refresh that another system does, as keys of a configuration: how it is called, and how it tells its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, WithJsonSchema

from airflow_mailchimp_export.config.entry import Entry
from airflow_mailchimp_export.config.values import Hours, Line, Names, Seconds
from airflow_mailchimp_export.settings.coercion import InvalidValue, single_line

METHODS: Final = ("POST", "GET", "PUT", "PATCH")


def _method(value: object) -> str:
    method = single_line(value).upper()
    if method not in METHODS:
        raise InvalidValue(f"one of {', '.join(METHODS)}")
    return method


def _headers(value: object) -> dict[str, str]:
    if not isinstance(value, Mapping) or not all(isinstance(one, str) for one in value.values()):
        raise InvalidValue("a mapping of names and texts")
    return {single_line(name): single_line(text) for name, text in value.items()}


def _data(value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidValue("a mapping, which is sent as JSON")
    return dict(value)


_OBJECT = WithJsonSchema({"type": "object"})


class Done(Entry):
    """How the other system tells that it is done."""

    endpoint: Line = Field(
        description="what is asked, below the connection's host; {job.id} is what the call was answered at that path"
    )
    path: Line = Field(default="state", description="where the state stands in the answer, such as job.state")
    values: Names = Field(description="the states that mean that it is done")
    failed: Names = Field(default=(), description="the states that mean that it never will be")


class Http(Entry):
    """How another system is called that does the refreshing."""

    conn_id: Line = Field(description="the Airflow connection of the system, of type HTTP")
    endpoint: Line = Field(description="what is called, below the connection's host")
    method: Annotated[str, BeforeValidator(_method), WithJsonSchema({"enum": [*METHODS]})] = Field(
        default="POST", description="how it is called"
    )
    data: Annotated[dict[str, Any], BeforeValidator(_data), _OBJECT] = Field(
        default={}, description="what is sent along, as JSON"
    )
    headers: Annotated[dict[str, str], BeforeValidator(_headers), _OBJECT] = Field(
        default={}, description="further headers; keys and passwords belong to the connection"
    )
    done: Done | None = Field(
        default=None, description="how it tells that it is done; unless set, it is done when it has answered"
    )
    poll: Seconds = Field(default=30.0, description="seconds between two looks")
    timeout_hours: Hours = Field(default=6.0, description="after how many hours waiting is given up")
