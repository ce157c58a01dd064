"""The last check of each connection, kept where every API server finds it after a restart.

That is a Variable of Airflow, for a plugin has no table of its own: all API servers share the metastore, and who may
read connections usually may read Variables. It holds no key and nobody's address but the user's name.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow.models.variable import Variable
from sqlalchemy import select

from airflow_mailchimp_export.findings import Mark, Topic
from airflow_mailchimp_export.settings.coercion import moment

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from airflow_mailchimp_export.findings import Point

PREFIX = "airflow_mailchimp_export.check."
_LONGEST_KEY = 250
_TEXTS = ("topic", "mark", "says", "remedy", "dag_id")


def keep_check(
    session: Session, conn_id: str, points: Iterable[Point], *, by: str, at: str, mark: str
) -> None:
    """Put a check in the place of the one before.

    :param by: who asked for it.
    :param at: when, in ISO 8601, UTC.
    :param mark: of the connection as it was looked at.
    """
    check = {
        "connection": conn_id,
        "by": by,
        "at": at,
        "mark": mark,
        "points": [asdict(point) for point in points],
    }
    Variable.set(
        _key(conn_id),
        check,
        description=f"The last check of the Mailchimp connection {conn_id}; it may be deleted",
        serialize_json=True,
        session=session,
    )


def last_checks(session: Session, conn_ids: Collection[str]) -> dict[str, dict[str, Any]]:
    """Return the last check of each connection that has one; what somebody else wrote in its place is none."""
    keys = {_key(conn_id): conn_id for conn_id in conn_ids}
    kept = session.scalars(select(Variable).where(Variable.key.in_(keys)))
    found = {keys[variable.key]: _parsed(variable.val) for variable in kept}
    return {
        conn_id: check for conn_id, check in found.items() if check and check.get("connection") == conn_id
    }


def _key(conn_id: str) -> str:
    key = f"{PREFIX}{conn_id}"
    return key if len(key) <= _LONGEST_KEY else PREFIX + hashlib.sha256(conn_id.encode()).hexdigest()


def _parsed(value: str | None) -> dict[str, Any] | None:
    try:
        check = json.loads(value or "")
        moment(check["at"])
    except (ValueError, RecursionError, TypeError, LookupError):
        return None
    if not isinstance(check, dict) or not _has_texts(check, "connection", "by", "at", "mark"):
        return None
    points = check.get("points")
    return check if isinstance(points, list) and all(map(_is_point, points)) else None


def _is_point(value: object) -> bool:
    return (
        isinstance(value, dict)
        and _has_texts(value, *_TEXTS)
        and value["topic"] in {*Topic}
        and value["mark"] in {*Mark}
    )


def _has_texts(value: dict[str, Any], *keys: str) -> bool:
    return all(isinstance(value.get(key), str) for key in keys)
