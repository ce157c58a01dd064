"""What an export is asked to do, and one run of it with all that it needs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace

from airflow_mailchimp_export.fields.field_map import FieldMap, parse_field_map
from airflow_mailchimp_export.mailchimp.gateway import Gateway
from airflow_mailchimp_export.model import Delivery
from airflow_mailchimp_export.options import ExportOptions, OnLeave
from airflow_mailchimp_export.settings.approval import Approved
from airflow_mailchimp_export.settings.pages import AccountPlace
from airflow_mailchimp_export.settings.segments import Segment
from airflow_mailchimp_export.sources.databases.result import ConnectionFactory
from airflow_mailchimp_export.sources.finding import PathFactory
from airflow_mailchimp_export.sources.insights import ClientFactory
from airflow_mailchimp_export.sources.opening import no_connection
from airflow_mailchimp_export.state.run import RunFolder


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportDefinition:
    """What goes where.

    :param on_leave: what becomes of people who left a segment: the name of a kind of removal, or ``keep``.
    :param dry_run: plan and report, but change nothing.
    :param full: send everybody, whatever the ledger says.
    :param contact_limit: the contract's number of contacts; ``None`` where it is not to be checked.
    :param retire: tags of segments that were taken out of the export, to be taken from whom it gave them.
    :param withdraw: take all that the export gave, and send nobody; see :meth:`withdrawal`.
    :param preview: note that more would be removed than is allowed, in place of stopping there; for dry runs.
    :param approved: what somebody has agreed to, after a preview.
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
    # Not among what is printed, so that runs of releases that knew neither are still told apart as they were.
    retire: tuple[str, ...] = field(default=(), repr=False)
    withdraw: bool = field(default=False, repr=False)
    preview: bool = field(default=False, repr=False)
    approved: Approved | None = field(default=None, repr=False)

    def withdrawal(self) -> ExportDefinition:
        """Return what takes back all that the export gave: nothing is read, so nothing of the sources can stop it."""
        return replace(
            self,
            segments=(),
            field_map=parse_field_map({"EMAIL": "email"}),
            on_leave=OnLeave.UNTAG,
            full=False,
            options=ExportOptions(skip_merge_validation=True, keep_runs=self.options.keep_runs),
            contact_limit=None,
            retire=(),
            withdraw=True,
        )

    @property
    def digest(self) -> str:
        """What stands for the definition, but for rows in memory: a further attempt may have another one."""
        taken = f"{self.retire!r}{self.withdraw!r}" if self.retire or self.withdraw else ""
        return hashlib.sha256(f"{self!r}{taken}".encode()).hexdigest()[:16]

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
    :param connection_id: the Mailchimp connection.
    :param account: where its account is.
    :param read_as: whom Customer Insights took its connections for; empty where nothing was read there.
    """

    run_id: str
    dag_id: str
    export_user: str
    started_at: str
    task_id: str = ""
    map_index: int = -1
    data_moment: str = ""
    connection_id: str = ""
    account: AccountPlace = AccountPlace()
    read_as: tuple[str, ...] = ()

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
    :param connection_factory: opens the connection to a source's database, by its id.
    :param insights: makes a client of the id of a connection to Customer Insights.
    """

    definition: ExportDefinition
    identity: RunIdentity
    gateway: Gateway
    folder: RunFolder
    path_factory: PathFactory
    connection_factory: ConnectionFactory = no_connection
    insights: ClientFactory = no_connection
