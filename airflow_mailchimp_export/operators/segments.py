"""The operator that exports segments: what it is asked for, and how it goes about it.

What reads and writes profiles is imported where a task works: whoever only reads a DAG need not wait for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import conf

from airflow_mailchimp_export.delivery.watch import DEFAULT_STALL_TIMEOUT
from airflow_mailchimp_export.errors import ConfigError, before_anything_is_sent
from airflow_mailchimp_export.exports_root import default_exports_root, storage_path
from airflow_mailchimp_export.failures import failing_in_short
from airflow_mailchimp_export.hooks import MailchimpHook
from airflow_mailchimp_export.mailchimp.gateway import Gateway
from airflow_mailchimp_export.model import Delivery
from airflow_mailchimp_export.operators.identity import identity_of, map_index_of
from airflow_mailchimp_export.operators.lonely_disks import warn_of_lonely_disk
from airflow_mailchimp_export.operators.results import handed_over, told
from airflow_mailchimp_export.operators.waiting import DEFAULT_WAIT_TIMEOUT, WaitingTask
from airflow_mailchimp_export.options import ExportOptions, parse_export_name, parse_on_leave
from airflow_mailchimp_export.sensors import to_seconds
from airflow_mailchimp_export.settings.coercion import boolean, choice, is_blank, parse_setting
from airflow_mailchimp_export.settings.connection import audience_id
from airflow_mailchimp_export.settings.segments import TableSpec, is_table, parse_segments

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_mailchimp_export.definition import ExportDefinition
    from airflow_mailchimp_export.export import Submission
    from airflow_mailchimp_export.settings.connection import ConnectionSettings
    from airflow_mailchimp_export.state.run import RunFolder


class SegmentToMailchimpOperator(WaitingTask):
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
        with failing_in_short():
            submission = self._submit(context)
            folder = self._run_folder = submission.run
            if submission.report:
                return told(submission.report, folder)
            if not self.wait_for_completion:
                return handed_over(self._name(context), folder, submission.batch_ids)
            return self.wait_and_account(context, folder, submission.batch_ids)

    def _submit(self, context: Context) -> Submission:
        from airflow_mailchimp_export.definition import RunContext
        from airflow_mailchimp_export.export import Export

        hook = MailchimpHook(self.mailchimp_conn_id)
        with ExitStack() as stack:
            with before_anything_is_sent():
                settings = hook.settings()
                client = stack.enter_context(hook.client(settings))
                self._close = client.close
                definition = self._definition(context, settings)
                folder = self._run_folder = self._folder(context, definition.name)
            run = RunContext(
                definition=definition,
                identity=identity_of(context, settings, self.task_id),
                gateway=Gateway(client, hook.permit(self.dag_id)),
                folder=folder,
                path_factory=storage_path,
            )
            return Export(run, stall_timeout=to_seconds(self.stall_timeout)).submit(on_batch=self.note_batch)

    def run_folder(self, context: Context) -> RunFolder:
        """Return where the run keeps its files."""
        return self._folder(context, self._name(context))

    def _definition(self, context: Context, settings: ConnectionSettings) -> ExportDefinition:
        from airflow_mailchimp_export.definition import ExportDefinition
        from airflow_mailchimp_export.fields.field_map import parse_field_map

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
            "No audience is named",
            "Set audience_id of the operator, or Default audience id (audience_id) of connection "
            f"{self.mailchimp_conn_id!r} (in Mailchimp: Audience, Settings, Audience name and defaults)",
        )

    def _name(self, context: Context) -> str:
        return self._default_name(context) if self.export_name in (None, "") else self.export_name

    def _default_name(self, context: Context) -> str:
        if map_index_of(context) is not None:
            raise ConfigError(
                f"{self.task_id} is mapped, so each of its exports needs an export_name of its own, by which its "
                "ledger is found again: a map index may stand for another export in the next run",
                'Give it with the mapped values, as in .expand_kwargs([{"export_name": "vip", "segments": ...}, ...])',
            )
        return f"{self.dag_id}.{self.task_id}"

    def _folder(self, context: Context, name: str) -> RunFolder:
        from airflow_mailchimp_export.state.run import ExportFolder

        root = self.exports_root or default_exports_root()
        if not (self.exports_root or conf.get("mailchimp", "exports_root", fallback="")):
            warn_of_lonely_disk(root)
        map_index = map_index_of(context)
        run = str(context["run_id"]) if map_index is None else f"{context['run_id']}.{map_index}"
        export_folder = ExportFolder(storage_path(root) / parse_export_name(name))
        return export_folder.run(parse_export_name(run))


def _hide_rows(segments: Any) -> Any:
    """Wrap data frames, because Airflow shows template fields as text, with their first rows."""
    if not isinstance(segments, Mapping):
        return segments
    return {name: TableSpec(value) if is_table(value) else value for name, value in segments.items()}
