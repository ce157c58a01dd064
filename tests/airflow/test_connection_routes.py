"""What the routes behind the page of connections answer and do, and for whom."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.airflow.roles import session_of

if TYPE_CHECKING:
    from airflow.models.connection import Connection
    from httpx import Response
    from starlette.testclient import TestClient

    from scripts.sandbox_service import Sandbox

ID, LIST = "mailchimp_kept", "/api/connections"
ONE = f"{LIST}/{ID}"
AUDIENCE = "a1b2c3d4e5"
CHECK = ("POST", f"{ONE}/check", {})
AUDIENCES = ("GET", f"{ONE}/audiences", None)
CHOOSE = ("PUT", f"{ONE}/audience", {"audience_id": AUDIENCE})
WITHDRAW = ("PUT", f"{ONE}/consent", {"given": False})
AGREE = ("PUT", f"{ONE}/consent", {"given": True})
ROUTES = (("GET", LIST, None), CHECK, AUDIENCES, CHOOSE, WITHDRAW, AGREE)
CHANGING = (CHECK, CHOOSE, WITHDRAW, AGREE)

Route = tuple[str, str, Any]
Ask = Callable[..., "Response"]


@pytest.fixture
def ask(client: TestClient, manager: Any) -> Ask:
    """Ask for a route as somebody with a role, with further headers."""

    def asked(route: Route, role: str = "admin", **headers: str) -> Response:
        method, path, body = route
        given = session_of(role, manager) if role else {}
        answer: Response = client.request(method, path, json=body, headers={**given, **headers})  # type: ignore[assignment]
        return answer

    return asked


@pytest.fixture
def kept(airflow_db: None, sandbox: Sandbox) -> Iterator[None]:
    """A connection to the sandbox in Airflow's metastore, and one of another type."""
    made = sandbox.connection(other_tool={"mark": "<b>"})
    save(ID, **{**made, "extra": json.dumps(made["extra"])}, description="<i>Ours</i>", login="nobody")
    save("another", conn_type="postgres", password="secret")
    yield
    forget(ID, "another")


def save(conn_id: str, **fields: Any) -> None:
    """Put a connection into the metastore."""
    from airflow.models.connection import Connection
    from airflow.utils.session import create_session

    with create_session() as session:
        session.add(Connection(conn_id=conn_id, **fields))


def forget(*conn_ids: str) -> None:
    """Take connections and their checks out again."""
    from airflow.models.connection import Connection
    from airflow.models.variable import Variable
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    with create_session() as session:
        session.execute(delete(Connection).where(Connection.conn_id.in_(conn_ids)))
        session.execute(delete(Variable).where(Variable.key.startswith("airflow_mailchimp_export.check.")))


@contextmanager
def in_metastore(conn_id: str = ID) -> Iterator[Connection]:
    """Look at a connection, or change it."""
    from airflow.models.connection import Connection
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        yield session.scalars(select(Connection).where(Connection.conn_id == conn_id)).one()


def extra() -> dict[str, Any]:
    """The extras of the connection."""
    with in_metastore() as connection:
        return dict(json.loads(connection.extra))


def change(**fields: Any) -> None:
    """Change extras of the connection, or its password."""
    with in_metastore() as connection:
        if password := fields.pop("password", None):
            connection.password = password
        connection.extra = json.dumps({**json.loads(connection.extra), **fields})


def row_of(ask: Ask, role: str = "admin") -> dict[str, Any]:
    """What the page shows of the connection."""
    rows: list[dict[str, Any]] = ask(ROUTES[0], role).json()["connections"]
    return next(row for row in rows if row["connection_id"] == ID)


def points(ask: Ask, role: str = "admin") -> list[tuple[str, str, str]]:
    """Topic, mark and words of each point of the last check."""
    check = row_of(ask, role)["check"]
    return [(point["topic"], point["mark"], point["says"]) for point in check["points"]]


@pytest.mark.parametrize("route", ROUTES)
def test_nobody_gets_anything(ask: Ask, kept: None, route: Route) -> None:
    """Without a session each route answers 401, in JSON, and does nothing."""
    before = extra()
    answer = ask(route, role="")
    assert (answer.status_code, answer.json()) == (401, {"detail": "Not authenticated"})
    assert ask(route, role="", Authorization="Bearer forged").status_code in {401, 403}
    assert extra() == before


@pytest.mark.parametrize("role", ["viewer", "user"])
@pytest.mark.parametrize("route", ROUTES)
def test_who_may_read_no_connection_is_refused(ask: Ask, kept: None, route: Route, role: str) -> None:
    """In Airflow viewers and users see no connection, and so they do here."""
    before = extra()
    assert ask(route, role).status_code == 403
    assert extra() == before


@pytest.mark.parametrize("role", ["op", "admin"])
@pytest.mark.parametrize("route", ROUTES)
def test_who_may_do_so_in_airflow_may_here(ask: Ask, kept: None, route: Route, role: str) -> None:
    """Ops and admins read, test and edit connections."""
    assert ask(route, role).status_code == 200
    row = row_of(ask, role)
    assert (row["may_check"], row["may_edit"]) == (True, True)


@pytest.mark.parametrize(("role", "may"), [("viewer", False), ("user", False), ("op", True), ("admin", True)])
def test_the_way_to_the_page_is_shown_to_whom_it_helps(ask: Ask, kept: None, role: str, may: bool) -> None:
    """The list of exports says whether there is anything to be seen."""
    assert ask(("GET", "/api/exports", None), role).json()["may_connections"] is may


@pytest.mark.parametrize(
    ("allowed", "may"),
    [
        ({"GET"}, []),
        ({"GET", "POST"}, [CHECK]),
        ({"GET", "PUT"}, [AUDIENCES, CHOOSE, WITHDRAW, AGREE]),
        ({"POST", "PUT"}, []),
    ],
)
def test_each_right_is_asked_for(
    ask: Ask, kept: None, manager: Any, monkeypatch: pytest.MonkeyPatch, allowed: set[str], may: list[Route]
) -> None:
    """Testing needs the right to create, as Airflow's own button does; a change needs that to edit; both to read."""
    monkeypatch.setattr(manager, "is_authorized_connection", lambda *, method, **_: method in allowed)
    answers = [ask(route).status_code for route in ROUTES[1:]]
    assert answers == [200 if route in may else 403 for route in ROUTES[1:]]
    if "GET" in allowed:
        row = row_of(ask)
        assert (row["may_check"], row["may_edit"]) == (CHECK in may, CHOOSE in may)
    else:
        assert ask(ROUTES[0]).status_code == 403


def test_only_readable_connections_are_listed(
    ask: Ask, kept: None, manager: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The right to one connection shows no other."""
    hidden = lambda *, details=None, **_: details is None or details.conn_id != ID  # noqa: E731
    monkeypatch.setattr(manager, "is_authorized_connection", hidden)
    assert ask(ROUTES[0]).json()["connections"] == []
    assert {ask(route).status_code for route in ROUTES[1:]} == {403}


@pytest.mark.parametrize("mine", [True, False])
@pytest.mark.parametrize("body", [{}, {"team_name": "mail"}, {"team_name": "shop"}])
def test_the_team_is_that_of_the_connection(
    ask: Ask, kept: None, manager: Any, monkeypatch: pytest.MonkeyPatch, mine: bool, body: dict[str, str]
) -> None:
    """With teams, who may do all to the connections of one does so to these only, whatever a request says."""
    from airflow.models.connection import Connection
    from airflow.models.team import Team
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    if not hasattr(Connection, "team_name"):
        pytest.skip("This Airflow knows no teams of connections")
    own, other = ("mail", "shop") if mine else ("shop", "mail")
    with create_session() as session:
        session.add_all([Team(name="mail"), Team(name="shop")])
    with in_metastore() as connection:
        connection.team_name = own
    monkeypatch.setenv("AIRFLOW__CORE__MULTI_TEAM", "True")
    of_mail = lambda *, details=None, **_: details is None or details.team_name == "mail"  # noqa: E731
    monkeypatch.setattr(manager, "is_authorized_connection", of_mail)
    try:
        answers = [ask((method, path, {**(said or {}), **body})) for method, path, said in ROUTES[1:]]
        assert {answer.status_code for answer in answers} == {200 if mine else 403}
        assert [ask(AUDIENCES).status_code] == [200 if mine else 403]
        assert len(ask(ROUTES[0]).json()["connections"]) == mine
    finally:
        with in_metastore() as connection:
            connection.team_name = None
        with create_session() as session:
            session.execute(delete(Team).where(Team.name.in_([own, other])))


def test_a_row_says_all_but_the_key(ask: Ask, kept: None, sandbox: Sandbox) -> None:
    """Names are told as they are, for the page to show as text; nothing secret is."""
    answer = ask(ROUTES[0])
    assert sandbox.key not in answer.text
    assert "nobody" not in answer.text
    row = row_of(ask)
    assert row == {
        "connection_id": ID,
        "description": "<i>Ours</i>",
        "data_center": "us0",
        "audience_id": AUDIENCE,
        "responsible": "sandbox",
        "consent": {"given": True, "agreed": None, "withdrawn": None, "flaws": []},
        "problem": None,
        "may_check": True,
        "may_edit": True,
        "check": None,
    }
    assert "I may withdraw this at any time" in answer.json()["agreement"]


@pytest.mark.parametrize("route", CHANGING)
@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
    ],
)
def test_another_site_changes_nothing(
    client: TestClient, manager: Any, kept: None, route: Route, headers: dict[str, str], code: int
) -> None:
    """What a browser sends along with a cookie for another site is refused, and so is all that a form could send."""
    before = extra()
    method, path, body = route
    client.cookies.set("_token", session_of("admin", manager)["Authorization"].removeprefix("Bearer "))
    given = {"Content-Type": "application/json", **headers}
    assert client.request(method, path, content=json.dumps(body), headers=given).status_code == code
    assert extra() == before
    ours = {"Content-Type": "application/json; charset=utf-8", "Sec-Fetch-Site": "same-origin"}
    assert client.request(method, path, content=json.dumps(body), headers=ours).status_code == 200


@pytest.mark.parametrize("route", ROUTES[1:])
@pytest.mark.parametrize("conn_id", ["another", "unknown", "us/21"])
def test_there_are_only_connections_to_mailchimp(ask: Ask, kept: None, route: Route, conn_id: str) -> None:
    """Of another type or of no such id, there is none; nothing is changed of it."""
    method, path, body = route
    answer = ask((method, path.replace(ID, conn_id), body))
    assert answer.status_code == 404
    assert "There is no Mailchimp connection" in answer.json()["detail"]


def test_an_id_with_slashes_has_its_routes(ask: Ask, kept: None, sandbox: Sandbox) -> None:
    """Airflow allows them."""
    made = sandbox.connection()
    save("mail/chimp", **{**made, "extra": json.dumps(made["extra"])})
    try:
        assert ask(("PUT", f"{LIST}/mail%2Fchimp/consent", {"given": False})).status_code == 200
    finally:
        forget("mail/chimp")


def test_a_check_is_kept_and_says_how_everything_is(ask: Ask, kept: None) -> None:
    """Each point has its topic; the list is there again with the next answer, with who asked for it and when."""
    before = datetime.now(UTC).replace(microsecond=0)
    assert ask(CHECK, "op").json() == {"checked": ID}
    assert points(ask) == [
        ("Key", "ok", "Account Sandbox, role admin, plan monthly, 0 contacts"),
        ("Role", "ok", "The role admin may write"),
        ("Data center", "ok", f"us0, over {host_of()}"),
        ("Audience", "ok", f"Audience Sandbox audience ({AUDIENCE}): 0 members, single opt-in"),
        ("Opt-in", "ok", "Sandbox audience has single opt-in: who is new is in it at once"),
        ("Merge fields", "unknown", "No export was found that uses the connection"),
        ("Contact limit", "unknown", "No Contact limit (contact_limit) is set, so none is watched"),
        ("Consent", "note", "Consent is given, by whom and when is not known"),
        ("Allowed DAGs", "ok", "All DAGs may use the connection"),
        (
            "Other fields",
            "note",
            "Unknown extra fields, perhaps mistyped: 'other_tool'",
        ),
    ]
    check = row_of(ask)["check"]
    assert (check["by"], check["is_outdated"], check["hidden"]) == ("op", False, 0)
    assert before <= datetime.fromisoformat(check["at"]) <= datetime.now(UTC)


def host_of() -> str:
    """Where the connection leads."""
    with in_metastore() as connection:
        return str(connection.host).removeprefix("http://")


def test_what_is_wrong_comes_with_its_remedy(ask: Ask, kept: None, sandbox: Sandbox) -> None:
    """Role, audience, contact limit, consent and fields of the form."""
    sandbox.change(role="viewer", double_optin=True)
    change(contact_limit=0)
    ask(CHECK)
    (limit,) = [point for point in row_of(ask)["check"]["points"] if point["topic"] == "Key"]
    assert limit["says"].startswith("Contact limit (contact_limit) must be a whole number from 1 upwards")
    change(contact_limit=5, data_privacy_consent=False)
    ask(CHECK)
    stops = {p["topic"]: p["remedy"] for p in row_of(ask)["check"]["points"] if p["mark"] == "stop"}
    assert stops == {
        "Role": "Use a key of a manager, an admin or the owner",
        "Consent": "Whoever is responsible switches it on, under Data privacy",
    }
    notes = {p["topic"]: p["remedy"] for p in row_of(ask)["check"]["points"] if p["mark"] == "note"}
    assert "Set new_member_status to pending" in notes["Opt-in"]
    change(audience_id="0000000000")
    ask(CHECK)
    assert ("Opt-in", "unknown", "Not looked at: there is no audience to look at") in points(ask)
    audiences = [words for topic, _, words in points(ask) if topic == "Audience"]
    assert audiences == ["The account has no audience 0000000000", f"Audience Sandbox audience: {AUDIENCE}"]


def test_a_wrong_key_hides_nothing_that_is_known_without_it(ask: Ask, kept: None) -> None:
    """The key is what is wrong; of what only Mailchimp knows, it is said that nobody has looked."""
    change(password="f" * 32 + "-us0")
    ask(CHECK)
    told = {topic: (mark, words) for topic, mark, words in points(ask)}
    assert told["Key"][0] == "stop"
    assert (
        told["Role"]
        == told["Audience"]
        == (
            "unknown",
            "Not looked at: Mailchimp was not asked, or did not answer",
        )
    )
    assert told["Consent"][0] == "note"
    assert "f" * 32 not in ask(ROUTES[0]).text


def test_a_check_is_outdated_once_the_connection_was_saved(ask: Ask, kept: None) -> None:
    """Whatever changes the connection, the list says that it was another one."""
    ask(CHECK)
    change(timeout=9)
    assert row_of(ask)["check"]["is_outdated"]
    ask(CHECK)
    assert not row_of(ask)["check"]["is_outdated"]


POINT = {"topic": "Key", "mark": "ok", "says": "x", "remedy": "", "dag_id": ""}
KEPT = {"connection": ID, "by": "x", "at": "2026-11-26T12:00:07+00:00", "mark": "x", "points": [POINT]}


@pytest.mark.parametrize(
    "value",
    [
        "",
        "[]",
        "no JSON",
        "[" * 100_000,
        {"connection": ID},
        *({**KEPT, key: wrong} for key in KEPT for wrong in (1, ["x"], None)),
        *({**KEPT, "at": wrong} for wrong in ("x", "2026-11-26T12:00:07", "0001-01-01T00:00:00+14:00")),
        *({**KEPT, "points": [{**POINT, key: wrong}]} for key in POINT for wrong in (1, ["x"], {}, None)),
        *({**KEPT, "points": [{**POINT, key: "x"}]} for key in ("topic", "mark")),
    ],
)
def test_a_variable_that_somebody_else_wrote_is_no_check(ask: Ask, kept: None, value: Any) -> None:
    """The list of connections is shown all the same."""
    assert kept_as(ask, KEPT) is not None
    assert kept_as(ask, value) is None


def kept_as(ask: Ask, value: Any) -> Any:
    """What the page shows of the last check, once somebody wrote something in its place."""
    from airflow.models.variable import Variable
    from airflow.utils.session import create_session

    text = value if isinstance(value, str) else json.dumps(value)
    with create_session() as session:
        Variable.set(f"airflow_mailchimp_export.check.{ID}", text, session=session)
    return row_of(ask)["check"]


def test_an_audience_is_chosen_from_those_of_the_account(ask: Ask, kept: None) -> None:
    """The connection has it then, and everything else that it had; one that is not there is refused."""
    change(audience_id="")
    before = extra()
    assert ask(AUDIENCES).json() == {"audiences": [{"id": AUDIENCE, "name": "Sandbox audience"}], "total": 1}
    refused = ask(("PUT", f"{ONE}/audience", {"audience_id": "0000000000"}))
    assert (refused.status_code, refused.json()["detail"]) == (409, "The account has no audience 0000000000")
    assert extra() == before
    assert ask(CHOOSE).status_code == 200
    assert extra() == {**before, "audience_id": AUDIENCE}
    assert row_of(ask)["audience_id"] == AUDIENCE


def test_audiences_cannot_be_listed_with_a_wrong_key(ask: Ask, kept: None) -> None:
    """The answer says what Mailchimp said, and not the key."""
    change(password="f" * 32 + "-us0")
    answer = ask(AUDIENCES)
    assert answer.status_code == 424
    assert "key" in answer.json()["detail"].lower()
    assert "f" * 32 not in answer.text


def test_who_withdraws_and_who_agrees_is_kept(ask: Ask, kept: None) -> None:
    """With the name of whoever was logged in, and the moment; nobody can write another's name."""
    before = extra()
    assert ask(("PUT", f"{ONE}/consent", {"given": False, "by": "ann"}), "op").json() == {
        "given": False,
        "elsewhere": None,
    }
    after = extra()
    at = after.pop("consent_withdrawn_at")
    assert abs((datetime.now(UTC) - datetime.fromisoformat(at)).total_seconds()) < 60
    assert after == {**before, "data_privacy_consent": False, "consent_withdrawn_by": "op"}
    assert row_of(ask)["consent"] == {
        "given": False,
        "agreed": None,
        "withdrawn": {"by": "op", "at": at},
        "flaws": [],
    }
    assert ask(AGREE, "admin").json()["given"] is True
    consent = row_of(ask)["consent"]
    assert (consent["given"], consent["agreed"]["by"], consent["withdrawn"]) == (True, "admin", None)


@pytest.mark.parametrize("body", [{}, {"given": "yes"}, {"given": 1}, {"given": None}, [], None])
def test_half_a_decision_is_none(ask: Ask, kept: None, body: Any) -> None:
    """Nothing is changed by a body that says neither."""
    before = extra()
    answer = ask(("PUT", f"{ONE}/consent", body), **{"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert extra() == before


def test_airflows_audit_log_knows_of_each_change(ask: Ask, kept: None) -> None:
    """Who did what to which connection."""
    from airflow.models.log import Log
    from airflow.utils.session import create_session
    from sqlalchemy import select

    for route in (CHECK, CHOOSE, WITHDRAW):
        ask(route, "op")
    with create_session() as session:
        rows = session.execute(
            select(Log.event, Log.owner, Log.extra).where(Log.event.startswith("mailchimp_"))
        ).all()
    told = [(event, owner, json.loads(more)["connection_id"]) for event, owner, more in rows[-3:]]
    assert told == [(f"mailchimp_{what}", "op", ID) for what in ("check", "audience", "consent")]


def test_nothing_is_called_where_airflow_lets_nobody_test(
    ask: Ask, kept: None, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With Airflow's own setting off, the API server calls no host, and says which setting it is."""
    monkeypatch.setenv("AIRFLOW__CORE__TEST_CONNECTION", "Disabled")
    calls = sandbox.stats()["requests"]
    for route in (CHECK, AUDIENCES, CHOOSE):
        answer = ask(route)
        assert answer.status_code == 403
        assert "[core] test_connection" in answer.json()["detail"]
    assert sandbox.stats()["requests"] == calls
    assert ask(ROUTES[0]).json()["tests_enabled"] is False
    assert ask(WITHDRAW).status_code == 200


@pytest.mark.parametrize("field", ["_password", "_extra"])
@pytest.mark.parametrize("broken", ["gAAAAABno_such_token", "no token at all"])
def test_what_airflow_cannot_read_is_told_and_left_alone(
    ask: Ask, kept: None, field: str, broken: str
) -> None:
    """A connection that another Fernet key has encrypted breaks no list, and is not overwritten."""
    columns = encrypted(**{field: broken})
    row = row_of(ask)
    assert row["description"] == "<i>Ours</i>"
    assert row["problem"]["message"] == "Airflow cannot decrypt the connection"
    assert "fernet_key" in row["problem"]["remedy"]
    for route in (WITHDRAW, AGREE, CHOOSE, AUDIENCES):
        answer = ask(route)
        assert answer.status_code == 409
        assert "[core] fernet_key" in answer.json()["detail"]
    assert ask(CHECK).status_code == 200
    assert ("Key", "stop", "Airflow cannot decrypt the connection") in points(ask)
    assert not row_of(ask)["check"]["is_outdated"]
    assert ask(("GET", "/api/exports", None)).json()["may_connections"] is True
    assert encrypted() == columns


def encrypted(**broken: str) -> dict[str, Any]:
    """Break encrypted columns of the connection; returned are both, as they lie in the metastore."""
    from airflow.models.connection import Connection
    from airflow.utils.session import create_session
    from sqlalchemy import select, update

    columns = (Connection._password, Connection._extra)
    with create_session() as session:
        if broken:
            session.execute(
                update(Connection)
                .where(Connection.conn_id == ID)
                .values({getattr(Connection, field): value for field, value in broken.items()})
            )
        row = session.execute(select(*columns).where(Connection.conn_id == ID)).one()
    return dict(zip(("_password", "_extra"), row, strict=True))


def test_a_connection_that_is_set_up_wrongly_is_listed(ask: Ask, kept: None) -> None:
    """With the field and the remedy, and with the way to withdraw consent."""
    change(timeout="soon")
    assert row_of(ask)["problem"]["message"].startswith("Timeout in seconds (timeout) must be a number")
    assert ask(WITHDRAW).status_code == 200
    assert extra()["data_privacy_consent"] is False


def test_of_a_connection_that_exports_do_not_use_this_is_said(
    ask: Ask, kept: None, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable of the environment comes first: a withdrawal is kept, and nobody takes it for one that counts."""
    before, calls = extra(), sandbox.stats()["requests"]
    monkeypatch.setenv(f"AIRFLOW_CONN_{ID.upper()}", json.dumps(sandbox.connection()))
    says = f"The connection {ID} comes from EnvironmentVariablesBackend, before which Airflow's database does not count"
    for route in (AGREE, CHOOSE, AUDIENCES):
        answer = ask(route)
        assert (answer.status_code, answer.json()["detail"].startswith(says)) == (409, True)
    assert ask(CHECK).status_code == 200
    assert points(ask)[0] == ("Key", "stop", says)
    assert {mark for _, mark, _ in points(ask)[1:]} == {"unknown"}
    assert sandbox.stats()["requests"] == calls
    assert extra() == before
    assert ask(WITHDRAW).json() == {"given": False, "elsewhere": says}
    assert extra()["data_privacy_consent"] is False
