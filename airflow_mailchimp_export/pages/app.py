"""The app behind the pages: what they show, what they do, and the bundle. Nobody gets a route without a session."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from airflow import __version__ as airflow_version
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep, get_user
from fastapi import Depends, FastAPI, HTTPException, Request, status
from fastapi.exception_handlers import http_exception_handler
from fastapi.responses import FileResponse, Response
from starlette.exceptions import HTTPException as AnyHTTPException

from airflow_mailchimp_export.pages import connection_routes
from airflow_mailchimp_export.pages.connection_rights import may_read_connections
from airflow_mailchimp_export.pages.listing import history, listing
from airflow_mailchimp_export.pages.reject_routes import router as rejects
from airflow_mailchimp_export.pages.rights import rights_of, rights_to
from airflow_mailchimp_export.pages.sign_in import audience_routes, routes
from airflow_mailchimp_export.pages.sign_in.answers import refused_page, stopped_page
from airflow_mailchimp_export.pages.sign_in.stopped import Stopped

STATIC = Path(__file__).with_name("static")
"""Where the build puts the bundle."""

ENTRY = "main.js"
CHAKRA = "chakra.js"
"""What the bundle loads in Airflow 3.1, whose own is out of its reach."""
UNBUILT = Path(__file__).with_name("unbuilt.js")
"""Stands in for the bundle where nobody has built it, and says so."""

SIGN_IN = "/sign-in"
"""Below this are pages that a browser opens by themselves."""

_ASK_AGAIN = {"Cache-Control": "no-cache"}
_KEEP = {"Cache-Control": "private, max-age=31536000, immutable"}

# Without the pages of FastAPI: they would be open to everybody.
app = FastAPI(dependencies=[Depends(get_user)], docs_url=None, redoc_url=None, openapi_url=None)
app.include_router(connection_routes.router)
app.include_router(rejects)
app.include_router(routes.router, prefix=SIGN_IN)
app.include_router(audience_routes.router, prefix=SIGN_IN)


@app.exception_handler(Stopped)
def stopped(request: Request, error: Stopped) -> Response:
    """Return the page of a sign-in that cannot go on."""
    return stopped_page(error)


@app.exception_handler(AnyHTTPException)
async def refused(request: Request, error: AnyHTTPException) -> Response:
    """Return a page where somebody reads it, and JSON where a script does."""
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    is_page = path.startswith(SIGN_IN)
    return refused_page(error) if is_page else await http_exception_handler(request, error)


@app.get("/api/exports")
def exports(user: GetUserDep, session: SessionDep) -> dict[str, Any]:
    """Return every export that the user may see, and whether there are connections to be seen."""
    return {
        "airflow": airflow_version,
        "exports": listing(session, partial(rights_of, user, session)),
        "may_connections": may_read_connections(user, session),
    }


@app.get("/api/exports/{dag_id}")
def export(dag_id: str, user: GetUserDep, session: SessionDep) -> dict[str, Any]:
    """Return the exports of a DAG; none where it is no export's, or the user may not see it."""
    return {
        "airflow": airflow_version,
        "exports": history(session, partial(rights_of, user, session), dag_id),
    }


@app.get("/api/rights/{dag_id}")
def rights(dag_id: str, user: GetUserDep, session: SessionDep) -> dict[str, bool]:
    """Return what the user may do with a DAG.

    :raises HTTPException: the user may not see it, or there is none.
    """
    may = rights_to(dag_id, user, session)
    return {"may_run": dag_id in may.run, "may_pause": dag_id in may.pause}


@app.get("/static/{name}")
def static(name: str) -> FileResponse:
    """Return a file of the bundle: two by their names, the others by names that change with their content."""
    built = {file.name: file for file in STATIC.glob("*.js")}
    if name == ENTRY:
        return FileResponse(built.get(ENTRY, UNBUILT), media_type="text/javascript", headers=_ASK_AGAIN)
    if name not in built:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "Not found")
    return FileResponse(
        built[name], media_type="text/javascript", headers=_ASK_AGAIN if name == CHAKRA else _KEEP
    )
