"""What a task tells Airflow of its run before it ends: the XCom ``mailchimp_report``, and the asset of the audience.

Airflow drops the XComs of an earlier try when a further one begins, so what is there is of the last try.
It publishes assets of tasks that succeed, and of no others.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from airflow.providers.common.compat.sdk import AirflowNotFoundException, AirflowTaskTimeout

from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.model import Verdict

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Asset, AssetAlias, Context

    from airflow_mailchimp_export.accounting.problems import ProblemKind
    from airflow_mailchimp_export.accounting.report import Report
    from airflow_mailchimp_export.published import PublishedReport
    from airflow_mailchimp_export.published.building import Known
    from airflow_mailchimp_export.state.run import RunFolder

log = logging.getLogger(__name__)

EXTRA = ("export", "run_id", "verdict", "counts", "segments", "truncated", "run_uri")
"""What an event of the audience's asset says of the run."""

Outcome: TypeAlias = "Callable[[], PublishedReport]"
"""Makes what is published of a run."""


def push(context: Context, outcome: Outcome | Sequence[Outcome]) -> list[dict[str, Any]]:
    """Publish what a run came to, or several, and return that; where it fails the task ends as it would anyway."""
    from airflow_mailchimp_export.published import XCOM_KEY
    from airflow_mailchimp_export.published.fitting import MAX_BYTES, fitted

    outcomes = outcome if isinstance(outcome, Sequence) else [outcome]
    contents: list[dict[str, Any]] = []
    try:
        share = MAX_BYTES // max(1, len(outcomes))
        contents += [fitted(one(), limit=share) for one in outcomes]
        value = contents if isinstance(outcome, Sequence) else contents[0]
        context["ti"].xcom_push(key=XCOM_KEY, value=value)
    except Exception as error:
        log.warning("What the run came to could not be published (%s)", type(error).__name__)
    return contents


def publish_audiences(context: Context, alias: AssetAlias, contents: Iterable[Mapping[str, Any]]) -> None:
    """Publish the audiences that runs have put people into, or found them in.

    Not of a dry run, a withdrawal, or where the verdict is failed: no campaign may go out then.
    """
    from airflow_mailchimp_export.assets import audience_asset

    for content in contents:
        if content["dry_run"] or content["withdraw"] or content["verdict"] == Verdict.FAILED:
            continue
        audience = content["audience"]
        try:
            asset = audience_asset(data_center=audience["data_center"], audience_id=audience["id"])
            extra = {name: content[name] for name in EXTRA}
            _add(context["outlet_events"][alias], asset, extra)
        except Exception as error:
            log.warning("The audience could not be published as an asset (%s)", type(error).__name__)


def _add(events: Any, asset: Asset, extra: dict[str, Any]) -> None:
    """Add an event of an asset: under the name that a waiting DAG has given it, else under its URI."""
    from airflow.sdk.exceptions import AirflowRuntimeError

    try:
        events.add(asset.ref(uri=asset.uri), extra=extra)
    except AirflowRuntimeError:
        events.add(asset, extra=extra)


def accounted(report: Report, folder: RunFolder, *, preview: bool = False) -> PublishedReport:
    """Return what is published of a run that was accounted for."""
    from airflow_mailchimp_export.published.building import of_report

    return of_report(report, run_uri=folder.uri, preview=preview)


def failed(
    error: BaseException, known: Known, folder: RunFolder | None, *, killed: bool = False
) -> PublishedReport:
    """Return what is published of a run whose task fails: its account if it has one, and otherwise the error.

    :param folder: where the run keeps its files; ``None`` where it did not get that far.
    :param killed: whether the task was ended from outside.
    """
    from airflow_mailchimp_export.accounting.report import Report
    from airflow_mailchimp_export.published.building import of_error, of_report

    kind, manifest = _kind(error, killed=killed), None
    if isinstance(error, AirflowNotFoundException):
        error = ConfigError(str(error), "Create the connection, or name another one in mailchimp_conn_id")
    try:
        if folder and folder.is_finished():
            report, preview = folder.report(Report), known.preview
            return of_report(report, run_uri=folder.uri, preview=preview, failure=error, kind=kind)
        if folder and folder.is_planned():
            manifest, known = folder.manifest, replace(known, run_uri=folder.uri)
    except Exception as further:
        log.info("The files of the run cannot be read (%s)", type(further).__name__)
    return of_error(error, known, kind=kind, manifest=manifest)


def _kind(error: BaseException, *, killed: bool) -> ProblemKind | None:
    """Return what kind of problem it is where Airflow, not the run, ends the task."""
    from airflow_mailchimp_export.accounting.problems import ProblemKind

    if killed:
        return ProblemKind.CANCELLED
    return ProblemKind.TIMED_OUT if isinstance(error, AirflowTaskTimeout) else None
