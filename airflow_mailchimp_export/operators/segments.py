"""The operator that exports segments: what it is asked for, and how it goes about it.

What reads and writes profiles is imported where a task works: whoever only reads a DAG need not wait for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import conf

from airflow_mailchimp_export.delivery.watch import DEFAULT_STALL_TIMEOUT
from airflow_mailchimp_export.errors import ConfigError, before_anything_is_sent
from airflow_mailchimp_export.exports_root import default_exports_root, storage_path
from airflow_mailchimp_export.failures import failing_in_short
from airflow_mailchimp_export.hooks import MailchimpHook, log_consent
from airflow_mailchimp_export.insights_hooks import insights_client
from airflow_mailchimp_export.mailchimp.gateway import Gateway
from airflow_mailchimp_export.model import Delivery
from airflow_mailchimp_export.operators.databases import open_connection
from airflow_mailchimp_export.operators.identity import identity_of, known_before, map_index_of
from airflow_mailchimp_export.operators.lonely_disks import warn_of_lonely_disk
from airflow_mailchimp_export.operators.query_files import QueryFiles
from airflow_mailchimp_export.operators.results import handed_over
from airflow_mailchimp_export.operators.waiting import DEFAULT_WAIT_TIMEOUT, WaitingTask
from airflow_mailchimp_export.options import ExportOptions, parse_export_name, parse_on_leave
from airflow_mailchimp_export.sensors import to_seconds
from airflow_mailchimp_export.settings.approval import parse_approved
from airflow_mailchimp_export.settings.coercion import boolean, choice, is_blank, parse_setting
from airflow_mailchimp_export.settings.connection import audience_id
from airflow_mailchimp_export.settings.segments import TableSpec, is_table, parse_retired, parse_segments

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_mailchimp_export.definition import ExportDefinition
    from airflow_mailchimp_export.export import Submission
    from airflow_mailchimp_export.published.building import Known
    from airflow_mailchimp_export.settings.connection import ConnectionSettings
    from airflow_mailchimp_export.state.run import RunFolder


class SegmentToMailchimpOperator(QueryFiles, WaitingTask):
    """Exports segments of profiles to a Mailchimp audience, where each becomes a tag.

    Nobody who is unsubscribed, cleaned, pending, transactional or archived there is touched, and every
    profile read is accounted for in the run's ``report.json`` and ``rejects.csv`` under ``exports_root``.

    :param segments: by name: a URI of files; a mapping with ``uri``, or with ``sql`` (a query, or the name of a
        ``.sql`` file) and ``conn_id``, or with ``segment`` (of Customer Insights) and ``conn_id`` or the ``uri`` of its
        file export; a pandas.DataFrame or pyarrow.Table, also from an upstream task.
        The tag is the segment's name unless the key ``tag`` says otherwise. Where a template gives text, mappings
        are taken as JSON; so are ``field_map`` and ``options``.
    :param field_map: which column fills which merge field; ``EMAIL`` is required.
    :param audience_id: Mailchimp's audience id; the connection's unless set.
    :param mailchimp_conn_id: the Mailchimp connection.
    :param export_name: the folder of the export; ``<dag_id>.<task_id>`` unless set. Mapped exports need one each.
    :param delivery: ``"batch"`` hands jobs over to Mailchimp, ``"direct"`` makes the calls itself.
    :param on_leave: what becomes of people added by this export and who left a segment: ``"untag"`` takes
        the tag, ``"archive"`` archives who is in no segment any more, ``"keep"`` leaves them.
    :param dry_run: plan and report what would be done, and change nothing.
    :param full: send everybody, whatever the ledger says; a ledger that cannot be used is set aside.
    :param retire: names that segments had as tags which were taken out of the export: whom it gave them loses them,
        whatever ``on_leave`` says. A name may stay here for good.
    :param withdraw: take back all tags that the export gave, and send nobody; no source is read.
    :param approved: what somebody has agreed to, from the XCom of the task that asked: the segments have to be those
        that were previewed, and as many may be removed as were shown, whatever ``max_removal_ratio``.
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
    :param data_moment: of what moment the profiles are, with its zone in ISO 8601; unless set, the logical date of the
        run, the end of its interval, or when it was due.
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
        "retire",
        "withdraw",
        "approved",
        "exports_root",
        "options",
        "data_moment",
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
        retire: Iterable[str] | str = (),
        withdraw: bool | str = False,
        approved: Mapping[str, Any] | str | None = None,
        wait_for_completion: bool = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        stall_timeout: float | timedelta = DEFAULT_STALL_TIMEOUT,
        wait_timeout: float | timedelta = DEFAULT_WAIT_TIMEOUT,
        exports_root: str | None = None,
        options: ExportOptions | Mapping[str, Any] | str | None = None,
        data_moment: datetime | str | None = None,
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
        self.retire = retire
        self.withdraw = withdraw
        self.approved = approved
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.stall_timeout = stall_timeout
        self.wait_timeout = wait_timeout
        self.exports_root = exports_root
        self.options = options
        self.data_moment: Any = data_moment
        # Otherwise the task that accounts for the run publishes the audience.
        if wait_for_completion:
            self.declare_audience()

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
        with failing_in_short(), self.publishing(context, self.known(context)):
            submission = self._submit(context)
            folder = submission.run
            if submission.report:
                return self.tell(submission.report, folder)
            if not self.wait_for_completion:
                return handed_over(self._name(context), folder, submission.batch_ids)
            return self.wait_and_account(context, folder, submission.batch_ids)

    def _submit(self, context: Context) -> Submission:
        from airflow_mailchimp_export.definition import RunContext
        from airflow_mailchimp_export.export import Export

        hook = MailchimpHook(self.mailchimp_conn_id)
        with ExitStack() as stack:
            with before_anything_is_sent():
                self.check_files()
                settings = hook.settings()
                log_consent(settings, hook.mailchimp_conn_id)
                client = stack.enter_context(hook.client(settings))
                self._close = client.close
                definition = self.definition(context, settings)
                self._known = replace(self._known, audience_id=definition.audience_id)
                folder = self._run_folder = self._folder(context, definition.name)
                identity = identity_of(context, settings, self, client.base_url, definition.segments)
            run = RunContext(
                definition=definition,
                identity=identity,
                gateway=Gateway(client, hook.permit(self.dag_id)),
                folder=folder,
                path_factory=storage_path,
                connection_factory=open_connection,
                insights=insights_client,
            )
            export = Export(run, stall_timeout=to_seconds(self.stall_timeout))
            try:
                return export.submit(on_batch=self.note_batch)
            finally:
                self._run_folder = export.run

    def known(self, context: Context) -> Known:
        """Return what is known of the run before it begins, as far as it can be read."""
        return known_before(
            context,
            self.mailchimp_conn_id,
            export=self.export_name or f"{self.dag_id}.{self.task_id}",
            audience_id="" if is_blank(self.audience_id) else self.audience_id,
            dry_run=self.dry_run,
            full=self.full,
            withdraw=self.withdraw,
        )

    def run_folder(self, context: Context) -> RunFolder:
        """Return where the run keeps its files."""
        return self._folder(context, self._name(context))

    def definition(self, context: Context, settings: ConnectionSettings) -> ExportDefinition:
        """Return what the operator is asked to do.

        :raises ConfigError: names the parameter that is wrong.
        """
        from airflow_mailchimp_export.definition import ExportDefinition
        from airflow_mailchimp_export.fields.field_map import parse_field_map

        withdraw = parse_setting("withdraw", self.withdraw, boolean)
        # Nothing is read, so there need be nothing to read.
        segments = () if withdraw and not self.segments else parse_segments(self.segments)
        definition = ExportDefinition(
            name=self._name(context),
            audience_id=self._audience(settings),
            segments=segments,
            field_map=parse_field_map(self.field_map),
            delivery=parse_setting("delivery", self.delivery, choice(*Delivery)),
            on_leave=parse_setting("on_leave", self.on_leave, parse_on_leave),
            dry_run=parse_setting("dry_run", self.dry_run, boolean),
            full=parse_setting("full", self.full, boolean),
            options=ExportOptions.from_value(self.options),
            contact_limit=settings.contact_limit,
            retire=parse_retired(self.retire, segments),
            approved=parse_setting("approved", self.approved, parse_approved),
        )
        return definition.withdrawal() if withdraw else definition

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
        export_folder = ExportFolder(storage_path(root) / parse_export_name(name))
        return export_folder.run(parse_export_name(self.run_name(context)))

    def run_name(self, context: Context) -> str:
        """Return the name of the run, which is that of its folder."""
        map_index = map_index_of(context)
        return str(context["run_id"]) if map_index is None else f"{context['run_id']}.{map_index}"


def _hide_rows(segments: Any) -> Any:
    """Wrap data frames, because Airflow shows template fields as text, with their first rows."""
    if not isinstance(segments, Mapping):
        return segments
    return {name: TableSpec(value) if is_table(value) else value for name, value in segments.items()}
