"""How often a run asks an object storage: what it is charged for, and waits for."""

from __future__ import annotations

from collections import Counter
from uuid import uuid4

import pytest
from upath import UPath

from airflow_mailchimp_export.model import Delivery
from airflow_mailchimp_export.state.answer_files import FILE_PEOPLE
from airflow_mailchimp_export.state.ledger import LEDGER
from airflow_mailchimp_export.state.lock import LOCK
from airflow_mailchimp_export.state.run import (
    BATCHES,
    OUTCOMES,
    PLAN,
    REJECTS,
    REPORT,
    ExportFolder,
    RunFolder,
)
from tests.kit.client import raising
from tests.kit.exports import LIST
from tests.kit.life import Life
from tests.kit.mortal import Killed
from tests.kit.people import many
from tests.kit.storage import counted

MOST_TO_SETTLE = 40
"""Requests that settling takes, where nothing is to be tidied away."""

FOR_A_FILE = 3
"""Of them for each file of answers: it is written, read and removed."""

Asked = Counter[tuple[str, str]]


@pytest.fixture
def life(life: Life) -> Life:
    """An export whose files are on an object storage."""
    life.folder = ExportFolder(UPath(f"counted://{uuid4().hex}/life"))
    return life


def settling(life: Life, people: int, **how: object) -> Asked:
    """Deliver batches, and account for them in what is another process; return what the storage is asked for that."""
    submission, folder = life.submit({"A": many(people)}, delivery=Delivery.BATCH, name="run", **how)
    life.wait(submission.batch_ids)
    with counted() as seen:
        report = life.finalize(RunFolder(UPath(folder.uri)))
    assert report.counts.created + report.counts.updated == people
    return Counter(seen)


def test_settling_takes_a_few_dozen(life: Life) -> None:
    """However many people there are, all is read once and written once; only files of answers become more."""
    life.run({"A": many(1)}, full=True)
    asked = settling(life, 1500, full=True)
    once = [("read", f"run/{PLAN}"), ("read", f"life/{LEDGER}"), ("write", f"life/{LEDGER}")]
    once += [("write", f"run/{name}") for name in (OUTCOMES, REJECTS, REPORT)]
    assert {one: asked[one] for one in once} == dict.fromkeys(once, 1)
    assert sum(times for (_, name), times in asked.items() if name.startswith("answers/")) == FOR_A_FILE
    assert asked.total() <= MOST_TO_SETTLE
    assert 1_000_000 / FILE_PEOPLE * FOR_A_FILE + MOST_TO_SETTLE <= 6 * 12


def test_runs_that_are_kept(life: Life) -> None:
    """They are found at one look; the reports are read, each once, only where one of them has to go."""
    for _ in range(2):
        life.run({"A": many(1)})
    with counted() as few:
        life.run({"A": many(1)})
    for _ in range(3):
        life.run({"A": many(1)})
    with counted() as more:
        life.run({"A": many(1)})
    assert len(few) == len(more)
    with counted() as one_goes:
        life.run({"A": many(1)}, keep_runs=7)
    assert sum(name.endswith(REPORT) for kind, name in one_goes if kind == "read") == 8
    assert [run.name for run in life.folder.runs()] == [f"run{number}" for number in range(2, 9)]


@pytest.mark.parametrize("delivery", Delivery)
def test_who_writes_the_plan_does_not_fetch_it(life: Life, delivery: Delivery) -> None:
    """The process that plans a run delivers, and settles, what it has written."""
    with counted() as seen:
        life.submit({"A": many(700)}, delivery=delivery, name="run")
    assert [name for kind, name in seen if name.endswith(PLAN) and kind == "read"] == []


def test_the_plan_of_an_abandoned_run(life: Life) -> None:
    """Whoever accounts for a run that died fetches its plan once."""
    life.script[f"POST {LIST}"] = raising(Killed())
    with pytest.raises(Killed):
        life.run({"A": many(3)}, name="dies")
    life.script.clear()
    life.folder.remove(LOCK)
    with counted() as seen:
        life.run({"A": many(3)}, name="next")
    assert Counter(seen)["read", f"dies/{PLAN}"] == 1


def test_a_batch_is_one_request(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list of batches is written for each that Mailchimp took, and not read for each."""
    monkeypatch.setattr("airflow_mailchimp_export.delivery.batches.MAX_BATCH_PEOPLE", 500)
    with counted() as seen:
        life.submit({"A": many(5000)}, delivery=Delivery.BATCH, name="run")
    asked = Counter(seen)
    assert asked["write", f"run/{BATCHES}"] == 10
    assert asked["read", f"run/{BATCHES}"] == 0
    assert asked["look", f"run/{BATCHES}"] <= 3
