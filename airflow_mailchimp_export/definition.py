"""What an export is asked to do, and the way to Mailchimp."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from airflow_mailchimp_export.audience import OptOuts
from airflow_mailchimp_export.config import ExportOptions, OnLeave, Segment
from airflow_mailchimp_export.delivery import Upserter
from airflow_mailchimp_export.field_map import FieldMap
from airflow_mailchimp_export.mailchimp.client import MailchimpClient
from airflow_mailchimp_export.model import Delivery
from airflow_mailchimp_export.removal import Remover


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportDefinition:
    """What goes where.

    :param on_leave: what becomes of people who left a segment.
    :param dry_run: plan and report, but change nothing.
    :param full: send everybody, whatever the ledger says.
    :param contact_limit: the contract's number of contacts; ``None`` where it is not to be checked.
    """

    name: str
    audience_id: str
    segments: tuple[Segment, ...]
    field_map: FieldMap
    delivery: Delivery = Delivery.BATCH
    on_leave: OnLeave = OnLeave.UNTAG
    dry_run: bool = False
    full: bool = False
    options: ExportOptions = ExportOptions()
    contact_limit: int | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The source's columns that are needed, each once, the address's first."""
        extra = [self.options.profile_id] if self.options.profile_id else []
        return tuple(dict.fromkeys([*self.field_map.columns, *extra]))


@dataclass(frozen=True, slots=True, kw_only=True)
class RunIdentity:
    """Which run it is, and who answers for it."""

    run_id: str
    dag_id: str
    export_user: str
    started_at: str


@dataclass(frozen=True, slots=True)
class Gateway:
    """The way to Mailchimp.

    :param permit: called before every submission; raises :class:`ConfigError` once consent is withdrawn.
    :param sleep: waits that many seconds.
    :param now: the time, with a time zone.
    """

    client: MailchimpClient
    permit: Callable[[], None]
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def upserter(self, audience_id: str, *, skip_merge_validation: bool) -> Upserter:
        """Return what sends members to an audience."""
        return Upserter(
            self.client, audience_id, permit=self.permit, skip_merge_validation=skip_merge_validation
        )

    def remover(self, audience_id: str) -> Remover:
        """Return what lets people leave an audience's segments."""
        return Remover(self.client, audience_id, permit=self.permit)

    def opt_outs(self, audience_id: str, *, planned_at: str) -> OptOuts:
        """Return who said no since a run was planned.

        :param planned_at: ISO 8601, with a time zone.
        """
        return OptOuts(self.client, audience_id, planned_at=datetime.fromisoformat(planned_at), now=self.now)
