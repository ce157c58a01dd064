"""Following people whose address changed."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from airflow_mailchimp_export.delivery.removals import Outcomes
from airflow_mailchimp_export.errors import PermanentError
from airflow_mailchimp_export.mailchimp import calls
from airflow_mailchimp_export.mailchimp.gateway import Gateway
from airflow_mailchimp_export.model import Effect, Outcome, Reason
from airflow_mailchimp_export.state.plan_file import Rename

log = logging.getLogger(__name__)


def rename_members(renames: Iterable[Rename], gateway: Gateway, audience_id: str) -> Outcomes:
    """Let members keep their history when their address changes; refused where the new one is taken."""
    outcomes = []
    for rename in renames:
        call = calls.rename(audience_id, rename.old_hash, rename.email, status_if_new=rename.status)
        try:
            gateway.send(call)
        except PermanentError as refusal:
            log.info("A changed address could not be followed: %s", refusal)
            outcomes.append(
                Outcome(rename.old_email, Effect.RENAME_REFUSED, reason=Reason.REFUSED, words=refusal.words)
            )
        else:
            outcomes.append(Outcome(rename.old_email, Effect.RENAMED))
    return tuple(outcomes)
