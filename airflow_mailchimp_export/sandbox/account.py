"""The account: its audiences, its batches, its settings and its time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from airflow_mailchimp_export.sandbox.batch_state import BatchBook
from airflow_mailchimp_export.sandbox.calls import Call
from airflow_mailchimp_export.sandbox.fault_plan import FaultPlan
from airflow_mailchimp_export.sandbox.grants import Grants
from airflow_mailchimp_export.sandbox.meter import Meter
from airflow_mailchimp_export.sandbox.problems import NOT_FOUND, Refused
from airflow_mailchimp_export.sandbox.settings import Settings
from airflow_mailchimp_export.sandbox.state import Audience

AUDIENCE_ID = "a1b2c3d4e5"


@dataclass(eq=False)
class Account:
    """One Mailchimp account."""

    settings: Settings = field(default_factory=Settings)
    url: str = "http://127.0.0.1"
    clock: Callable[[], float] = time.time
    audiences: dict[str, Audience] = field(default_factory=dict, init=False)
    batches: BatchBook = field(default_factory=BatchBook)
    meter: Meter = field(default_factory=Meter)
    fault_plan: FaultPlan = field(default_factory=FaultPlan)
    grants: Grants = field(default_factory=Grants)

    def __post_init__(self) -> None:
        """Make the first audience."""
        self.add_audience(AUDIENCE_ID, "Sandbox audience")

    def clear(self) -> None:
        """Forget everything but the settings."""
        for batch in list(self.batches.batches.values()):
            self.batches.drop(batch)
        self.fault_plan.clear()
        self.grants.clear()
        self.audiences.clear()
        self.add_audience(AUDIENCE_ID, "Sandbox audience")

    @property
    def api_url(self) -> str:
        """What every link in an answer begins with."""
        return f"{self.url}/3.0"

    def add_audience(self, audience_id: str, name: str) -> Audience:
        """Make an audience."""
        audience = Audience(audience_id, name, self.now(), folds_case=lambda: self.settings.tags_fold_case)
        self.audiences[audience_id] = audience
        return audience

    def audience(self, call: Call) -> Audience:
        """The audience that the path names."""
        found = self.audiences.get(call.args["list_id"])
        if found is None:
            raise Refused(NOT_FOUND)
        return found

    def now(self) -> int:
        """The account's time in whole seconds, as Mailchimp keeps it."""
        return int(self.clock() + self.settings.clock_shift)
