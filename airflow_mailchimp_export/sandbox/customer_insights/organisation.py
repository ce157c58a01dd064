"""The organisation: its data, its settings, who is logged in, and its time."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path

from airflow_mailchimp_export.sandbox.customer_insights.faults import FaultPlan
from airflow_mailchimp_export.sandbox.customer_insights.protection import Protection
from airflow_mailchimp_export.sandbox.customer_insights.segments import SAMPLE_SEGMENTS, Churn, Segment
from airflow_mailchimp_export.sandbox.customer_insights.settings import Settings
from airflow_mailchimp_export.sandbox.customer_insights.store import Store, generated
from airflow_mailchimp_export.sandbox.customer_insights.tables import Table, to_tables
from airflow_mailchimp_export.sandbox.lottery import Lottery
from airflow_mailchimp_export.sandbox.meter import Meter

GENERATED = 1000


@dataclass(frozen=True, slots=True)
class Refresh:
    """One refresh of the segments, now or after some pages.

    :param pages: how many pages of rows are still to be answered before it.
    """

    churn: Churn = field(default_factory=Churn)
    shuffle: bool = False
    pages: int = 0


@dataclass(eq=False)
class Organisation:
    """One environment of Customer Insights - Data, with its Dataverse and its tenant.

    :param source: SQL of the profiles; the default is a thousand that are made up.
    :param export_folder: where each refresh writes its files, if it is to write any.
    """

    settings: Settings = field(default_factory=Settings)
    source: str = field(default_factory=lambda: generated(GENERATED))
    segments: Sequence[Segment] = SAMPLE_SEGMENTS
    export_folder: Path | None = None
    url: str = "http://127.0.0.1"
    clock: Callable[[], float] = time.time
    meter: Meter = field(default_factory=Meter)
    fault_plan: FaultPlan = field(default_factory=FaultPlan)
    lottery: Lottery = field(default_factory=Lottery)
    tokens: dict[str, float] = field(default_factory=dict)
    refreshes: int = 0
    waiting: Refresh | None = None
    exported_minute: int = 0
    store: Store = field(init=False)
    protection: Protection = field(init=False)

    def __post_init__(self) -> None:
        """Load the data."""
        self.protection = Protection(self.settings)
        self.load()

    def load(self) -> None:
        """The data as it was at first."""
        self.refreshes, self.waiting = 0, None
        self.store = Store(self.source, self.segments, self.settings, self.version())

    def refresh(self, refresh: Refresh) -> None:
        """Build the segments anew."""
        self.refreshes, self.waiting = self.refreshes + 1, None
        churn = Churn(refresh.churn.leave, refresh.churn.join, self.refreshes)
        self.store.refresh(self.version(), churn, shuffle=refresh.shuffle)

    def due_after_page(self) -> Refresh | None:
        """Note that a page of rows is answered; returned is the refresh that has waited for it."""
        waiting = self.waiting
        if waiting is None or waiting.pages <= 1:
            return waiting
        self.waiting = replace(waiting, pages=waiting.pages - 1)
        return None

    def clear(self) -> None:
        """The data as it was at first, no planned faults, no tokens, and no calls that count for a limit."""
        self.fault_plan.clear()
        self.tokens.clear()
        self.lottery = Lottery()
        self.protection = Protection(self.settings)
        self.load()

    def tables(self) -> Mapping[str, Table]:
        """The tables by the names of their entity sets."""
        return to_tables(self.settings, self.store.attributes)

    def grant(self) -> str:
        """A new access token."""
        token = f"eyJ0eXAiOiJKV1QifQ.{secrets.token_urlsafe(48)}.{secrets.token_urlsafe(32)}"
        self.tokens[token] = self.now() + self.settings.token_lifetime
        return token

    def accepts(self, token: str) -> bool:
        """Whether an access token is valid."""
        return self.tokens.get(token, 0.0) > self.now()

    def now(self) -> float:
        """Seconds since 1970, as the organisation sees them."""
        return self.clock() + self.settings.clock_shift

    @property
    def secret(self) -> bytes:
        """What links to next pages are signed with."""
        return blake2b(f"links {self.settings.seed}".encode(), digest_size=16).digest()

    def identifier(self, of: str) -> str:
        """A GUID of the organisation."""
        digest = blake2b(of.encode(), digest_size=16).hexdigest()
        return "-".join((digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:]))

    def version(self) -> int:
        """What rows that change now get: microseconds since 1970."""
        return int(self.now() * 1_000_000)
