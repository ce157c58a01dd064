"""Asking for somebody's yes: the tasks before an export that show what it would do, and wait for an answer."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

from airflow.providers.common.compat.sdk import AirflowFailException, Context
from airflow.providers.standard.operators.hitl import ApprovalOperator, HITLOperator

from airflow_mailchimp_export.config.entries import Export
from airflow_mailchimp_export.dags.alerts import alert_asked, alerts_of_questions, on_failure

SHOWN_COUNTS = ("created", "updated", "removed", "unchanged", "suppressed", "rejected")
"""In the order in which they are shown."""


class ExportApprovalOperator(ApprovalOperator):
    """Shows the counts of a preview, and waits until somebody says yes or no; never an address.

    After a no, all tasks that follow are skipped and nothing is sent; without an answer in time the task fails.

    :param preview: the XCom of :class:`~airflow_mailchimp_export.operators.preview.ExportPreviewOperator`; where it
        says that nobody has to be asked, nobody is.
    :param tell: tells people of the question, given the preview and the context; nobody unless set.
    """

    template_fields = (*ApprovalOperator.template_fields, "preview")

    def __init__(
        self, *, preview: Any, tell: Callable[[Any, Any], None] = lambda *_: None, **kwargs: Any
    ) -> None:
        super().__init__(
            subject="Export to Mailchimp",
            body="",
            # A report would have nothing to account for.
            ignore_downstream_trigger_rules=True,
            multiple_outputs=True,
            **kwargs,
        )
        self.preview = preview
        self.tell = tell

    def execute(self, context: Context) -> dict[str, Any]:
        """Ask, unless nobody has to be asked."""
        if not self.preview["asks"]:
            self.log.info("Nobody is asked: %s", self.preview["reason"])
            return {"approved": {}, "by": ""}
        self.subject = f"{'Withdraw' if self.preview['withdraw'] else 'Run'} export {self.preview['export']}?"
        self.body = body_of(self.preview)
        self.tell(self.preview, context)
        # It does not come back: the task is set aside until there is an answer.
        answer: dict[str, Any] = super().execute(context)
        return answer

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Let the export do what was shown, or skip it."""
        user = event.get("responded_by_user") or {}
        by = str(user.get("name") or user.get("id") or "somebody")
        rejected = event.get("chosen_options") == [self.REJECT]
        if rejected:
            # Before, because skipping what follows ends the task.
            self.log.warning("Nothing is sent: %s said no to this export", by)
        super().execute_complete(context, event)
        if rejected:
            return {"approved": {}, "by": by}
        self.log.info("%s said yes to this export", by)
        return {"approved": self.preview["approved"], "by": by}

    def process_trigger_event_error(self, event: dict[str, Any]) -> None:
        """Fail for good: asked again, people would find two questions.

        :raises AirflowFailException: nobody answered in time, or the answer could not be taken.
        """
        if event["error_type"] == "timeout":
            raise AirflowFailException(
                "Nobody said yes or no in time, so nothing was sent. Start a new run, and answer it under "
                "Required Actions; approval_hours in the export's entry says how long a run waits"
            )
        raise AirflowFailException(
            f"Nothing was sent, because the answer could not be taken: {event['error']}"
        )


def approval_of(name: str, export: Export, preview: Any) -> ExportApprovalOperator:
    """Make the task that asks.

    :param preview: what the task before it returns.
    """
    users = [{"id": user, "name": user} for user in export.approvers]
    return ExportApprovalOperator(
        task_id="approve",
        preview=preview,
        tell=partial(alert_asked, name, alerts_of_questions(export)),
        **on_failure(name, export),
        **({"assigned_users": users} if users else {}),
        **_time_limit(export.approval_hours),
    )


def _time_limit(hours: float | None) -> dict[str, timedelta]:
    """Return what limits the wait: before standard provider 1.13 this was the time limit of every task."""
    if hours is None:
        return {}
    knows = "response_timeout" in inspect.signature(HITLOperator.__init__).parameters
    return {"response_timeout" if knows else "execution_timeout": timedelta(hours=hours)}


def body_of(preview: Mapping[str, Any]) -> str:
    """Return what is shown, in Markdown."""
    return "\n".join(_lines(preview))


def _lines(preview: Mapping[str, Any]) -> Iterator[str]:
    what = "take back all that it gave" if preview["withdraw"] else "do this"
    yield f"Export **{preview['export']}** would {what} in audience `{preview['audience_id']}`:"
    yield ""
    if preview["over_limit"]:
        yield f"**{preview['over_limit']}.** A yes lets it remove so many, and no more."
        yield ""
    counts = preview["counts"]
    yield from _table(
        ("people", "would be"),
        [(f"{counts[name]:,}", _named(name, preview)) for name in SHOWN_COUNTS],
    )
    yield from _table(
        ("segment", "rows", "would join", "would leave"),
        [
            (_escaped(name), *(f"{segment[key]:,}" for key in ("rows", "joined", "left")))
            for name, segment in preview["segments"].items()
        ],
    )
    yield "A yes sends that; where the segments are built again before, the run stops, and a no sends nothing."
    if preview["log_url"]:
        yield ""
        yield f"[Log of the preview]({preview['log_url']})"
    yield ""
    yield f"Files of the preview: `{preview['run_uri']}`"


def _named(count: str, preview: Mapping[str, Any]) -> str:
    return f"{count}, {preview['rejects_new']:,} of them new" if count == "rejected" else count


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    for row in (header, ["---"] * len(header), *rows):
        yield f"| {' | '.join(row)} |"
    yield ""


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|")
