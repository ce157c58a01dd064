"""The ways to Mailchimp, chosen from a table; the files of a run, named in one place."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

import airflow_mailchimp_export
from airflow_mailchimp_export.counts import Counts
from airflow_mailchimp_export.delivery.deliveries import DELIVERIES, delivery_of
from airflow_mailchimp_export.delivery.direct import DirectDelivery
from airflow_mailchimp_export.mailchimp.gateway import Gateway
from airflow_mailchimp_export.model import Delivery
from airflow_mailchimp_export.state import ledger, lock
from airflow_mailchimp_export.state import run as run_files
from airflow_mailchimp_export.state.run import RunFolder
from tests.kit.client import FakeClient, gateway
from tests.kit.life import Life
from tests.kit.people import many

PACKAGE = Path(airflow_mailchimp_export.__file__).parent


@dataclass
class Slowly:
    """A third way: it sends when it is asked for the answers."""

    gateway: Gateway

    def deliver(self, run: RunFolder, *, on_batch: Callable[[str], None]) -> tuple[str, ...]:
        """Say that there is something to wait for."""
        on_batch("later")
        return ("later",)

    def collect(self, run: RunFolder, *, further: bool) -> None:
        """Send now."""
        DirectDelivery(self.gateway).deliver(run, on_batch=lambda batch_id: None)


def test_every_delivery_has_its_class() -> None:
    """Each value that users can give leads to a way of delivering."""
    assert DELIVERIES.keys() == set(Delivery)


def test_another_delivery_is_a_class_and_a_row(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run whose delivery has another class in the table is delivered and collected by it."""
    monkeypatch.setitem(DELIVERIES, Delivery.BATCH, Slowly)
    noted: list[str] = []
    submission, run = life.submit({"S": many(700)}, delivery=Delivery.BATCH, on_batch=noted.append)
    assert (submission.batch_ids, submission.report, noted) == (("later",), None, ["later"])
    assert life.audience() == {}
    assert life.finalize(run).counts == Counts(rows_read=700, created=700)


def test_the_delivery_is_the_one_that_was_planned(life: Life) -> None:
    """Whoever goes on with a run delivers it as it was planned, whatever the task says by now."""
    _, run = life.submit({"S": many(3)}, delivery=Delivery.BATCH)
    found = delivery_of(RunFolder(Path(run.uri)), gateway(FakeClient()))
    assert type(found) is DELIVERIES[Delivery.BATCH]


def test_nobody_else_names_a_file() -> None:
    """The names of the files that runs leave are spelled in ``state`` and nowhere else in the package."""
    names = {run_files.PLAN, run_files.RUN, run_files.BATCHES, run_files.OUTCOMES, run_files.REJECTS}
    names |= {run_files.REPORT, run_files.SET_ASIDE, ledger.LEDGER, lock.LOCK}
    elsewhere = [path for path in PACKAGE.rglob("*.py") if "state" not in path.relative_to(PACKAGE).parts]
    assert {text for path in elsewhere for text in _texts(path)} & names == set()


def _texts(path: Path) -> set[str]:
    nodes = ast.walk(ast.parse(path.read_text()))
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
