"""The routes of what a run has rejected: whether its file can be had, and the file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, HTTPException, status
from fastapi.responses import StreamingResponse

from airflow_mailchimp_export.pages.accounts import newest_of_each_export
from airflow_mailchimp_export.pages.downloads import (
    file_name,
    may_download,
    note_download,
    rejects_of,
    run_within_reach,
)
from airflow_mailchimp_export.pages.metastore import published_of_run
from airflow_mailchimp_export.pages.rights import rights_to

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

_KEEP_NOWHERE = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}

router = APIRouter(prefix="/api/rejects/{dag_id}/{run_id}")


@router.get("")
def rejects(dag_id: str, run_id: str, user: GetUserDep, session: SessionDep) -> dict[str, Any]:
    """Return whether the user may have the rejects of a run, and of which of its exports they can be had here.

    :raises HTTPException: the user may not see the DAG, or there is none.
    """
    rights_to(dag_id, user, session)
    if not may_download(user):
        return {"may_download": False, "here": []}
    places = _places_of(dag_id, run_id, session)
    here = [name for name, place in places.items() if run_within_reach(place, dag_id, run_id)]
    return {"may_download": True, "here": here}


@router.get("/file")
def rejects_file(
    dag_id: str, run_id: str, user: GetUserDep, session: SessionDep, export: str = ""
) -> StreamingResponse:
    """Return the rejects.csv of an export of a run.

    :raises HTTPException: the user may not have it, or it is not within reach.
    """
    rights_to(dag_id, user, session)
    if not may_download(user):
        raise HTTPException(
            status.HTTP_403_FORBIDDEN,
            "No role of yours is in [mailchimp] rejects_download of Airflow's configuration",
        )
    place = _places_of(dag_id, run_id, session).get(export, "")
    folder = run_within_reach(place, dag_id, run_id)
    content = rejects_of(folder) if folder else None
    if content is None:
        raise HTTPException(
            status.HTTP_404_NOT_FOUND,
            f"The API server does not reach the rejects of {export}: they are in {place}",
        )
    note_download(user, dag_id, run_id, export)
    headers = {**_KEEP_NOWHERE, "Content-Disposition": f'attachment; filename="{file_name(export)}"'}
    return StreamingResponse(content, media_type="text/csv; charset=utf-8", headers=headers)


def _places_of(dag_id: str, run_id: str, session: Session) -> dict[str, str]:
    """Return the folder of each export of a run, as its tasks have told."""
    accounts = newest_of_each_export(published_of_run(session, dag_id, run_id))
    return {name: str(account.get("run_uri", "")) for name, account in accounts.items()}
