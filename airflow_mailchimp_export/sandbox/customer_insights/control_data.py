"""``/sandbox/...``: what happens to the data while somebody reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from airflow_mailchimp_export.sandbox.control_json import Missing, explained, read_object, to_response
from airflow_mailchimp_export.sandbox.customer_insights.blob_export import export_path, write_export
from airflow_mailchimp_export.sandbox.customer_insights.changes import (
    put_memberships,
    put_profiles,
    remove_rows,
)
from airflow_mailchimp_export.sandbox.customer_insights.organisation import Organisation, Refresh
from airflow_mailchimp_export.sandbox.customer_insights.overview import members_of
from airflow_mailchimp_export.sandbox.customer_insights.segments import Churn


class ControlData:
    """The control endpoints that change data."""

    def __init__(self, organisation: Organisation) -> None:
        self._organisation = organisation

    def routes(self) -> list[Route]:
        """Where they are."""
        return [
            Route("/sandbox/refresh", explained(self.refresh), methods=["POST"]),
            Route("/sandbox/export", explained(self.export), methods=["POST"]),
            Route("/sandbox/segments/{name}/members", explained(self.members)),
            Route("/sandbox/memberships", explained(self.put_memberships), methods=["POST"]),
            Route("/sandbox/memberships/remove", explained(self.remove_memberships), methods=["POST"]),
            Route("/sandbox/profiles", explained(self.put_profiles), methods=["POST"]),
            Route("/sandbox/profiles/remove", explained(self.remove_profiles), methods=["POST"]),
        ]

    async def refresh(self, request: Request) -> Response:
        """Build the segments anew and export them, now or after some more pages of rows."""
        refresh = _to_refresh(await read_object(request))
        if refresh.pages:
            self._organisation.waiting = refresh
        else:
            self._organisation.refresh(refresh)
            write_export(self._organisation)
        return to_response({"refreshes": self._organisation.refreshes, "pages": refresh.pages})

    async def export(self, request: Request) -> Response:
        """Write the file export once more."""
        path = export_path(self._organisation)
        if path is None:
            raise Missing("There is no folder for exports: start with --export-folder.")
        write_export(self._organisation)
        return to_response({"path": str(path)})

    async def members(self, request: Request) -> Response:
        """The ids of everyone who is in a segment."""
        return to_response({"members": members_of(self._organisation, request.path_params["name"])})

    async def put_memberships(self, request: Request) -> Response:
        """Put rows of memberships as they are to be, past every rule, until the next refresh."""
        rows = (await read_object(request)).get("rows", [])
        organisation = self._organisation
        form = organisation.settings.segments_form
        return to_response({"rows": put_memberships(organisation.store, rows, form, organisation.version())})

    async def remove_memberships(self, request: Request) -> Response:
        """Remove all rows of memberships of some customers."""
        ids = (await read_object(request)).get("customer_ids", [])
        return to_response({"rows": remove_rows(self._organisation.store, "membership", ids)})

    async def put_profiles(self, request: Request) -> Response:
        """Change values of profiles, or add profiles."""
        rows = (await read_object(request)).get("rows", [])
        organisation = self._organisation
        return to_response({"rows": put_profiles(organisation.store, rows, organisation.version())})

    async def remove_profiles(self, request: Request) -> Response:
        """Remove the profiles of some customers, whose memberships stay."""
        ids = (await read_object(request)).get("customer_ids", [])
        return to_response({"rows": remove_rows(self._organisation.store, "profile", ids)})


def _to_refresh(body: Mapping[str, Any]) -> Refresh:
    unknown = body.keys() - {"leave", "join", "shuffle", "after_pages"}
    if unknown:
        raise ValueError(f"A refresh has no {min(unknown)!r}; it has leave, join, shuffle and after_pages.")
    leave, join = float(body.get("leave", 0)), float(body.get("join", 0))
    if not (0 <= leave <= 1 and 0 <= join <= 1):
        raise ValueError("leave and join are shares from 0 to 1.")
    return Refresh(Churn(leave, join), bool(body.get("shuffle", False)), int(body.get("after_pages", 0)))
