"""Telling people of what goes wrong with an export or the refresh, by Airflow's own notifiers.

An alert that cannot be sent changes nothing about the run; the log says why it was not.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from airflow_mailchimp_export.config.alerts import DEFAULT_ARGUMENTS, Alert, AlertEvent
from airflow_mailchimp_export.config.entries import Export, Refresh
from airflow_mailchimp_export.dags import notices
from airflow_mailchimp_export.dags.notices import Notice, amiss_in, url_of_run
from airflow_mailchimp_export.failures import wrapped
from airflow_mailchimp_export.masking import masked

if TYPE_CHECKING:
    from airflow_mailchimp_export.accounting.report import Report

log = logging.getLogger(__name__)

Callback = Callable[[Any], None]


def on_failure(name: str, entry: Export | Refresh) -> dict[str, Callback]:
    """Return what tells of a task that failed for good; of the sensor the report tells, which follows it anyway."""
    told = _alerts_on(entry, AlertEvent.FAILED)
    return {"on_failure_callback": partial(alert_failed, name, told, kind=_kind(entry))} if told else {}


def on_report(name: str, export: Export) -> dict[str, Callback]:
    """Return what tells of a report with something amiss."""
    told = _alerts_on(export, AlertEvent.PARTIAL, AlertEvent.REJECTS)
    return {"on_success_callback": partial(alert_reported, name, told)} if told else {}


def deadline_of(name: str, entry: Export | Refresh) -> dict[str, Any]:
    """Return what tells of a run that is not over in time."""
    told = _alerts_on(entry, AlertEvent.LATE)
    if not told:
        return {}
    # Airflow 3.1 has the callback in this module alone, and later ones import it there.
    from airflow.sdk.definitions import deadline as deadlines_of_airflow

    make_callback: Any = vars(deadlines_of_airflow)["AsyncCallback"]
    by_hours: dict[float, list[dict[str, Any]]] = {}
    for alert in told:
        by_hours.setdefault(alert.late_after or 0.0, []).append(alert.model_dump(mode="json"))
    deadlines = [
        deadlines_of_airflow.DeadlineAlert(
            # What a refresh starts has no logical date.
            reference=deadlines_of_airflow.DeadlineReference.DAGRUN_QUEUED_AT,
            interval=timedelta(hours=hours),
            callback=make_callback(
                alert_late, kwargs={"name": name, "kind": _kind(entry), "hours": hours, "alerts": alerts}
            ),
        )
        for hours, alerts in by_hours.items()
    ]
    return {"deadline": deadlines if len(deadlines) > 1 else deadlines[0]}


def alert_failed(name: str, alerts: Sequence[Alert], context: Mapping[str, Any], *, kind: str) -> None:
    """Tell of a task that failed; called by Airflow."""
    if not _is_dry(context):
        error, report = context.get("exception"), _report_of(context)
        notice = notices.failure(name, context["ti"].task_id, error, report, kind=kind, **_links(context))
        _send_all(alerts, notice, context)


def alert_reported(export: str, alerts: Sequence[Alert], context: Mapping[str, Any]) -> None:
    """Tell of what is amiss in the report of a run; called by Airflow."""
    report = None if _is_dry(context) else _report_of(context)
    if report is None:
        return
    for alert in alerts:
        if AlertEvent.PARTIAL in alert.on and amiss_in(report) > alert.partial_above * report.counts.people:
            send(alert, notices.partial(export, report, **_links(context)), context)
        if AlertEvent.REJECTS in alert.on and report.rejects_new > alert.rejects_above:
            send(alert, notices.new_rejects(export, report, **_links(context)), context)


async def alert_late(
    name: str, hours: float, alerts: Sequence[Mapping[str, Any]], context: Mapping[str, Any], *, kind: str
) -> None:
    """Tell of a run that is not over in time; called by Airflow's triggerer."""
    run = context["dag_run"]
    if _is_dry({"params": run.get("conf")}):
        return
    run_id = str(run["dag_run_id"])
    run_url = url_of_run(str(run["dag_id"]), run_id)
    notice = notices.late(name, hours, run_id, kind=kind, run_url=run_url)
    # In a thread, because notifiers may block, and others share this event loop.
    await asyncio.to_thread(_send_all, [Alert.model_validate(alert) for alert in alerts], notice, context)


def alert_asked(
    export: str, alerts: Sequence[Alert], preview: Mapping[str, Any], context: Mapping[str, Any]
) -> None:
    """Tell that a run waits for somebody's yes."""
    _send_all(alerts, notices.question(export, preview, **_links(context)), context)


def alerts_of_questions(export: Export) -> tuple[Alert, ...]:
    """Return whom to tell that a run waits for somebody's yes."""
    return _alerts_on(export, AlertEvent.APPROVAL)


def send(alert: Alert, notice: Notice, context: Mapping[str, Any]) -> None:
    """Send one alert; where that fails, the log says so, and nothing else comes of it."""
    try:
        notifier = _class_at(alert.notifier)(
            **{**DEFAULT_ARGUMENTS.get(alert.notifier, {}), **alert.arguments}
        )
        notifier({**context, "mailchimp_alert": notice})
    except Exception as error:
        log.error(
            "%s",
            wrapped(
                f"The alert {notice.event!r} of {notice.export} was not sent by {alert.notifier}: "
                f"{type(error).__name__}: {masked(str(error))}. The run is as it is. Remedy: correct the alert in "
                "exports.yaml, its connection, or what receives it; "
                "python -m airflow_mailchimp_export.config check says whether the notifier is there"
            ),
        )
    else:
        log.info("The alert %r of %s was sent by %s", notice.event, notice.export, alert.notifier)


def _send_all(alerts: Sequence[Alert], notice: Notice, context: Mapping[str, Any]) -> None:
    for alert in alerts:
        send(alert, notice, context)


def _class_at(path: str) -> Callable[..., Callback]:
    module, _, name = path.rpartition(".")
    found: Callable[..., Callback] = getattr(import_module(module), name)
    return found


def _alerts_on(entry: Export | Refresh, *events: AlertEvent) -> tuple[Alert, ...]:
    return tuple(alert for alert in entry.alerts if {*events} & {*alert.on})


def _kind(entry: Export | Refresh) -> str:
    return notices.REFRESH if isinstance(entry, Refresh) else notices.EXPORT


def _is_dry(context: Mapping[str, Any]) -> bool:
    """Whether somebody tries something out by hand, and sees for themselves what comes of it."""
    return bool((context.get("params") or {}).get("dry_run"))


def _report_of(context: Mapping[str, Any]) -> Report | None:
    """Return the account of the run that a task worked on, if there is one that can be read."""
    found: Callable[[], Report | None] | None = getattr(context.get("task"), "known_report", None)
    return found() if found else None


def _links(context: Mapping[str, Any]) -> dict[str, str]:
    ti = context["ti"]
    return {"run_url": url_of_run(ti.dag_id, ti.run_id), "log_url": str(getattr(ti, "log_url", "") or "")}
