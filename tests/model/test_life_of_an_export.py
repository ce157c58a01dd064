"""Random lives of segments, exported again and again, against the sandbox."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from airflow_mailchimp_export.model import Delivery
from airflow_mailchimp_export.options import OnLeave
from tests.kit.sandbox import InProcessSandbox
from tests.model.events import (
    AT_THE_SOURCE,
    AT_WHAT_IS_KEPT,
    BY_OTHER_HANDS,
    CHANGES,
    DELIVERY,
    MEANWHILE,
    MEMBERSHIP,
    OTHER_SEGMENTS,
    SEGMENTS,
    Change,
    Moment,
)
from tests.model.exports import DAMAGEABLE, ModelledExport
from tests.model.oracle import Oracle
from tests.model.promises import Watch
from tests.model.world import STRANGER, World

THOROUGH = bool(os.environ.get("MAILCHIMP_SOAK"))


class LifeOfAnExport(RuleBasedStateMachine):
    """What happens at the source and in Mailchimp between two exports of an audience, which fail in every way."""

    sandbox: InProcessSandbox
    oracle: Oracle

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="life-of-an-export-"))

    @initialize(
        on_leave=st.sampled_from(list(OnLeave)), memberships=st.lists(MEMBERSHIP, min_size=8, max_size=30)
    )
    def begin(self, on_leave: OnLeave, memberships: list[tuple[int, str]]) -> None:
        """Some people at the source, and in the audience only a stranger who carries a segment's tag by chance."""
        self.sandbox.reset()
        self.sandbox.put([{"email": STRANGER, "status": "subscribed", "tags": ["A"]}])
        self.world = World(self.sandbox)
        self.world.apply([("join", person, segment) for person, segment in memberships])
        self.watch = Watch(self.sandbox, self.world, on_leave)
        common = {"sandbox": self.sandbox, "world": self.world, "watch": self.watch, "on_leave": on_leave}
        common["oracle"] = self.oracle
        self.export = ModelledExport(self.root / "export", SEGMENTS, **common)
        self.other = ModelledExport(self.root / "other", OTHER_SEGMENTS, **common)

    @rule(
        changes=CHANGES,
        meanwhile=MEANWHILE,
        delivery=DELIVERY,
        faults=st.sampled_from([0.0, 0.0, 0.1]),
        full=st.sampled_from([False, False, False, True]),
    )
    def a_day(
        self, *, changes: list[Change], meanwhile: list[Moment], delivery: Delivery, faults: float, full: bool
    ) -> None:
        """Some things change, also while the export runs."""
        self._let(changes)
        self.export.run(delivery, faults=faults, meanwhile=meanwhile, full=full)

    @rule(changes=CHANGES, delivery=DELIVERY)
    def a_day_of_the_other_export(self, changes: list[Change], delivery: Delivery) -> None:
        """Some things change, and another export of the same audience runs."""
        self._let(changes)
        self.other.run(delivery)

    @rule(
        changes=CHANGES,
        delivery=DELIVERY,
        dies_at=st.integers(0, 30),
        applied=st.booleans(),
        corrected=st.lists(AT_THE_SOURCE, max_size=3),
        opting_out=CHANGES,
        look=st.booleans(),
        again=st.booleans(),
    )
    def a_bad_day(
        self,
        *,
        changes: list[Change],
        delivery: Delivery,
        dies_at: int,
        applied: bool,
        corrected: list[Change],
        opting_out: list[Change],
        look: bool,
        again: bool,
    ) -> None:
        """The export is killed; the sources are corrected, people opt out, and it is retried, or the next run comes."""
        self._let(changes)
        self.export.run(delivery, dies_at=dies_at, applied=applied)
        self._let([*corrected, *opting_out])
        if look:
            self.export.dry_run()
        if not again:
            self.export.give_up()
        self.export.run(delivery)

    @rule()
    def a_look(self) -> None:
        """Somebody does a dry run."""
        self.export.dry_run()

    @rule(changes=CHANGES)
    def an_older_run_again(self, changes: list[Change]) -> None:
        """Somebody clears a task of an earlier day."""
        self._let(changes)
        self.export.run_older()

    @rule(name=st.sampled_from(DAMAGEABLE), number=st.integers(0, 5))
    def damage(self, name: str, number: int) -> None:
        """A file of an older run is damaged."""
        self.export.damage(name, number)

    @rule(given=BY_OTHER_HANDS, changes=CHANGES, delivery=DELIVERY)
    def by_other_hands(
        self, given: list[tuple[int, str, int]], changes: list[Change], delivery: Delivery
    ) -> None:
        """Somebody tidies the audience up in Mailchimp, and not all of that shows at once."""
        self._let(changes)
        for number, status, hours in given:
            self.world.administer(self.world.person(number), status, hours=hours)
        self.watch.look_away()
        self.export.run(delivery)

    @rule(how=AT_WHAT_IS_KEPT, number=st.integers(0, 5))
    def what_is_kept(self, how: str, number: int) -> None:
        """Something becomes of what the export keeps of those who may not be sent."""
        self.export.change_statuses(how, number)

    @rule(meanwhile=st.integers(0, 20), delivery=DELIVERY)
    def another_key(self, meanwhile: int, delivery: Delivery) -> None:
        """The key is replaced while the export runs."""
        self.export.run(delivery, rotates_at=meanwhile)

    def _let(self, changes: Sequence[Change]) -> None:
        """Let something happen, once all that is under way has ended."""
        self.export.let_batches_end()
        self.watch.look()
        self.world.apply(changes)
        self.watch.look_away()

    def teardown(self) -> None:
        """Remove what the life left behind."""
        shutil.rmtree(self.root)


@pytest.mark.timeout(0)
def test_the_audience_follows_the_segments_whatever_happens() -> None:
    """After every run that ended well the audience holds the segments, and nobody's status has changed."""
    with InProcessSandbox() as sandbox:
        oracle = Oracle(sandbox)
        parts = {"sandbox": sandbox, "oracle": oracle}
        machine: Callable[[], LifeOfAnExport] = type("Lives", (LifeOfAnExport,), parts)
        with oracle.watching():
            run_state_machine_as_test(machine, settings=_EFFORT)
    assert oracle.ways.keys() == {"asked", "read"}


_EFFORT = settings(
    max_examples=int(os.environ.get("MAILCHIMP_SOAK_LIVES", "150")) if THOROUGH else 5,
    stateful_step_count=30 if THOROUGH else 10,
    # The same lives each time in CI, others each time in a soak.
    derandomize=not THOROUGH,
    deadline=None,
    database=None,
    print_blob=THOROUGH,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.generate, Phase.shrink) if THOROUGH else (Phase.generate,),
)
