"""The DAGs of `samples/dags`, by Airflow's own task runner."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.airflow.releases import bags
from tests.airflow.runs import report_of, result, states
from tests.kit.insights import truth

if TYPE_CHECKING:
    from scripts.sandbox_service import Sandbox
    from tests.airflow.conftest import RunDag
    from tests.kit.insights import Insights

SAMPLES = Path(__file__).parents[2] / "samples" / "dags"
TABLES = {"VIP": "VIP", "Newsletter": "Newsletter", "Recent buyers": "Recent_buyers"}


@pytest.mark.filterwarnings("ignore:ProvidersManager.hooks is deprecated")
def test_export_of_customer_insights(
    insights: Insights, mailchimp: Sandbox, run_dag: RunDag, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each segment of Customer Insights becomes a tag, with all its rows accounted for."""
    monkeypatch.setenv("AIRFLOW_CONN_CUSTOMER_INSIGHTS_DEFAULT", json.dumps(insights.connection()))
    bag = bags().DagBag(SAMPLES)
    assert bag.import_errors == {}
    (dag,) = bag.dags.values()
    run = run_dag(dag)
    assert states(run) == {"export": "success", "wait_for_batches": "success", "report": "success"}
    segments = report_of(result(run, "export")["run_uri"])["segments"]
    assert {tag: counts["rows"] for tag, counts in segments.items()} == {
        tag: truth(insights, table).total() for tag, table in TABLES.items()
    }
    assert set(TABLES) <= {tag for member in mailchimp.members() for tag in member["tags"]}
