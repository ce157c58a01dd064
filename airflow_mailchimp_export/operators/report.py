"""The operator that accounts for an export which another task submitted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_mailchimp_export.errors import ConfigError, RetryableError
from airflow_mailchimp_export.exports_root import storage_path
from airflow_mailchimp_export.failures import failing_in_short, is_final, show_error
from airflow_mailchimp_export.hooks import MailchimpHook
from airflow_mailchimp_export.operators.identity import known_before
from airflow_mailchimp_export.operators.publishing import Outcome
from airflow_mailchimp_export.operators.segments import SegmentToMailchimpOperator
from airflow_mailchimp_export.operators.task import ExportTask
from airflow_mailchimp_export.settings.coercion import from_list_text, id_list, parse_setting
from airflow_mailchimp_export.stored_progress import stored_progress

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_mailchimp_export.state.run import RunFolder

_FAILED = frozenset({"failed", "upstream_failed"})


class MailchimpExportReportOperator(ExportTask):
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
        self.declare_audience()

    def execute(self, context: Context) -> dict[str, Any] | list[dict[str, Any]]:
        """Account for the run, or for each of several."""
        with failing_in_short(), self.publishing(context, known_before(context, self.mailchimp_conn_id)):
            if not self.run_uri:
                raise ConfigError(
                    "There is no run to account for: the export task did not hand one over",
                    "Read the log of the export task, or let this task run only after an export that succeeded",
                )
            run_uri = parse_setting("run_uri", self.run_uri, from_list_text)
            if isinstance(run_uri, str):
                return self.finalize(_run_at(run_uri))
            run_uris = parse_setting("run_uri", run_uri, id_list)
        return self._account_for_all(context, run_uris)

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

    def _account_for_all(self, context: Context, run_uris: Sequence[str]) -> list[dict[str, Any]]:
        errors, accounts = self._failed_exports(context), []
        outcomes: list[Outcome] = []
        try:
            for run_uri in run_uris:
                try:
                    self._known = replace(known_before(context, self.mailchimp_conn_id), run_uri=run_uri)
                    with self._noting(outcomes), stored_progress(context):
                        accounts.append(self.finalize(_run_at(run_uri)))
                except Exception as error:
                    # The runs of other exports are to be accounted for anyway.
                    show_error(error)
                    errors.append(error)
        finally:
            self.publish(context, outcomes)
        if errors:
            raise _one_of(errors)
        return accounts

    @contextmanager
    def _noting(self, outcomes: list[Outcome]) -> Iterator[None]:
        """Note what one of several runs comes to."""
        self._run_folder, self._outcome = None, None
        try:
            yield
        except BaseException as error:
            outcomes.append(self.failure(error))
            raise
        if self._outcome:
            outcomes.append(self._outcome)

    def finalize(self, folder: RunFolder) -> dict[str, Any]:
        """Account for a run; return what goes into the XCom."""
        self._known = replace(self._known, **_told_by(folder))
        return super().finalize(folder)


def _run_at(uri: str) -> RunFolder:
    from airflow_mailchimp_export.state.run import RunFolder

    return RunFolder(storage_path(uri))


def _told_by(folder: RunFolder) -> dict[str, Any]:
    """Return what the files of a run tell of it, as far as they can be read."""
    with suppress(ConfigError, OSError):
        manifest = folder.manifest
        return {
            "export": manifest.export,
            "audience_id": manifest.audience_id,
            "dry_run": manifest.dry_run,
            "full": manifest.full,
            "withdraw": manifest.withdraw,
        }
    return {"export": folder.export_folder().name}


def _one_of(errors: Sequence[Exception]) -> Exception:
    """Return what fails the task: for good where no run can come out better the next time."""
    message = "; ".join(map(str, errors))
    final = all(is_final(error) for error in errors)
    return AirflowFailException(message) if final else RetryableError(message)
