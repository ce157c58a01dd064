"""What the routes behind the pages answer, and to whom."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.airflow.roles import session_of
from tests.kit.many_exports import MANY, account, remove_many, write_many

if TYPE_CHECKING:
    from starlette.testclient import TestClient

ROUTES = (
    *("/api/exports", "/api/exports/news", "/api/rights/news"),
    *("/static/main.js", "/api/rejects/news/any"),
)
REJECTS_FILE = "/api/rejects/news/any/file"
READERS = ("viewer", "user", "op", "admin")
RUNNERS = ("user", "op", "admin")


@pytest.fixture(scope="module")
def exports(airflow_db: None) -> Iterator[None]:
    """An export that has run, a tagged one that has not, and a DAG that is none."""
    from airflow.sdk import DAG, task

    from tests.airflow.conftest import register

    with DAG(
        "news", schedule="0 6 * * *", start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False
    ) as news:

        @task
        def export(*, ti: Any = None) -> None:
            ti.xcom_push(key="mailchimp_report", value=account())

        export()
    register(news)
    news.test()
    register(DAG("fresh", schedule=None, tags={"mailchimp"}))
    register(DAG("another", schedule=None))
    yield
    _forget("news", "fresh", "another")


def _forget(*dag_ids: str) -> None:
    """Other tests of the folder see the same metastore."""
    from airflow.api.common.delete_dag import delete_dag

    for dag_id in dag_ids:
        delete_dag(dag_id)


def told_of(
    client: TestClient, role: str, manager: Any, path: str = "/api/exports"
) -> dict[str, dict[str, Any]]:
    """The exports that a role is told of, by their DAGs."""
    rows = client.get(path, headers=session_of(role, manager)).json()["exports"]
    return {row["dag_id"]: row for row in rows}


@pytest.mark.parametrize("route", [*ROUTES, REJECTS_FILE])
def test_nobody_gets_anything(client: TestClient, route: str) -> None:
    """Without a session each route answers 401, in JSON; with a wrong one it answers as Airflow does."""
    answer = client.get(route)
    assert answer.status_code == 401
    assert answer.json() == {"detail": "Not authenticated"}
    assert client.get(route, headers={"Authorization": "Bearer forged"}).status_code in {401, 403}


def test_a_dag_may_have_the_name_of_a_page(client: TestClient) -> None:
    """What a script asks for is refused in JSON, whatever the DAG is called."""
    assert client.get("/api/rights/sign-in").json() == {"detail": "Not authenticated"}


def test_every_route_is_tested_here(client: TestClient) -> None:
    """There is no other route, such as FastAPI's pages, which would be open."""
    paths = {route.path for route in client.app.routes}  # type: ignore[attr-defined]
    one = "/api/connections/{connection_id:path}"
    assert paths == {
        *("/api/exports", "/api/exports/{dag_id}", "/api/rights/{dag_id}", "/static/{name}"),
        # These are in test_connection_routes.py.
        *("/api/connections", f"{one}/check", f"{one}/audiences", f"{one}/audience", f"{one}/consent"),
        # And these in test_sign_in.py.
        *("/sign-in", "/sign-in/callback", "/sign-in/audience"),
        *("/api/rejects/{dag_id}/{run_id}", "/api/rejects/{dag_id}/{run_id}/file"),
    }


@pytest.mark.parametrize("role", READERS)
@pytest.mark.parametrize("route", ROUTES)
def test_each_role_may_look(client: TestClient, manager: Any, exports: None, role: str, route: str) -> None:
    """Whoever may read DAGs may read what their exports came to."""
    assert client.get(route, headers=session_of(role, manager)).status_code == 200


@pytest.mark.parametrize("role", READERS)
def test_actions_are_offered_to_whom_they_are_allowed(
    client: TestClient, manager: Any, exports: None, role: str
) -> None:
    """A viewer sees no action, everybody else may run and pause."""
    row = told_of(client, role, manager)["news"]
    may = role in RUNNERS
    assert (row["may_run"], row["may_pause"]) == (may, may)
    rights = client.get("/api/rights/news", headers=session_of(role, manager)).json()
    assert rights == {"may_run": may, "may_pause": may}


def test_exports_are_told_of(client: TestClient, manager: Any, exports: None) -> None:
    """Those that have run with what their runs came to, tagged ones also before that, and no other DAG."""
    rows = told_of(client, "viewer", manager)
    assert {"news", "fresh"} <= set(rows)
    assert "another" not in rows
    news, fresh = rows["news"], rows["fresh"]
    assert news["schedule"] == "every day at 06:00"
    assert [(run["outcome"], run["counts"]["created"]) for run in news["runs"]] == [("partial", 3)]
    assert fresh == {**fresh, "runs": [], "schedule": "by hand", "export": ""}


def test_a_dag_that_one_may_not_read_does_not_exist(
    client: TestClient, manager: Any, exports: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither list nor page nor rights say a word about it."""

    def readable(*, dag_ids: set[str], **_: Any) -> set[str]:
        return dag_ids - {"news"}

    monkeypatch.setattr(manager, "filter_authorized_dag_ids", readable)
    assert "news" not in told_of(client, "admin", manager)
    assert told_of(client, "admin", manager, "/api/exports/news") == {}
    headers = session_of("admin", manager)
    unknown, hidden = (client.get(f"/api/rights/{dag}", headers=headers) for dag in ("unknown", "news"))
    assert (unknown.status_code, hidden.status_code) == (404, 404)


@pytest.mark.parametrize("entity", ["XCOM", "RUN"])
@pytest.mark.parametrize("route", ROUTES[:3])
def test_who_may_read_no_accounts_in_airflow_may_not_here(
    client: TestClient, manager: Any, exports: None, monkeypatch: pytest.MonkeyPatch, entity: str, route: str
) -> None:
    """A role that may see DAGs, but not their runs or XComs, is refused."""

    def allowed(*, access_entity: Any = None, **_: Any) -> bool:
        return access_entity is None or access_entity.name != entity

    monkeypatch.setattr(manager, "is_authorized_dag", allowed)
    assert client.get(route, headers=session_of("admin", manager)).status_code == 403


@pytest.mark.parametrize("entity", ["XCOM", "RUN"])
def test_rights_are_asked_for_each_dag(
    client: TestClient, manager: Any, exports: None, monkeypatch: pytest.MonkeyPatch, entity: str
) -> None:
    """Who may read the runs and XComs of one DAG learns nothing of another's, though both DAGs may be seen."""

    def allowed(*, method: str, access_entity: Any = None, details: Any = None, **_: Any) -> bool:
        hidden = access_entity is not None and access_entity.name == entity
        return not (hidden and (details is None or details.id != "fresh"))

    monkeypatch.setattr(manager, "is_authorized_dag", allowed)
    assert set(told_of(client, "admin", manager)) == {"fresh"}
    headers = session_of("admin", manager)
    refused = [client.get(route, headers=headers).status_code for route in ROUTES[1:3]]
    assert refused == [403, 403]


def test_a_run_is_offered_only_where_the_dag_may_be_run(
    client: TestClient, manager: Any, exports: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The right to run one DAG offers no button on another."""

    def allowed(*, method: str, details: Any = None, **_: Any) -> bool:
        return method == "GET" or (details is not None and details.id == "news")

    monkeypatch.setattr(manager, "is_authorized_dag", allowed)
    rows = told_of(client, "admin", manager)
    assert {dag_id: rows[dag_id]["may_run"] for dag_id in ("news", "fresh")} == {"news": True, "fresh": False}


@pytest.mark.parametrize("name", ["..%2Fapp.py", "app.py", "nothing.js"])
def test_only_the_bundle_is_served(client: TestClient, manager: Any, name: str) -> None:
    """No other file of the package can be reached."""
    assert client.get(f"/static/{name}", headers=session_of("admin", manager)).status_code == 404


def test_a_bundle_that_is_not_built_says_so(
    client: TestClient, manager: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """The page says what to do in place of staying empty."""
    monkeypatch.setattr("airflow_mailchimp_export.pages.app.STATIC", tmp_path)
    answer = client.get("/static/main.js", headers=session_of("viewer", manager))
    assert "make setup" in answer.text
    assert answer.headers["cache-control"] == "no-cache"
    (tmp_path / "main.js").write_text("built", encoding="utf-8")
    assert client.get("/static/main.js", headers=session_of("viewer", manager)).text == "built"


@pytest.mark.parametrize(
    ("name", "cached"),
    [
        ("main.js", "no-cache"),
        ("chakra.js", "no-cache"),
        ("chart-HlBb6NbM.js", "private, max-age=31536000, immutable"),
    ],
)
def test_only_what_never_changes_is_kept(
    name: str, cached: str, client: TestClient, manager: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """Browsers ask again for files whose names stay the same, and keep those whose names have a digest."""
    monkeypatch.setattr("airflow_mailchimp_export.pages.app.STATIC", tmp_path)
    (tmp_path / name).write_text("built", encoding="utf-8")
    answer = client.get(f"/static/{name}", headers=session_of("viewer", manager))
    assert (answer.text, answer.headers["cache-control"]) == ("built", cached)


@pytest.fixture
def odd_accounts(airflow_db: None) -> Iterator[None]:
    """A DAG whose tasks have published a list of accounts, an account as a text, and what is none."""
    from airflow.sdk import DAG, task

    from tests.airflow.conftest import register

    texts = json.dumps(account(export="of_text"))
    values = [[account(export="of_list"), account(export="of_list_too")], texts, "none", 7, None]
    with DAG("odd", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as odd:
        for number, value in enumerate(values):

            @task(task_id=f"task_{number}")
            def publish(value: Any, *, ti: Any = None) -> None:
                ti.xcom_push(key="mailchimp_report", value=value)

            publish(value)
    register(odd)
    odd.test()
    yield
    _forget("odd")


def test_accounts_are_found_however_they_are_kept(
    client: TestClient, manager: Any, exports: None, odd_accounts: None
) -> None:
    """Those in a list, or as a text, are told like any other; what is no account is left out."""
    rows = client.get("/api/exports/odd", headers=session_of("viewer", manager)).json()["exports"]
    assert {row["export"] for row in rows} == {"of_list", "of_list_too", "of_text"}
    assert all(row["runs"][0]["counts"]["created"] == 3 for row in rows)


def test_the_database_keeps_what_is_not_shown(exports: None) -> None:
    """Of an account only the keys come that are asked for: it may be large, and there are many."""
    from airflow.utils.session import create_session

    from airflow_mailchimp_export.pages.metastore import published

    with create_session() as session:
        keys = ("schema", "counts", "dry_run", "no such key")
        ((told,),) = published(session, ["news"], 5, keys).values()
    # As JSON, for which 0 is another word than false.
    assert json.dumps(told) == json.dumps({"schema": 1, "counts": account()["counts"], "dry_run": False})


@pytest.fixture
def many_exports(airflow_db: None) -> Iterator[None]:
    """Two hundred exports with a thousand runs, which are written into the metastore as they are."""
    write_many()
    yield
    remove_many()


def test_two_hundred_exports_are_told_in_one_answer(
    client: TestClient, manager: Any, exports: None, many_exports: None
) -> None:
    """The metastore is asked no more often for all of them than for one, and each has its runs, the newest first."""
    rows: dict[str, dict[str, Any]] = {}
    for_all = queries(lambda: rows.update(told_of(client, "viewer", manager)))
    for_one = queries(lambda: told_of(client, "viewer", manager, "/api/exports/news"))
    # Where another test has left something that has to be read as a whole, that is asked for once, for all.
    assert 0 < for_one <= for_all <= for_one + 1 < 10
    many = [row for dag_id, row in rows.items() if dag_id.startswith("many_")]
    assert len(many) == MANY
    assert all(
        [run["run_id"] for run in row["runs"]] == [f"run_{day:02}" for day in (5, 4, 3, 2, 1)] for row in many
    )
    assert all(run["counts"]["created"] == 3 for row in many for run in row["runs"])


def queries(ask: Callable[[], object]) -> int:
    """Count how often the metastore is asked."""
    from airflow import settings
    from sqlalchemy import event

    asked: list[str] = []

    def note(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        asked.append(statement)

    event.listen(settings.engine, "before_cursor_execute", note)
    try:
        ask()
    finally:
        event.remove(settings.engine, "before_cursor_execute", note)
    return len(asked)
