"""Who may not be sent as Mailchimp has it, held against what a run found out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pyarrow.parquet as pq
import pytest

from airflow_mailchimp_export.address import subscriber_hash
from airflow_mailchimp_export.planning import statuses
from airflow_mailchimp_export.planning.statuses import StatusLookup
from tests.kit.sandbox import InProcessSandbox
from tests.model.world import HELD_BACK


@dataclass
class Oracle:
    """Watches every look-up of every run.

    :ivar ways: how often which way was taken, by the first word of what the report says.
    :ivar meanwhile: the addresses of those who said no since the run began: it need not know of them yet.
    """

    sandbox: InProcessSandbox
    ways: Counter[str] = field(default_factory=Counter)
    meanwhile: set[str] = field(default_factory=set)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Let runs keep whom they look up, however few these are, and look at what they found."""
        keep = StatusLookup.keep

        def checked(lookup: StatusLookup) -> None:
            self._check(lookup)
            keep(lookup)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(statuses, "REQUESTS_TO_ASK", 0)
            patch.setattr(StatusLookup, "keep", checked)
            yield

    def _check(self, lookup: StatusLookup) -> None:
        self.ways[lookup.how.partition(" ")[0]] += 1
        found = {(row["subscriber_hash"], row["status"]) for row in pq.read_table(lookup.path).to_pylist()}
        there = {
            (subscriber_hash(email), member["status"]): email
            for email, member in self.sandbox.members().items()
            if member["status"] in HELD_BACK and email not in self.meanwhile
        }
        missed = [email for key, email in there.items() if key not in found]
        assert not missed, f"{missed} may not be sent, which nobody found out: {lookup.how}"
        superfluous = (
            found
            - there.keys()
            - {(subscriber_hash(email), status) for email in self.meanwhile for status in HELD_BACK}
        )
        assert not superfluous, f"{len(superfluous)} are held back who may be sent: {lookup.how}"
