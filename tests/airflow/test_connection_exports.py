"""What a check says of the exports that use a connection."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.airflow.conftest import register
from tests.airflow.people import row, write_segments
from tests.airflow.roles import session_of

if TYPE_CHECKING:
    from pathlib import Path

    from airflow.sdk import DAG
    from starlette.testclient import TestClient

    from scripts.sandbox_service import Sandbox
    from tests.airflow.conftest import RunDag

ID = "mailchimp_kept"
SOUND = {"EMAIL": "email", "FNAME": "first_name"}
ABOUT_EXPORTS = ("Allowed DAGs", "Merge fields", "Audience", "Opt-in")

Check = Callable[..., list[tuple[str, str, str, str]]]


@pytest.fixture
def kept(airflow_db: None, sandbox: Sandbox) -> Iterator[Callable[..., None]]:
    """Put a connection to the sandbox into Airflow's metastore, with these extras."""
    from airflow.models.connection import Connection
    from airflow.models.variable import Variable
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    def save(**extra: Any) -> None:
        made = sandbox.connection(**extra)
        with create_session() as session:
            session.execute(delete(Connection).where(Connection.conn_id == ID))
            session.add(Connection(conn_id=ID, **{**made, "extra": json.dumps(made["extra"])}))

    save()
    yield save
    with create_session() as session:
        session.execute(delete(Connection).where(Connection.conn_id == ID))
        session.execute(delete(Variable).where(Variable.key == f"airflow_mailchimp_export.check.{ID}"))


@pytest.fixture
def dags(airflow_db: None) -> Iterator[Callable[..., DAG]]:
    """Make DAGs with an export, which are gone in the end."""
    from airflow.api.common.delete_dag import delete_dag
    from airflow.sdk import DAG

    from airflow_mailchimp_export.operators import SegmentToMailchimpOperator

    made: list[str] = []

    def make(dag_id: str, *, params: Any = None, mapped: Any = None, **settings: Any) -> DAG:
        given = {"segments": {}, "field_map": SOUND, "mailchimp_conn_id": ID, **settings}
        with DAG(
            dag_id,
            schedule=None,
            start_date=datetime(2026, 1, 1, tzinfo=UTC),
            tags={"mailchimp"},
            params=params,
        ) as dag:
            if mapped is None:
                SegmentToMailchimpOperator(task_id="export", **given)
            else:
                given.pop("field_map")
                SegmentToMailchimpOperator.partial(task_id="export", **given).expand_kwargs(mapped)
        register(dag)
        made.append(dag_id)
        return dag

    yield make
    for dag_id in made:
        delete_dag(dag_id)


@pytest.fixture
def check(client: TestClient, manager: Any, kept: Callable[..., None]) -> Check:
    """Check the connection as somebody, and return of each point that is about exports topic, mark, words, remedy."""

    def checked(role: str = "admin", reader: str = "") -> list[tuple[str, str, str, str]]:
        headers = session_of(role, manager)
        assert client.post(f"/api/connections/{ID}/check", json={}, headers=headers).status_code == 200
        rows = client.get("/api/connections", headers=session_of(reader or role, manager)).json()[
            "connections"
        ]
        (found,) = (one["check"]["points"] for one in rows if one["connection_id"] == ID)
        return [
            (point["topic"], point["mark"], point["says"], point["remedy"])
            for point in found
            if point["topic"] in ABOUT_EXPORTS and point["dag_id"]
        ]

    return checked


def test_a_field_map_that_suits(check: Check, dags: Callable[..., DAG]) -> None:
    """It needs no run: what is no template says the definition of the DAG, and other options do not matter."""
    dags("news", params={"ratio": 0.3}, options={"max_removal_ratio": "{{ params.ratio }}"})
    assert check() == [
        (
            "Merge fields",
            "ok",
            "news.export: all 1 merge fields of its field map suit audience Sandbox audience",
            "",
        ),
        ("Allowed DAGs", "ok", "news.export: DAG news may use the connection", ""),
    ]


def test_a_field_map_that_does_not_suit(check: Check, dags: Callable[..., DAG]) -> None:
    """Each merge field that is wrong is a point with its remedy, unless the export creates what is missing."""
    wrong = {**SOUND, "FNAM": "first_name", "LNAME": {"column": "a", "default": {}}}
    dags("news", field_map=json.dumps(wrong), export_name="Weekly news")
    dags("creating", field_map={**SOUND, "LOYALTY": "points"}, options={"create_merge_fields": True})
    told = [point for point in check() if point[0] == "Merge fields"]
    assert told[:1] == [
        (
            "Merge fields",
            "ok",
            "creating.export: all 2 merge fields of its field map suit audience Sandbox audience",
            "",
        )
    ]
    assert (
        "Merge fields",
        "stop",
        "Weekly news, audience Sandbox audience: FNAM is no merge field of the audience (did you mean 'FNAME'?)",
        "Fix the tag, or set create_merge_fields=True",
    ) in told


def test_what_cannot_be_read_is_said(check: Check, dags: Callable[..., DAG]) -> None:
    """Airflow keeps objects as text; nobody takes an export for sound whose options or field map nobody has read."""
    from airflow_mailchimp_export.options import ExportOptions

    dags("news", options=ExportOptions(create_merge_fields=True), field_map="first_name")
    told = [(mark, words) for topic, mark, words, _ in check() if topic == "Merge fields"]
    assert told == [
        (
            "unknown",
            "news.export: its options are none that can be read here, such as an object in place of a mapping",
        ),
        (
            "unknown",
            "news.export: its field map cannot be read here: field_map is no mapping: give merge tags and columns, "
            'like {"EMAIL": "email"}',
        ),
    ]


def test_an_audience_of_its_own(check: Check, dags: Callable[..., DAG]) -> None:
    """The audience of the export counts, not the connection's; one that is not there is said."""
    dags("news", audience_id="0000000000")
    assert check()[0][:3] == ("Audience", "stop", "news.export: the account has no audience 0000000000")


def test_no_audience_at_all(check: Check, dags: Callable[..., DAG], kept: Callable[..., None]) -> None:
    """Where neither names one, the export could not run."""
    kept(audience_id="")
    dags("news")
    assert check()[0][1:3] == ("stop", "news.export names no audience, and neither does the connection")


def test_dags_that_may_not_use_it(check: Check, dags: Callable[..., DAG], kept: Callable[..., None]) -> None:
    """Each DAG that would be refused is said."""
    kept(allowed_dags=["others_*"])
    dags("news")
    assert (
        "Allowed DAGs",
        "stop",
        "news.export: DAG news is not among Allowed DAGs (allowed_dags)",
        "Add it there, or let the export use another connection",
    ) in check()


def test_double_opt_in_is_said_of_those_that_skip_it(
    check: Check, dags: Callable[..., DAG], sandbox: Sandbox
) -> None:
    """Not of those that let Mailchimp ask."""
    sandbox.change(double_optin=True)
    dags("news")
    dags("asking", options={"new_member_status": "pending"})
    (told,) = [point for point in check() if point[0] == "Opt-in"]
    assert told[1:3] == (
        "note",
        "news.export adds people as subscribed, though Sandbox audience has double opt-in",
    )


def test_another_connection_concerns_nobody(check: Check, dags: Callable[..., DAG]) -> None:
    """Exports by another connection are not named."""
    dags("news", mailchimp_conn_id="mailchimp_other")
    assert check() == []


def test_templates_are_known_once_they_have_run(
    check: Check, dags: Callable[..., DAG], tmp_path: Path, run_dag: RunDag
) -> None:
    """Before the first run it is said that nobody knows, and what to do; after it, what they became."""
    templated = {
        "mailchimp_conn_id": "{{ params.conn }}",
        "field_map": "{{ macros.json.dumps(params.fields) }}",
        "segments": write_segments(tmp_path, {"Pair": [row("one@brieftaube-post.eu", "One")]}),
        "dry_run": True,
        "exports_root": str(tmp_path / "kept"),
    }
    dag = dags("news", params={"conn": ID, "fields": {**SOUND, "WRONG": "first_name"}}, **templated)
    assert check() == [
        (
            "Allowed DAGs",
            "unknown",
            "news.export: whether it uses this connection is not known",
            "Run the export once, or rehearse it: what its templates become is known then",
        )
    ]
    run_dag(dag)
    merge_fields, allowed = check()
    assert merge_fields[:2] == ("Merge fields", "stop")
    assert "WRONG is no merge field" in merge_fields[2]
    assert allowed[1] == "ok"


def test_mapped_exports_are_each_checked(
    check: Check, dags: Callable[..., DAG], tmp_path: Path, run_dag: RunDag
) -> None:
    """Each mapped part has its own field map, which the last run knows."""
    segments = write_segments(tmp_path, {"Pair": [row("one@brieftaube-post.eu", "One")]})
    mapped = [
        {"export_name": "first", "field_map": SOUND},
        {"export_name": "second", "field_map": {**SOUND, "WRONG": "first_name"}},
    ]
    root = str(tmp_path / "kept")
    dag = dags("news", mapped=mapped, segments=segments, exports_root=root, dry_run=True, delivery="direct")
    assert [(mark, words) for topic, mark, words, _ in check() if topic != "Allowed DAGs"] == [
        ("unknown", "news.export: its audience is not known")
    ]
    run_dag(dag)
    assert [(mark, words.split(":")[0]) for topic, mark, words, _ in check() if topic == "Merge fields"] == [
        ("ok", "first"),
        ("stop", "second, audience Sandbox audience"),
    ]


def test_what_a_run_told_counts_where_no_task_exports(check: Check, airflow_db: None) -> None:
    """An export by a task of its own kind is named, and that its field map is not known."""
    from airflow.api.common.delete_dag import delete_dag
    from airflow.sdk import DAG, task

    with DAG("own", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:

        @task
        def export(*, ti: Any = None) -> None:
            told = {"schema": 1, "export": "Our own", "verdict": "success", "connection_id": ID}
            ti.xcom_push(key="mailchimp_report", value=told)

        export()
    register(dag)
    dag.test()
    try:
        (merge_fields,) = [point for point in check() if point[0] == "Merge fields"]
        assert merge_fields[1:3] == (
            "unknown",
            "Our own: its field map is not known, as none of its DAG's tasks is one that exports",
        )
    finally:
        delete_dag("own")


def test_exports_that_one_may_not_see_are_neither_checked_nor_shown(
    check: Check,
    dags: Callable[..., DAG],
    client: TestClient,
    manager: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither in a check of one's own, nor in one that somebody else has made."""
    dags("news")
    dags("secret")
    assert len(check()) == 4

    def readable(*, dag_ids: set[str], **_: Any) -> set[str]:
        return dag_ids - {"secret"}

    monkeypatch.setattr(manager, "filter_authorized_dag_ids", readable)
    rows = client.get("/api/connections", headers=session_of("op", manager)).json()["connections"]
    (shown,) = (one["check"] for one in rows if one["connection_id"] == ID)
    assert shown["hidden"] == 2
    assert "secret" not in json.dumps(shown)
    assert {words.split(".")[0] for _, _, words, _ in check()} == {"news"}
    monkeypatch.undo()
    rows = client.get("/api/connections", headers=session_of("op", manager)).json()["connections"]
    (kept_of_it,) = (one["check"] for one in rows if one["connection_id"] == ID)
    assert kept_of_it["hidden"] == 0
    assert "secret" not in json.dumps(kept_of_it)


def test_what_was_not_looked_at_is_said(
    check: Check, dags: Callable[..., DAG], manager: Any, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A check by somebody who may read few DAGs is no promise to those who may read more; no DAG is named."""
    dags("secret")
    dags("news", mailchimp_conn_id="another")
    monkeypatch.setattr(manager, "filter_authorized_dag_ids", lambda *, dag_ids, **_: dag_ids - {"secret"})
    check("op")
    assert _unread(client, manager) == (
        "No export that op may read uses the connection; "
        "DAGs of exports that op may not read, and that were not looked at: 1"
    )
    dags("own")
    check("op")
    assert _unread(client, manager) == "DAGs of exports that op may not read, and that were not looked at: 1"
    monkeypatch.undo()
    check("op")
    assert _unread(client, manager) == ""


def test_it_is_said_too_where_mailchimp_is_not_asked(
    check: Check,
    dags: Callable[..., DAG],
    manager: Any,
    client: TestClient,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With a key that is no more, nobody takes the list of DAGs for the whole of them either."""
    dags("secret")
    dags("own")
    monkeypatch.setattr(manager, "filter_authorized_dag_ids", lambda *, dag_ids, **_: dag_ids - {"secret"})
    sandbox.control("key/rotate", {"key": "f" * 32 + "-us0"})
    check("op")
    assert _unread(client, manager) == (
        "DAGs of exports that op may not read, and that were not looked at: 1; "
        "Not looked at: Mailchimp was not asked, or did not answer"
    )


def _unread(client: TestClient, manager: Any) -> str:
    """What the last check says of merge fields that concerns no single export."""
    rows = client.get("/api/connections", headers=session_of("admin", manager)).json()["connections"]
    (found,) = (one["check"]["points"] for one in rows if one["connection_id"] == ID)
    told = [point["says"] for point in found if point["topic"] == "Merge fields" and not point["dag_id"]]
    return "; ".join(told)
