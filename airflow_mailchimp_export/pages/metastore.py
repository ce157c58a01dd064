"""What the metastore knows of exports: their DAGs, runs, what tasks have published of these, and what starts them.

Airflow's REST API gives one published account a call; a page of all exports needs thousands of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

from airflow.models.asset import AssetDagRunQueue, AssetModel, DagScheduleAssetReference
from airflow.models.dag import DagModel, DagTag
from airflow.models.dagbundle import DagBundleModel
from airflow.models.dagrun import DagRun
from airflow.models.team import Team
from airflow.models.xcom import XComModel
from sqlalchemy import Select, and_, exists, func, or_, select, true

from airflow_mailchimp_export.pages.accounts import FLAGS, Account, DagRunRow, accounts_in
from airflow_mailchimp_export.pages.schedules import AwaitedAsset
from airflow_mailchimp_export.published import XCOM_KEY

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

TAG = "mailchimp"
"""Which DAGs of exports have; those of a configuration have it by themselves."""


def exporting_dags(session: Session, dag_id: str | None = None) -> list[DagModel]:
    """Return the DAGs that are tagged, or have published an account, by their names; or only one, if it is such."""
    tagged = exists().where(DagTag.dag_id == DagModel.dag_id, DagTag.name == TAG)
    publishing = select(XComModel.dag_id).where(XComModel.key == XCOM_KEY)
    found = session.scalars(
        select(DagModel).where(
            true() if dag_id is None else DagModel.dag_id == dag_id,
            DagModel.is_stale.is_(False),
            or_(tagged, DagModel.dag_id.in_(publishing)),
        )
    )
    return sorted(found, key=lambda dag: dag.dag_display_name.casefold())


def teams_of(session: Session, dag_ids: Collection[str]) -> dict[str, str]:
    """Return the team that owns each DAG, of those that a team owns."""
    rows = session.execute(
        select(DagModel.dag_id, Team.name)
        .join(DagBundleModel, DagBundleModel.name == DagModel.bundle_name)
        .join(DagBundleModel.teams)
        .where(DagModel.dag_id.in_(dag_ids))
    )
    return {row.dag_id: row.name for row in rows}


def newest_runs(session: Session, dag_ids: Collection[str], count: int) -> dict[str, list[DagRunRow]]:
    """Return the newest runs of each DAG: that began last, or wait to begin; the newest first."""
    rows = session.execute(
        select(
            DagRun.dag_id, DagRun.run_id, DagRun.state, DagRun.run_after, DagRun.start_date, DagRun.end_date
        )
        .where(DagRun.id.in_(newest_of(dag_ids, count)))
        .order_by(DagRun.dag_id, *newest_first())
    )
    runs: dict[str, list[DagRunRow]] = defaultdict(list)
    for dag_id, run_id, state, run_after, started, ended in rows:
        runs[dag_id].append(DagRunRow(dag_id, run_id, str(state), run_after, started, ended))
    return runs


def published(
    session: Session, dag_ids: Collection[str], count: int, keys: Collection[str]
) -> dict[tuple[str, str], list[Account]]:
    """Return what was published of the newest runs of each DAG, by DAG and run.

    :param keys: of the accounts; the database keeps the rest, which may be 32 KB of each run.
    """
    place = (XComModel.dag_run_id, XComModel.task_id, XComModel.map_index)
    of_runs = (XComModel.key == XCOM_KEY, XComModel.dag_run_id.in_(newest_of(dag_ids, count)))
    parts = (XComModel.value[key] for key in keys)
    rows = session.execute(select(XComModel.dag_id, XComModel.run_id, *place, *parts).where(*of_runs)).all()
    told = [_account_of(keys, row[5:]) for row in rows]
    # What is a list of accounts, or a text, has no keys: it comes whole.
    whole = {row[2:5] for row, account in zip(rows, told, strict=True) if not account}
    values = {}
    if whole:
        of_whole = (XComModel.key == XCOM_KEY, XComModel.dag_run_id.in_({run for run, *_ in whole}))
        values = {
            row[:3]: row.value for row in session.execute(select(*place, XComModel.value).where(*of_whole))
        }
    accounts: dict[tuple[str, str], list[Account]] = defaultdict(list)
    for row, account in zip(rows, told, strict=True):
        accounts[row.dag_id, row.run_id] += accounts_in(account or values.get(row[2:5]))
    return accounts


def _account_of(keys: Collection[str], parts: Iterable[Any]) -> Account:
    """Put the parts of an account together; SQLite gives 0 and 1 for false and true."""
    known = {key: part for key, part in zip(keys, parts, strict=True) if part is not None}
    return {key: bool(part) if key in FLAGS else part for key, part in known.items()}


def published_of_run(session: Session, dag_id: str, run_id: str) -> list[Account]:
    """Return what was published of one run."""
    values = session.scalars(
        select(XComModel.value).where(
            XComModel.key == XCOM_KEY, XComModel.dag_id == dag_id, XComModel.run_id == run_id
        )
    )
    return [account for value in values for account in accounts_in(value)]


def awaited_assets(session: Session, dag_ids: Collection[str]) -> dict[str, list[AwaitedAsset]]:
    """Return the assets that start each DAG, and which of them have arrived since it last ran."""
    awaited, queued = DagScheduleAssetReference, AssetDagRunQueue
    rows = session.execute(
        select(awaited.dag_id, AssetModel.name, AssetModel.group, queued.asset_id)
        .join(AssetModel, AssetModel.id == awaited.asset_id)
        .outerjoin(queued, and_(queued.asset_id == awaited.asset_id, queued.target_dag_id == awaited.dag_id))
        .where(awaited.dag_id.in_(dag_ids))
        .order_by(AssetModel.name)
    )
    assets: dict[str, list[AwaitedAsset]] = defaultdict(list)
    for dag_id, name, group, arrived in rows:
        assets[dag_id].append(AwaitedAsset(name, group, arrived is not None))
    return assets


def newest_first() -> tuple[Any, ...]:
    """Order runs: that began last, or wait to begin; the newest first."""
    return func.coalesce(DagRun.start_date, DagRun.run_after).desc(), DagRun.id.desc()


def newest_of(dag_ids: Collection[str], count: int) -> Select[tuple[int]]:
    """Select the ids of the newest runs of each DAG."""
    place = func.row_number().over(partition_by=DagRun.dag_id, order_by=newest_first())
    ranked = select(DagRun.id, place.label("place")).where(DagRun.dag_id.in_(dag_ids)).subquery()
    return select(ranked.c.id).where(ranked.c.place <= count)
