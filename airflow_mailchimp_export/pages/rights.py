"""What a user may see and do, as Airflow's auth manager says."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from fastapi import HTTPException, status

from airflow_mailchimp_export.pages.metastore import teams_of

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

READ = (DagAccessEntity.RUN, DagAccessEntity.XCOM)
"""What of a DAG the pages show: who may not read its runs or XComs in Airflow may not do so here."""


@dataclass(frozen=True, slots=True)
class Rights:
    """The DAGs that a user may read, those that the user may pause, and those that the user may run."""

    read: frozenset[str]
    pause: frozenset[str]
    run: frozenset[str]


AskRights: TypeAlias = Callable[[Collection[str]], Rights]
"""Asks what somebody may do with some DAGs."""


def rights_of(user: Any, session: Session, dag_ids: Collection[str]) -> Rights:
    """Ask what a user may do with some DAGs, of each by itself, as Airflow does.

    What is shown as allowed is only shown: what a page does goes through Airflow's REST API, which asks again.

    :raises HTTPException: the user may see some of them, but of none the runs and the XComs.
    """
    manager = get_auth_manager()
    visible = manager.get_authorized_dag_ids(user=user, method="GET", session=session) & {*dag_ids}
    teams = teams_of(session, visible)

    def may(method: Any, entity: DagAccessEntity, dag_id: str) -> bool:
        details = DagDetails(id=dag_id, team_name=teams.get(dag_id))
        return manager.is_authorized_dag(method=method, access_entity=entity, details=details, user=user)

    read = frozenset(dag_id for dag_id in visible if all(may("GET", entity, dag_id) for entity in READ))
    if visible and not read:
        raise HTTPException(status.HTTP_403_FORBIDDEN, "Forbidden")
    return Rights(
        read=read,
        pause=read & manager.get_authorized_dag_ids(user=user, method="PUT", session=session),
        run=frozenset(dag_id for dag_id in read if may("POST", DagAccessEntity.RUN, dag_id)),
    )


def rights_to(dag_id: str, user: Any, session: Session) -> Rights:
    """Ask what a user may do with one DAG.

    :raises HTTPException: the user may not see it, or there is none.
    """
    may = rights_of(user, session, [dag_id])
    if dag_id not in may.read:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"There is no DAG {dag_id}")
    return may


def roles_of(user: Any) -> frozenset[str]:
    """Return the names of a user's roles, as Airflow's simple auth manager or that of FAB has them; of others, none.

    The one role of the simple auth manager is told in small letters: whoever comes in without a log-in has "ADMIN".
    """
    one = getattr(user, "role", None)
    many = [getattr(role, "name", role) for role in getattr(user, "roles", None) or ()]
    found = [one.lower() if isinstance(one, str) else None, *many]
    return frozenset(name for name in found if isinstance(name, str) and name)
