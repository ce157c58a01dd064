"""What the page of connections shows of each; never its key, password or login."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.pages.connection_rights import (
    connection_rights,
    readable_exports,
    tests_are_enabled,
)
from airflow_mailchimp_export.pages.kept_connections import kept_settings, mailchimp_connections
from airflow_mailchimp_export.pages.last_checks import last_checks
from airflow_mailchimp_export.provider_info import CONSENT_TEXT
from airflow_mailchimp_export.settings.pages import AccountPlace

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from airflow_mailchimp_export.pages.kept_connections import Kept
    from airflow_mailchimp_export.settings.connection import ConnectionSettings


def connections_shown(user: Any, session: Session) -> dict[str, Any]:
    """Return all that the page shows: a row for each Mailchimp connection that the user may read."""
    listed = mailchimp_connections(session)
    rights = {one.conn_id: connection_rights(user, session, one.conn_id) for one in listed}
    found = [one for one in listed if rights[one.conn_id].read]
    checks = last_checks(session, [one.conn_id for one in found])
    told_of = {point["dag_id"] for check in checks.values() for point in check["points"]} - {""}
    readable = readable_exports(user, session, told_of) if told_of else frozenset()
    return {
        "tests_enabled": tests_are_enabled(),
        "agreement": CONSENT_TEXT,
        "connections": [
            {
                **_row(session, one),
                "may_check": rights[one.conn_id].test,
                "may_edit": rights[one.conn_id].edit,
                "check": _check(checks.get(one.conn_id), one.mark, readable),
            }
            for one in found
        ],
    }


def _row(session: Session, kept: Kept) -> dict[str, Any]:
    about = {"connection_id": kept.conn_id, "description": kept.description}
    try:
        settings = kept_settings(session, kept.conn_id)
    except ConfigError as error:
        problem = {"message": error.happened, "remedy": error.remedy}
        return {
            **about,
            "data_center": "",
            "audience_id": "",
            "responsible": "",
            "consent": None,
            "problem": problem,
        }
    return {
        **about,
        "data_center": _data_center(settings),
        "audience_id": settings.audience_id or "",
        "responsible": settings.export_user,
        "consent": _consent(settings),
        "problem": None,
    }


def _data_center(settings: ConnectionSettings) -> str:
    return AccountPlace.at(settings.base_url, settings.server_prefix).data_center if settings.base_url else ""


def _consent(settings: ConnectionSettings) -> dict[str, Any]:
    evidence = settings.evidence
    return {
        "given": settings.data_privacy_consent,
        "agreed": asdict(evidence.agreed) if evidence.agreed else None,
        "withdrawn": asdict(evidence.withdrawn) if evidence.withdrawn else None,
        "flaws": list(evidence.flaws),
    }


def _check(check: Mapping[str, Any] | None, mark: str, readable: Collection[str]) -> dict[str, Any] | None:
    """Return a check without what it says of exports that the reader may not see."""
    if check is None:
        return None
    seen = [point for point in check["points"] if not point["dag_id"] or point["dag_id"] in readable]
    return {
        "at": check["at"],
        "by": check["by"],
        "is_outdated": check["mark"] != mark,
        "hidden": len(check["points"]) - len(seen),
        "points": seen,
    }
