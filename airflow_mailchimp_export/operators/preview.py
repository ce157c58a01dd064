"""The operator that works out what an export would do, for somebody to agree to."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from airflow_mailchimp_export.failures import failing_in_short
from airflow_mailchimp_export.operators.segments import SegmentToMailchimpOperator
from airflow_mailchimp_export.settings.approval import ApprovalMode, Approved, digest_of
from airflow_mailchimp_export.settings.coercion import boolean, choice, parse_setting

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_mailchimp_export.accounting.report import Report
    from airflow_mailchimp_export.definition import ExportDefinition
    from airflow_mailchimp_export.settings.connection import ConnectionSettings
    from airflow_mailchimp_export.state.run import RunFolder


class ExportPreviewOperator(SegmentToMailchimpOperator):
    """Makes the dry run of an export, whose counts are shown to whoever has to agree to it.

    It has a run folder of its own beside that of the export, takes no lock, and changes neither audience nor ledger.
    Where nobody has to be asked it says so in its XCom, and where that is known before, makes no dry run.

    :param when: ``always``; ``above_removal_ratio``, when more would be removed than is allowed; or ``first_run``, as
        long as the export has no ledger. Nobody is asked about a dry run.
    """

    template_fields = SegmentToMailchimpOperator.template_fields

    def __init__(self, *, when: str, **kwargs: Any) -> None:
        # It is no task that the audience comes from.
        super().__init__(**{"wait_for_completion": False, **kwargs})
        self.when = when

    def execute(self, context: Context) -> dict[str, Any]:
        """Make the dry run, unless nobody has to be asked whatever comes of it."""
        known = replace(self.known(context), dry_run=True, preview=True)
        with failing_in_short(), self.publishing(context, known):
            when = parse_setting("when", self.when, choice(*ApprovalMode))
            if reason := self._needless(when, context):
                self.log.info("Nobody is asked: %s", reason)
                return {"asks": False, "reason": reason}
            submission = self._submit(context)
            assert submission.report is not None  # a dry run leaves nothing to wait for
            return self._shown(when, submission.report, submission.run, context)

    def run_name(self, context: Context) -> str:
        """Return the name of the run, which is not that of the export."""
        return f"{super().run_name(context)}.preview"

    def definition(self, context: Context, settings: ConnectionSettings) -> ExportDefinition:
        """Return the same as that of the export, but as a dry run that more removals than are allowed do not stop."""
        asked = super().definition(context, settings)
        # What is over the limit after the first run is not what this asks about.
        return replace(asked, dry_run=True, preview=self.when != ApprovalMode.FIRST_RUN)

    def _needless(self, when: ApprovalMode, context: Context) -> str:
        """Say why nobody need be asked, whatever the dry run would show; empty where that is not known yet."""
        from airflow_mailchimp_export.state.ledger import LEDGER

        if parse_setting("dry_run", self.dry_run, boolean):
            return "this is a dry run"
        if when is ApprovalMode.ABOVE_REMOVAL_RATIO and parse_setting("withdraw", self.withdraw, boolean):
            return "what is withdrawn has no removal limit"
        has_run = when is ApprovalMode.FIRST_RUN and self.run_folder(context).export_folder().exists(LEDGER)
        return "the export has run before" if has_run else ""

    def _shown(
        self, when: ApprovalMode, report: Report, folder: RunFolder, context: Context
    ) -> dict[str, Any]:
        manifest = folder.manifest
        asks = when is not ApprovalMode.ABOVE_REMOVAL_RATIO or bool(manifest.over_limit)
        removals = {count.tag: count.removed for count in manifest.removals}
        return {
            **self.tell(report, folder),
            "asks": asks,
            "reason": "" if asks else "no more would be removed than max_removal_ratio allows",
            "audience_id": report.audience_id,
            "segments": {name: asdict(segment) for name, segment in report.segments.items()},
            "over_limit": manifest.over_limit,
            "rejects_new": report.rejects_new,
            "withdraw": report.withdraw,
            "log_url": getattr(context["ti"], "log_url", ""),
            "approved": Approved(digest_of(manifest.sources), removals).to_value(),
        }
