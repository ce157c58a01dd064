"""What an export is asked to do, and one run of it with all that it needs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from airflow_mailchimp_export.fields.field_map import FieldMap
from airflow_mailchimp_export.mailchimp.gateway import Gateway
from airflow_mailchimp_export.model import Delivery
from airflow_mailchimp_export.options import ExportOptions, OnLeave
from airflow_mailchimp_export.settings.segments import Segment
from airflow_mailchimp_export.sources.finding import PathFactory
from airflow_mailchimp_export.state.run import RunFolder


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportDefinition:
    """What goes where.

    :param on_leave: what becomes of people who left a segment: the name of a kind of removal, or ``keep``.
    :param dry_run: plan and report, but change nothing.
    :param full: send everybody, whatever the ledger says.
    :param contact_limit: the contract's number of contacts; ``None`` where it is not to be checked.
    """

    name: str
    audience_id: str
    segments: tuple[Segment, ...]
    field_map: FieldMap
    delivery: Delivery = Delivery.BATCH
    on_leave: str = OnLeave.UNTAG
    dry_run: bool = False
    full: bool = False
    options: ExportOptions = ExportOptions()
    contact_limit: int | None = None

    @property
    def digest(self) -> str:
        """What stands for the definition, but for rows in memory: a further attempt may have another one."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:16]

    @property
    def columns(self) -> tuple[str, ...]:
        """The source's columns that are needed, each once, the address's first."""
        extra = [self.options.profile_id] if self.options.profile_id else []
        return tuple(dict.fromkeys([*self.field_map.columns, *extra]))


@dataclass(frozen=True, slots=True, kw_only=True)
class RunIdentity:
    """Which run it is, and who answers for it.

    :param map_index: of a mapped task; -1 for any other.
    :param data_moment: of what moment the sources' data are, in ISO 8601; empty where nobody knows.
    """

    run_id: str
    dag_id: str
    export_user: str
    started_at: str
    task_id: str = ""
    map_index: int = -1
    data_moment: str = ""

    @property
    def task(self) -> str:
        """The task that the run belongs to."""
        mapped = f"[{self.map_index}]" if self.map_index >= 0 else ""
        return f"{self.dag_id}.{self.task_id}{mapped}" if self.task_id else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext:
    """One run: what it is to do, and what it does it with.

    :param folder: where it keeps its files; a run found there that is not accounted for is continued.
    :param path_factory: makes a path of a source's URI and connection id.
    """

    definition: ExportDefinition
    identity: RunIdentity
    gateway: Gateway
    folder: RunFolder
    path_factory: PathFactory
