"""Which exports use a connection, as far as Airflow knows: by the definitions of DAGs, and by their last runs."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from airflow.models.dagrun import DagRun
from airflow.models.renderedtifields import RenderedTaskInstanceFields
from airflow.models.serialized_dag import SerializedDagModel
from airflow.models.taskinstance import TaskInstance
from sqlalchemy import and_, select

from airflow_mailchimp_export.options import OPTIONS
from airflow_mailchimp_export.pages.metastore import newest_first, newest_of, published

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

Fields: TypeAlias = Mapping[str, Any]
"""What a task was given, by the operator's parameters."""

UNKNOWN: Final = "{{ unknown }}"
"""Stands for a value that is a template of which no run tells what became of it."""

FIELDS = ("mailchimp_conn_id", "audience_id", "field_map", "options", "export_name")
"""What is asked of a task; who has the first and the third is an export."""

ASKED = frozenset({"new_member_status", "create_merge_fields", "skip_merge_validation"})
"""The options that say what suits an audience."""

OPERATOR = "SegmentToMailchimpOperator"

RUNS = 5
"""In how many of the newest runs the rendered templates are looked for."""


@dataclass(frozen=True, slots=True)
class UsingExport:
    """An export, as far as it concerns a connection.

    :param label: how it is called.
    :param values: what its task was given, a value for each of :data:`FIELDS`; ``None`` where nothing is known of it.
    """

    dag_id: str
    label: str
    values: Fields | None


def exports_using(session: Session, dag_ids: Collection[str], conn_id: str) -> list[UsingExport]:
    """Return the exports among some DAGs that use a connection, or may do so."""
    rendered = _rendered(session, dag_ids)
    found: list[UsingExport] = []
    for serialized in SerializedDagModel.get_latest_serialized_dags(dag_ids=[*dag_ids], session=session):
        for task_id, defined, is_mapped in _export_tasks(serialized.data or {}):
            runs = rendered.get((serialized.dag_id, task_id)) or [{}]
            for run in runs if is_mapped else runs[:1]:
                values = {name: _value(name, defined, run) for name in FIELDS}
                found.append(
                    UsingExport(serialized.dag_id, _label(serialized.dag_id, task_id, values), values)
                )
    using = [one for one in found if one.values and one.values["mailchimp_conn_id"] in {conn_id, UNKNOWN}]
    known = {one.dag_id for one in found}
    return [*using, *_only_told(session, {*dag_ids} - known, conn_id)]


def _is_known(value: object) -> bool:
    """Return whether a value is no template, nor has one in it."""
    return "{{" not in (text := json.dumps(value, default=str)) and "{%" not in text


def _export_tasks(data: Mapping[str, Any]) -> Iterator[tuple[str, Fields, bool]]:
    """Find the tasks that export in a DAG as Airflow has serialized it, and whether each is mapped."""
    for task in data.get("dag", {}).get("tasks", ()):
        fields = task.get("__var", task)
        is_mapped = bool(fields.get("_is_mapped"))
        defined = {**fields, **(fields.get("partial_kwargs") or {})}
        if fields.get("task_type") == OPERATOR or {"mailchimp_conn_id", "field_map"} <= defined.keys():
            # What is nothing is left out; of a mapped task, so is what each of its parts is given.
            usual = {} if is_mapped else dict.fromkeys(FIELDS)
            given = {name: defined[name] for name in FIELDS if name in defined}
            yield str(fields["task_id"]), {**usual, **given}, is_mapped


def _value(name: str, defined: Fields, rendered: Fields) -> Any:
    """Return a value as it is defined, or as the last run had it where it is a template."""
    for given in (defined, rendered):
        if name in given and _is_known(value := _that_matters(given[name])):
            return value
    return UNKNOWN


def _that_matters(value: Any) -> Any:
    """Leave out the options that have nothing to do with the audience: others are often templates."""
    if isinstance(value, Mapping) and not value.keys() - OPTIONS.keys():
        return {option: given for option, given in value.items() if option in ASKED}
    return value


def _label(dag_id: str, task_id: str, values: Fields) -> str:
    named = values["export_name"]
    return named if isinstance(named, str) and named and named != UNKNOWN else f"{dag_id}.{task_id}"


def _rendered(session: Session, dag_ids: Collection[str]) -> dict[tuple[str, str], list[Fields]]:
    """Return what the templates of each task became in its newest run that has any, one for each mapped part."""
    kept: Any = RenderedTaskInstanceFields
    # Airflow 3.4 keeps them for each try of a task, by its id alone.
    by_try = hasattr(kept, "task_instance_id")
    task: Any = TaskInstance if by_try else kept
    asked = select(task.dag_id, task.task_id, task.run_id, kept.rendered_fields).select_from(kept)
    if by_try:
        asked = asked.join(task, task.id == kept.task_instance_id)
    rows = session.execute(
        asked.join(DagRun, and_(DagRun.dag_id == task.dag_id, DagRun.run_id == task.run_id))
        .where(DagRun.id.in_(newest_of(dag_ids, RUNS)))
        .order_by(*newest_first(), task.map_index)
    )
    newest: dict[tuple[str, str], str] = {}
    found: dict[tuple[str, str], list[Fields]] = defaultdict(list)
    for dag_id, task_id, run_id, fields in rows:
        if "field_map" in fields and newest.setdefault((dag_id, task_id), run_id) == run_id:
            found[dag_id, task_id].append(fields)
    return found


def _only_told(session: Session, dag_ids: Collection[str], conn_id: str) -> Iterator[UsingExport]:
    """Find the DAGs without a task that exports whose runs have told of an export by the connection all the same."""
    told = published(session, dag_ids, RUNS, ("schema", "export", "connection_id"))
    names = {
        (dag_id, str(account.get("export") or dag_id))
        for (dag_id, _), accounts in told.items()
        for account in accounts
        if account.get("connection_id") == conn_id
    }
    yield from (UsingExport(dag_id, name, None) for dag_id, name in sorted(names))
