"""A refresh that another system does, which is called over HTTP and waited for."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_mailchimp_export.errors import ConfigError, ExportError, SourceError
from tests.airflow.runs import states
from tests.kit.http import ScriptedServer, Step, Wire, to_page, to_response

if TYPE_CHECKING:
    from tests.airflow.conftest import RunDag

REFRESH = "customer_segments_refresh"
Connect = Callable[..., ScriptedServer]


@pytest.fixture
def connect(airflow_db: None, monkeypatch: pytest.MonkeyPatch) -> Connect:
    """Make a system of these answers, to which the connection ``cdp`` leads."""

    def make(*steps: Step) -> ScriptedServer:
        server = ScriptedServer(*steps)
        host, port = server.server_address[:2]
        connection = {"conn_type": "http", "host": host, "port": port, "extra": {"X-Key": "secret"}}
        monkeypatch.setenv("AIRFLOW_CONN_CDP", json.dumps(connection))
        return server

    return make


def wanted(**given: Any) -> Any:
    """Make what is asked."""
    from airflow_mailchimp_export.refresh_calls import Look, Request

    request = Request("cdp", "/jobs/7?key=secret", headers={"X-More": "yes"})
    return Look(
        request, **{"path": "job.state", "done": ("finished",), "failed": ("failed", "false"), **given}
    )


@pytest.mark.parametrize(
    ("answer", "waiting"),
    [
        (to_response({"job": {"state": "finished"}}), ""),
        (to_response({"job": {"state": "FINISHED"}}), ""),
        (to_response({"job": {"state": "running"}}), "The system of connection 'cdp' says 'running'"),
        (to_response({"job": {"state": True}}), "The system of connection 'cdp' says 'true'"),
        (
            to_page(503),
            "The system of connection 'cdp' answers GET /jobs/7 with status 503",
        ),
        (to_page(429), "The system of connection 'cdp' answers GET /jobs/7 with status 429"),
        (Wire(), "The system of connection 'cdp' cannot be reached (ConnectionError)"),
    ],
)
def test_how_far_it_is(connect: Connect, answer: Step, waiting: str) -> None:
    """It is waited for until it says that it is done, also while it cannot answer."""
    from airflow_mailchimp_export.refresh_calls import look

    with connect(answer) as server:
        assert look(wanted()) == waiting
    headers = server.received[0].headers
    assert (server.received[0].target, headers["x-key"], headers["x-more"]) == (
        "/jobs/7?key=secret",
        "secret",
        "yes",
    )


@pytest.mark.parametrize(
    ("answer", "kind", "told"),
    [
        (
            to_response({"job": {"state": "failed"}}),
            SourceError,
            "says 'failed' at 'job.state': it has failed. Look there why, then run the refresh again",
        ),
        (to_response({"job": {"state": False}}), SourceError, "says 'false' at 'job.state': it has failed"),
        (
            to_page(401),
            ConfigError,
            "with status 401: it refuses the connection. Correct login, password or headers",
        ),
        (to_page(404), ConfigError, "with status 404: it does not know that. Correct the endpoint"),
        (to_page(418), ConfigError, "with status 418. Correct method, data or headers of refresh.http"),
        (to_page(200), ConfigError, "with what is no JSON. Correct the endpoint of refresh.http"),
        (
            to_response({"job": "running"}),
            ConfigError,
            "without a value at 'job.state'. Correct the path in done",
        ),
        (to_response({"job": {"state": []}}), ConfigError, "without a value at 'job.state'"),
        (to_response([]), ConfigError, "without a value at 'job.state'"),
    ],
)
def test_what_ends_the_wait(connect: Connect, answer: Step, kind: type[ExportError], told: str) -> None:
    """It is told with what to do, and without the key that was sent along."""
    from airflow_mailchimp_export.refresh_calls import look

    with connect(answer), pytest.raises(kind) as caught:
        look(wanted())
    assert told in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_connection_that_is_not_there(airflow_db: None) -> None:
    """It is named."""
    from airflow_mailchimp_export.refresh_calls import Request, call

    with pytest.raises(ConfigError, match=r"There is no connection 'nowhere'\. Create it"):
        call(Request("nowhere", "/jobs"))


def test_the_call(connect: Connect) -> None:
    """Data go along as JSON, and the answer says what is asked next, with nothing that leads elsewhere."""
    from airflow_mailchimp_export.refresh_calls import Request, call

    with connect(to_response({"job": {"id": "../7"}}, 202)) as server:
        asked = call(Request("cdp", "/jobs", "POST", {"name": "segments"}), "/jobs/{job.id}")
    assert asked == "/jobs/..%2F7"
    assert json.loads(server.received[0].body) == {"name": "segments"}


@pytest.mark.parametrize("answer", [to_page(200), to_response({"id": 7})])
def test_a_call_whose_answer_lacks_the_job(connect: Connect, answer: Step) -> None:
    """Nobody waits for a job that has no name."""
    from airflow_mailchimp_export.refresh_calls import Request, call

    with connect(answer), pytest.raises(ConfigError, match=r"no JSON|without a value at 'job.id'"):
        call(Request("cdp", "/jobs", "POST"), "/jobs/{job.id}")


def test_a_call_that_it_cannot_take(connect: Connect) -> None:
    """A failure of its own is not the configuration's."""
    from airflow_mailchimp_export.refresh_calls import Request, call

    with (
        connect(to_page(500)),
        pytest.raises(SourceError, match=r"answers POST /jobs with status 500. Wait until"),
    ):
        call(Request("cdp", "/jobs", "POST"))


def test_a_wait_that_is_too_long(connect: Connect) -> None:
    """It says for how long it has waited, and what the system said last."""
    from airflow_mailchimp_export.operators.refreshed_elsewhere import RefreshedElsewhereOperator

    operator = RefreshedElsewhereOperator(
        task_id="wait", conn_id="cdp", endpoint="/jobs/7", done=["finished"], wait_timeout=3600
    )
    begun = SimpleNamespace(start_date=SimpleNamespace(timestamp=lambda: time.time() - 3601))
    with (
        connect(to_response({"state": "running"})),
        pytest.raises(SourceError, match=r"says 'running', and is not done after 1 hours \(timeout_hours\)"),
    ):
        operator.execute({"ti": begun})  # type: ignore[typeddict-item]


@pytest.mark.parametrize("answer", [to_response({"job": {"state": "finished"}}), to_page(404)])
def test_the_triggerer_wakes_the_task_with_any_news(connect: Connect, answer: Step) -> None:
    """What the news is the task finds out itself."""
    from airflow_mailchimp_export.refresh_triggers import RefreshedElsewhereTrigger

    trigger = RefreshedElsewhereTrigger(wanted().as_dict(), poll=0.01, end=time.time() + 60)
    path, kwargs = trigger.serialize()
    assert path == "airflow_mailchimp_export.refresh_triggers.RefreshedElsewhereTrigger"
    again = RefreshedElsewhereTrigger(**json.loads(json.dumps(kwargs)))
    with connect(to_response({"job": {"state": "running"}}), answer) as server:
        event = asyncio.run(anext(again.run()))  # type: ignore[arg-type]
    assert (event.payload, len(server.received)) == ({"status": "news"}, 2)


FILE = """\
snapshots: snapshots
refresh:
  http:
    conn_id: cdp
    endpoint: /jobs
    data: {name: segments}
    done: {endpoint: "/jobs/{id}", values: [finished], failed: [failed]}
    poll: 1
segments:
  vip: {name: VIP, uri: vip.parquet}
"""


@pytest.mark.parametrize(("state", "ended"), [("finished", "success"), ("failed", "failed")])
def test_a_whole_refresh(connect: Connect, run_dag: RunDag, tmp_path: Path, state: str, ended: str) -> None:
    """The DAG calls, waits, and builds the segments of what the other system wrote, unless that has failed."""
    from airflow_mailchimp_export.dags import exports

    (tmp_path / "exports.yaml").write_text(FILE)
    pq.write_table(pa.table({"email": ["ada@brieftaube-post.eu"]}), tmp_path / "vip.parquet")
    running, end = to_response({"state": "running"}), to_response({"state": state})
    with connect(to_response({"id": 7}), running, running, end) as server:
        run = run_dag(exports(tmp_path / "exports.yaml")[REFRESH])
    assert [one.target for one in server.received][:3] == ["/jobs", "/jobs/7", "/jobs/7"]
    assert [one.method for one in server.received].count("POST") == 1
    assert run.state == ended
    assert (states(run)["call"], states(run)["wait"]) == ("success", ended)
    assert len([*(tmp_path / "snapshots").rglob("refresh.json")]) == (ended == "success")
