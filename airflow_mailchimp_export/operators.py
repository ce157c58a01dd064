"""The operators of an export: submit it, and account for it."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowTaskTimeout,
    BaseOperator,
    conf,
)

from airflow_mailchimp_export.accounting.report import Report
from airflow_mailchimp_export.definition import ExportDefinition, RunContext, RunIdentity
from airflow_mailchimp_export.delivery import watch as watching
from airflow_mailchimp_export.delivery.watch import (
    DEFAULT_STALL_TIMEOUT,
    BatchWatch,
    keep_looking,
    stopped_words,
)
from airflow_mailchimp_export.errors import ConfigError, RetryableError
from airflow_mailchimp_export.export import Export
from airflow_mailchimp_export.exports_root import default_exports_root, storage_path
from airflow_mailchimp_export.fields.field_map import parse_field_map
from airflow_mailchimp_export.finalizing import finalize
from airflow_mailchimp_export.hooks import (
    MailchimpHook,
    free_lock,
    lock_freed_on_error,
    no_retry_on_permanent_errors,
)
from airflow_mailchimp_export.mailchimp.gateway import Gateway
from airflow_mailchimp_export.model import Delivery, Verdict
from airflow_mailchimp_export.options import ExportOptions, parse_export_name, parse_on_leave
from airflow_mailchimp_export.sensors import (
    DEFERRAL_GRACE,
    checked_event,
    end_of_wait,
    look,
    taken_over,
    to_seconds,
)
from airflow_mailchimp_export.settings.coercion import (
    boolean,
    choice,
    from_list_text,
    id_list,
    is_blank,
    parse_setting,
)
from airflow_mailchimp_export.settings.connection import audience_id
from airflow_mailchimp_export.settings.segments import TableSpec, is_table, parse_segments
from airflow_mailchimp_export.state.run import ExportFolder, RunFolder
from airflow_mailchimp_export.triggers import MailchimpBatchTrigger

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_mailchimp_export.settings.connection import ConnectionSettings

log = logging.getLogger(__name__)

_EXECUTORS_ON_ONE_DISK = frozenset({"LocalExecutor", "SequentialExecutor"})

_FAILED = frozenset({"failed", "upstream_failed"})

DEFAULT_WAIT_TIMEOUT = 43_200.0
"""Seconds from the start of a task for which it waits for batches: no batch was seen to take longer."""


class _ExportTask(BaseOperator):
    """A task that works on a run: what ends the task ends its work too, and lets the export's next run begin."""

    mailchimp_conn_id: str
    _close: Callable[[], None] | None = None
    _run_folder: RunFolder | None = None
    _submitted: tuple[str, ...] = ()

    def on_kill(self) -> None:
        """Stop what the task has under way: its calls, the batches it waits for, and its hold on the export."""
        if self._close:
            self._close()
        try:
            if self._submitted:
                MailchimpHook(self.mailchimp_conn_id).cancel_batches(self._submitted)
        finally:
            if self._run_folder:
                free_lock(self._run_folder)

    def _finalize(self, folder: RunFolder) -> dict[str, Any]:
        self._run_folder = folder
        hook = MailchimpHook(self.mailchimp_conn_id)
        with lock_freed_on_error(folder), no_retry_on_permanent_errors(), hook.client() as client:
            self._close = client.close
            report = finalize(folder, gateway=Gateway(client, hook.permit(self.dag_id)))
        return _told(report, folder)


class SegmentToMailchimpOperator(_ExportTask):
    """Exports segments of profiles to a Mailchimp audience, where each becomes a tag.

    Nobody who is unsubscribed, cleaned, pending, transactional or archived there is touched, and every
    profile read is accounted for in the run's ``report.json`` and ``rejects.csv`` under ``exports_root``.

    :param segments: by name: a URI of Parquet or CSV files; a mapping with ``uri`` and optionally
        ``format``, ``tag`` and ``conn_id``; a pandas.DataFrame or pyarrow.Table, also from an upstream task.
        The tag is the segment's name unless ``tag`` says otherwise. Where a template gives text, mappings are
        taken as JSON; so are ``field_map`` and ``options``.
    :param field_map: which column fills which merge field; ``EMAIL`` is required.
    :param audience_id: Mailchimp's audience id; the connection's unless set.
    :param mailchimp_conn_id: the Mailchimp connection.
    :param export_name: the folder of the export; ``<dag_id>.<task_id>`` unless set. Mapped exports need one each.
    :param delivery: ``"batch"`` hands jobs over to Mailchimp, ``"direct"`` makes the calls itself.
    :param on_leave: what becomes of people added by this export and who left a segment: ``"untag"`` takes
        the tag, ``"archive"`` archives who is in no segment any more, ``"keep"`` leaves them.
    :param dry_run: plan and report what would be done, and change nothing.
    :param full: send everybody, whatever the ledger says; a ledger that cannot be used is set aside.
    :param wait_for_completion: wait for the batches and account for them in this task; otherwise
        :class:`~.sensors.MailchimpBatchSensor` and :class:`MailchimpExportReportOperator` follow.
    :param deferrable: wait in the triggerer; Airflow's default unless set.
    :param stall_timeout: seconds (or a timedelta) without any progress after which waiting is given up, and what
        is there is accounted for; 30 minutes unless set.
    :param wait_timeout: seconds (or a timedelta) from the start of the task after which waiting is given up in the
        same way, whatever moves; 12 hours unless set, as long as batches were ever seen to take.
    :param exports_root: any ObjectStoragePath URL; ``[mailchimp] exports_root`` of Airflow's configuration,
        or a folder of AIRFLOW_HOME, unless set.
    :param options: an :class:`~.options.ExportOptions`, or a mapping with its keys.
    :raises AirflowFailException: when the set-up is wrong, Mailchimp refuses for good, or too many
        profiles are refused; fix what the message says, then run again.
    :raises ExportBusy: when another run of the same export is at work; Airflow's retries apply.
    :raises RetryableError: when Mailchimp is out of reach; Airflow's retries apply.
    :raises SourceError: when a segment cannot be read; Airflow's retries apply.
    :raises AirflowTaskTimeout: when ``execution_timeout`` is over, also while the task is deferred.
    """

    template_fields: Sequence[str] = (
        "segments",
        "field_map",
        "audience_id",
        "mailchimp_conn_id",
        "export_name",
        "delivery",
        "on_leave",
        "dry_run",
        "full",
        "exports_root",
        "options",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {
        "segments": "json",
        "field_map": "json",
        "options": "json",
    }
    ui_color = "#ffe01b"

    def __init__(
        self,
        *,
        segments: Mapping[str, Any] | str,
        field_map: Mapping[str, Any] | str,
        audience_id: str | None = None,
        mailchimp_conn_id: str = MailchimpHook.default_conn_name,
        export_name: str | None = None,
        delivery: str = "batch",
        on_leave: str = "untag",
        dry_run: bool | str = False,
        full: bool | str = False,
        wait_for_completion: bool = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        stall_timeout: float | timedelta = DEFAULT_STALL_TIMEOUT,
        wait_timeout: float | timedelta = DEFAULT_WAIT_TIMEOUT,
        exports_root: str | None = None,
        options: ExportOptions | Mapping[str, Any] | str | None = None,
        **kwargs: Any,
    ) -> None:
        # The sensor and the report each take one part of the result.
        super().__init__(**{"multiple_outputs": True, **kwargs})
        self.segments = segments
        self.field_map = field_map
        self.audience_id = audience_id
        self.mailchimp_conn_id = mailchimp_conn_id
        self.export_name = export_name
        self.delivery = delivery
        self.on_leave = on_leave
        # The name is this operator's promise; Airflow's method of that name serves nothing any more.
        self.dry_run = dry_run  # type: ignore[method-assign, assignment]
        self.full = full
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.stall_timeout = stall_timeout
        self.wait_timeout = wait_timeout
        self.exports_root = exports_root
        self.options = options

    @property
    def segments(self) -> Any:
        """What is exported, by name; Airflow shows it as text, so rows of data frames are kept out of it."""
        return self._segments

    @segments.setter
    def segments(self, segments: Any) -> None:
        self._segments = _hide_rows(segments)

    @property
    def audience_id(self) -> Any:
        """The audience's id; Airflow keeps it as JSON, which lacks the number that 12345e6789 may have become."""
        return str(self._audience_id) if isinstance(self._audience_id, float) else self._audience_id

    @audience_id.setter
    def audience_id(self, audience_id: Any) -> None:
        self._audience_id = audience_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Plan and send; then wait and account, where this task is to do it all."""
        hook = MailchimpHook(self.mailchimp_conn_id)
        with no_retry_on_permanent_errors(), hook.client(settings := hook.settings()) as client:
            self._close = client.close
            definition = self._definition(context, settings)
            folder = self._run_folder = self._folder(context, definition.name)
            run = RunContext(
                definition=definition,
                identity=_identity(context, settings, self.task_id),
                gateway=Gateway(client, hook.permit(self.dag_id)),
                folder=folder,
                path_factory=storage_path,
            )
            submission = Export(run, stall_timeout=to_seconds(self.stall_timeout)).submit(
                on_batch=self._note_batch
            )
        folder = self._run_folder = submission.run
        if submission.report:
            return _told(submission.report, folder)
        if not self.wait_for_completion:
            return _handed_over(definition.name, folder, submission.batch_ids)
        self._submitted = submission.batch_ids
        watch = self._new_watch(submission.batch_ids)
        with lock_freed_on_error(folder):
            if self.deferrable:
                self._defer(context, folder, watch)
            self._wait(context, watch)
            return self._account(folder, watch.stopped)

    def execute_complete(
        self,
        context: Context,
        event: dict[str, Any] | None = None,
        run_uri: str = "",
        batch_ids: Sequence[str] = (),
    ) -> dict[str, Any]:
        """Account for the run once waiting has ended; where the trigger could not look, look and wait on."""
        folder, batch_ids = self._waited_for(context, event, run_uri, batch_ids)
        self._run_folder, self._submitted = folder, tuple(batch_ids)
        told = checked_event(event, batch_ids)
        with lock_freed_on_error(folder):
            if told["status"] == "error":
                self.log.warning("The triggerer could not look at the batches: %s", told["message"])
                told = self._look_or_defer(context, folder, told.get("record"))
            self.log.info("Waiting for the batches ended: %s", told["status"])
            if told["status"] == "timed_out":
                self._check_execution_timeout()
            return self._account(folder, told.get("stopped") or {})

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Go on also where a trigger failed without an event, or where no triggerer has ended the deferral."""
        return super().resume_execution(*taken_over(next_method, next_kwargs), context)

    def _definition(self, context: Context, settings: ConnectionSettings) -> ExportDefinition:
        return ExportDefinition(
            name=self._name(context),
            audience_id=self._audience(settings),
            segments=parse_segments(self.segments),
            field_map=parse_field_map(self.field_map),
            delivery=parse_setting("delivery", self.delivery, choice(*Delivery)),
            on_leave=parse_setting("on_leave", self.on_leave, parse_on_leave),
            dry_run=parse_setting("dry_run", self.dry_run, boolean),
            full=parse_setting("full", self.full, boolean),
            options=ExportOptions.from_value(self.options),
            contact_limit=settings.contact_limit,
        )

    def _audience(self, settings: ConnectionSettings) -> str:
        if not is_blank(self._audience_id):
            return parse_setting("audience_id", self._audience_id, audience_id)
        if settings.audience_id:
            return settings.audience_id
        raise ConfigError(
            "No audience: set audience_id of the operator, or the default audience of connection "
            f"{self.mailchimp_conn_id!r} (in Mailchimp: Audience, Settings, Audience name and defaults)"
        )

    def _name(self, context: Context) -> str:
        return self._default_name(context) if self.export_name in (None, "") else self.export_name

    def _default_name(self, context: Context) -> str:
        if _map_index(context) is not None:
            raise ConfigError(
                f"{self.task_id} is mapped, so each of its exports needs an export_name of its own, by which its "
                "ledger is found again: a map index may stand for another export in the next run. "
                'Give it with the mapped values, as in .expand_kwargs([{"export_name": "vip", "segments": ...}, ...])'
            )
        return f"{self.dag_id}.{self.task_id}"

    def _folder(self, context: Context, name: str) -> RunFolder:
        root = self.exports_root or default_exports_root()
        if not (self.exports_root or conf.get("mailchimp", "exports_root", fallback="")):
            _warn_of_lonely_disk(root)
        map_index = _map_index(context)
        run = str(context["run_id"]) if map_index is None else f"{context['run_id']}.{map_index}"
        export_folder = ExportFolder(storage_path(root) / parse_export_name(name))
        return export_folder.run(parse_export_name(run))

    def _note_batch(self, batch_id: str) -> None:
        self._submitted += (batch_id,)

    def _waited_for(
        self, context: Context, event: Mapping[str, Any] | None, run_uri: str, batch_ids: Sequence[str]
    ) -> tuple[RunFolder, Sequence[str]]:
        """Return the run and its batches, also where Airflow hands over less than the task was deferred with.

        So does dag.test(), and so does Airflow where it ended the deferral.
        """
        uri = run_uri or (event or {}).get("run_uri")
        folder = RunFolder(storage_path(uri)) if uri else self._folder(context, self._name(context))
        return folder, batch_ids or [batch.id for batch in folder.batches]

    def _new_watch(self, batch_ids: Sequence[str], record: Mapping[str, Any] | None = None) -> BatchWatch:
        seconds = to_seconds(self.stall_timeout)
        return BatchWatch(batch_ids, stall_timeout=seconds, now=time.time(), record=record)

    def _look_or_defer(
        self, context: Context, folder: RunFolder, record: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        """Look at the batches in the trigger's place; return how waiting ended, unless it goes on."""
        watch = self._new_watch(self._submitted, record)
        status = "finished"
        if look(MailchimpHook(self.mailchimp_conn_id), watch):
            status = "stalled" if watch.stalled(now=time.time()) else "timed_out"
            if status == "timed_out" and time.time() < self._end(context):
                self._defer(context, folder, watch, pause=watching.LONGEST_PAUSE)
        return {"status": status, "stopped": watch.stopped}

    def _defer(
        self, context: Context, folder: RunFolder, watch: BatchWatch, *, pause: float | None = None
    ) -> None:
        end, batch_ids = self._end(context), list(self._submitted)
        self.defer(
            trigger=MailchimpBatchTrigger(
                batch_ids,
                self.mailchimp_conn_id,
                to_seconds(self.stall_timeout),
                folder.uri,
                end=end,
                record=watch.record(),
                pause=pause,
            ),
            method_name="execute_complete",
            kwargs={"run_uri": folder.uri, "batch_ids": batch_ids},
            timeout=timedelta(seconds=max(0.0, end - time.time()) + DEFERRAL_GRACE),
        )

    def _end(self, context: Context) -> float:
        return end_of_wait(self, context, to_seconds(self.wait_timeout))

    def _check_execution_timeout(self) -> None:
        """End the task as Airflow ends one that is not deferred; of our own limit a run is accounted for.

        :raises AirflowTaskTimeout: Airflow then calls on_kill.
        """
        limit = self.execution_timeout
        if limit and limit.total_seconds() <= to_seconds(self.wait_timeout):
            raise AirflowTaskTimeout(f"The batches are not finished after {limit} (execution_timeout)")

    def _wait(self, context: Context, watch: BatchWatch) -> None:
        hook, end = MailchimpHook(self.mailchimp_conn_id), self._end(context)
        with no_retry_on_permanent_errors(), hook.prompt_client() as client:
            self._close = client.close
            while keep_looking(client, watch, clock=time.time):
                left = end - time.time()
                if watch.stalled(now=time.time()):
                    return
                if left <= 0:
                    self._check_execution_timeout()
                    return
                time.sleep(min(left, watch.pause()))

    def _account(self, folder: RunFolder, stopped: Mapping[str, str]) -> dict[str, Any]:
        if stopped:
            self.log.warning("%s", stopped_words(stopped))
        return self._finalize(folder)


class MailchimpExportReportOperator(_ExportTask):
    """Collects what Mailchimp answered for every member of a run, writes the report, and judges.

    Of several runs each is accounted for, whatever becomes of another, and then the task fails if one of them,
    or of the mapped exports before it, has failed.
    It should also run when the sensor gave up (``trigger_rule="all_done"``): members without an answer
    are then unconfirmed, and are sent again next time.

    :param run_uri: where the run keeps its files, from the XCom of :class:`SegmentToMailchimpOperator`; or a list
        of such places, as mapped exports leave it, for which a list is returned.
    :param mailchimp_conn_id: the Mailchimp connection.
    :raises AirflowFailException: when a verdict is FAILED, or there is no run.
    """

    template_fields: Sequence[str] = ("run_uri", "mailchimp_conn_id")
    ui_color = "#ffe01b"

    def __init__(
        self,
        *,
        run_uri: str | Sequence[str],
        mailchimp_conn_id: str = MailchimpHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.run_uri = run_uri
        self.mailchimp_conn_id = mailchimp_conn_id

    def execute(self, context: Context) -> dict[str, Any] | list[dict[str, Any]]:
        """Account for the run, or for each of several."""
        if not self.run_uri:
            raise AirflowFailException(
                "There is no run to account for: the export task did not hand one over"
            )
        with no_retry_on_permanent_errors():
            run_uri = parse_setting("run_uri", self.run_uri, from_list_text)
            if isinstance(run_uri, str):
                return self._finalize(RunFolder(storage_path(run_uri)))
            run_uris = parse_setting("run_uri", run_uri, id_list)
        return self._account_for_all(run_uris, self._failed_exports(context))

    def _failed_exports(self, context: Context) -> list[Exception]:
        """Return what is wrong with mapped exports that failed: those may have handed no run over."""
        exports = [
            task.task_id
            for task in self.get_direct_relatives(upstream=True)
            if issubclass(getattr(task, "operator_class", type(task)), SegmentToMailchimpOperator)
        ]
        if not exports:
            return []
        ti, run_id = context["ti"], str(context["run_id"])
        states = ti.get_task_states(dag_id=self.dag_id, task_ids=exports, run_ids=[run_id])
        return [
            AirflowFailException(f"the task {name} has failed, see its log")
            for name, state in sorted(states.get(run_id, {}).items())
            if state in _FAILED
        ]

    def _account_for_all(self, run_uris: Sequence[str], errors: list[Exception]) -> list[dict[str, Any]]:
        accounts = []
        for run_uri in run_uris:
            try:
                accounts.append(self._finalize(RunFolder(storage_path(run_uri))))
            except Exception as error:
                # The runs of other exports are to be accounted for anyway.
                self.log.error("%s", error)
                errors.append(error)
        if errors:
            raise _one_of(errors)
        return accounts


def _one_of(errors: Sequence[Exception]) -> Exception:
    """Return what fails the task: for good where no run can come out better the next time."""
    message = "; ".join(map(str, errors))
    final = all(isinstance(error, AirflowFailException) for error in errors)
    return AirflowFailException(message) if final else RetryableError(message)


def _told(report: Report, folder: RunFolder) -> dict[str, Any]:
    """Return what goes into the XCom, or fail the task: never rows, never addresses."""
    if report.verdict is Verdict.FAILED:
        raise AirflowFailException(
            f"Export {report.export} failed: {report.counts.rejected:,} rejected and "
            f"{report.counts.unconfirmed:,} unconfirmed of {report.counts.people:,} people. "
            f"{report.error or 'See rejects.csv for reasons and remedies'}. Files of the run: {folder.uri}"
        )
    return _xcom(report.export, folder, report.batch_ids) | {
        "verdict": report.verdict.value,
        "counts": asdict(report.counts),
    }


def _handed_over(export: str, folder: RunFolder, batch_ids: tuple[str, ...]) -> dict[str, Any]:
    return _xcom(export, folder, batch_ids) | {"verdict": None, "counts": None}


def _xcom(export: str, folder: RunFolder, batch_ids: tuple[str, ...]) -> dict[str, Any]:
    return {"export": export, "run_uri": folder.uri, "batch_ids": list(batch_ids)}


def _map_index(context: Context) -> int | None:
    index = context["ti"].map_index
    return None if index is None or index < 0 else index


def _identity(context: Context, settings: ConnectionSettings, task_id: str) -> RunIdentity:
    map_index = _map_index(context)
    return RunIdentity(
        run_id=str(context["run_id"]),
        dag_id=context["ti"].dag_id,
        export_user=settings.export_user,
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
        task_id=task_id,
        map_index=-1 if map_index is None else map_index,
        data_moment=_data_moment(context),
    )


def _data_moment(context: Context) -> str:
    """Return of what moment a run's data are: its logical date, or the end of its interval, else when it was due."""
    moments = [context.get("logical_date"), context.get("data_interval_end")]
    known = [moment for moment in moments if moment is not None]
    due = getattr(context.get("dag_run"), "run_after", None)
    moment = max(known) if known else due
    return moment.astimezone(UTC).isoformat() if moment else ""


def _warn_of_lonely_disk(root: str) -> None:
    if executors := _executors_with_other_disks():
        log.warning(
            "exports_root is not set, so ledger and runs are kept on this worker's own disk (%s), where other "
            "workers of the %s do not find them and where they may be lost: set [mailchimp] exports_root in "
            "Airflow's configuration to a place that all workers share, such as an object storage",
            root,
            " and the ".join(executors),
        )


def _executors_with_other_disks() -> list[str]:
    """Return the executors whose workers need not share a disk, as far as Airflow's configuration names them."""
    configured = re.split(r"[,;]", conf.get("core", "executor", fallback=""))
    names = [re.split(r"[.:=]", executor.strip())[-1] for executor in configured]
    if "AIRFLOW_IS_K8S_EXECUTOR_POD" in os.environ:
        # The templates of such pods say LocalExecutor: what runs there is a single task.
        names.append("KubernetesExecutor")
    return sorted({name for name in names if name} - _EXECUTORS_ON_ONE_DISK)


def _hide_rows(segments: Any) -> Any:
    """Wrap data frames, because Airflow shows template fields as text, with their first rows."""
    if not isinstance(segments, Mapping):
        return segments
    return {name: TableSpec(value) if is_table(value) else value for name, value in segments.items()}
