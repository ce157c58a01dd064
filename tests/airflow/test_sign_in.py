"""Signing in to Mailchimp: the page, to the sandbox and back, over HTTP, by whoever may and whoever may not."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from airflow_mailchimp_export.settings.connection import AuthMethod
from scripts.services import free_port
from tests.airflow.browsing import Visitor, served, state_of, where_to
from tests.airflow.conftest import HOME
from tests.airflow.people import crowd, write_segments
from tests.airflow.runs import one_task, states, three_tasks
from tests.kit.http import ScriptedServer, to_response

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.sandbox_service import Sandbox
    from tests.airflow.conftest import RunDag

NEW = "mailchimp_signed_in"
ROUTES = [("GET", ""), ("POST", ""), ("GET", "/callback"), ("GET", "/audience"), ("POST", "/audience")]

# Airflow warns of its own way to a connection's hook.
pytestmark = pytest.mark.filterwarnings("ignore:ProvidersManager.hooks is deprecated")

Visit = Callable[..., Visitor]


@pytest.fixture(scope="module")
def server(manager: Any) -> Iterator[str]:
    """Where the page is served."""
    with served() as url:
        yield url


@pytest.fixture
def configured(server: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """An app that is registered in the sandbox."""
    settings = sandbox.settings()
    sandbox.change(oauth_redirect_uri=f"{server}/mailchimp/sign-in/callback")
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", server)
    monkeypatch.setenv("AIRFLOW__MAILCHIMP__OAUTH_CLIENT_ID", settings["oauth_client_id"])
    monkeypatch.setenv("AIRFLOW__MAILCHIMP__OAUTH_CLIENT_SECRET", settings["oauth_client_secret"])
    for name in ("AUTHORIZE", "TOKEN", "METADATA"):
        monkeypatch.setenv(f"AIRFLOW__MAILCHIMP__OAUTH_{name}_ORIGIN", sandbox.url)
    return sandbox


@pytest.fixture
def visit(server: str, manager: Any) -> Iterator[Visit]:
    """Somebody with a role comes to the page; what they leave behind is gone afterwards."""
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    def come(role: str = "admin", name: str = "") -> Visitor:
        user = SimpleAuthManagerUser(username=name or role, role=role)
        return Visitor(server, manager.generate_jwt(user) if role else "")

    yield come
    _clear()


def _clear() -> None:
    from airflow.models.connection import Connection
    from airflow.models.log import Log
    from airflow.models.variable import Variable
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    with create_session() as session:
        for model in (Connection, Variable, Log):
            session.execute(delete(model))


def saved(conn_id: str = NEW) -> Any:
    """What the database has of a connection; ``None`` where there is none."""
    from airflow.models.connection import Connection
    from airflow.utils.session import create_session

    with create_session() as session:
        found = session.query(Connection).filter_by(conn_id=conn_id).one_or_none()
        return found and SimpleNamespace(
            password=found.password, host=found.host, port=found.port, extra=found.extra_dejson
        )


def put(conn_id: str, **fields: Any) -> None:
    """Put a connection into the database."""
    from airflow.models.connection import Connection
    from airflow.utils.session import create_session

    with create_session() as session:
        session.add(Connection(conn_id=conn_id, **{"conn_type": "mailchimp", **fields}))


def waiting() -> list[Any]:
    """The Variables of sign-ins that have begun."""
    from airflow.models.variable import Variable
    from airflow.utils.session import create_session

    with create_session() as session:
        return [(found.key, found.get_val()) for found in session.query(Variable)]


def logged() -> list[tuple[str, str, str]]:
    """What the audit log has."""
    from airflow.models.log import Log
    from airflow.utils.session import create_session

    with create_session() as session:
        return [(found.event, found.owner, found.extra) for found in session.query(Log).order_by(Log.id)]


def words(page: Any) -> str:
    """What a page says, in one line."""
    return re.sub(r"\s+", " ", re.sub(r"<style>.*?</style>|<[^>]*>", " ", page.text, flags=re.DOTALL))


# Who may


@pytest.mark.parametrize(("method", "route"), ROUTES)
def test_nobody_gets_in(visit: Visit, configured: Sandbox, method: str, route: str) -> None:
    """Without a session there is a page with the way to log in, and nothing else."""
    visitor = visit("")
    page = visitor.get(route) if method == "GET" else visitor.send(route)
    assert page.status_code == 401
    assert "You are not logged in to Airflow" in page.text
    back = quote(f"{visitor.airflow}/mailchimp/sign-in", safe="")
    assert f'href="/api/v2/auth/login?next={back}"' in page.text


@pytest.mark.parametrize("role", ["viewer", "user"])
def test_roles_without_connections(visit: Visit, configured: Sandbox, role: str) -> None:
    """Who may neither create nor change connections sees nothing of them, and sends nothing."""
    put("theirs", password="k" * 32 + "-us0")
    visitor = visit(role)
    for page in (visitor.get(""), visitor.get("/audience?connection=theirs")):
        assert page.status_code == 403
        assert "Your role in Airflow does not let you" in page.text
    token = form_token_of(visitor)
    for route, fields in (("", {"connection": "theirs"}), ("", {"new_connection": NEW}), ("/audience", {})):
        sent = visitor.send(route, token=token, agreed="yes", **{"connection": "theirs"} | fields)
        assert sent.status_code == 403
        assert "Your role in Airflow does not let you" in sent.text
    assert (waiting(), saved()) == ([], None)


def form_token_of(visitor: Visitor) -> str:
    """What a form would need that this visitor sends."""
    from airflow_mailchimp_export.pages.sign_in.browser import COOKIE, form_token, new_browser

    browser = new_browser()
    visitor.session.cookies.set(COOKIE, browser, path="/mailchimp/sign-in")
    return form_token(browser, json.loads(_payload(visitor))["sub"])


def _payload(visitor: Visitor) -> bytes:
    from base64 import urlsafe_b64decode

    part = str(visitor.session.cookies["_token"]).split(".")[1]
    return urlsafe_b64decode(part + "=" * (-len(part) % 4))


@pytest.mark.parametrize("role", ["op", "admin"])
def test_roles_with_connections(visit: Visit, configured: Sandbox, role: str) -> None:
    """Who may change connections goes the whole way."""
    visitor = visit(role)
    page = visitor.get("")
    assert page.status_code == 200
    assert "I am responsible for Mailchimp meeting the obligations" in page.text
    done = visitor.get(visitor.answered(new_connection=NEW))
    assert done.status_code == 303
    assert saved().extra["consent_by"] == role


def test_the_right_to_one_connection(
    visit: Visit, configured: Sandbox, manager: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each connection is asked for by itself, when the sign-in begins, when it comes back, and for the audience."""
    put("mine", password="k" * 32 + "-us0")
    put("theirs", password="k" * 32 + "-us0")
    mine = {"mine", "theirs"}

    def allowed(*, method: str, details: Any = None, **_: Any) -> bool:
        return method in {"GET", "PUT"} and details.conn_id in mine

    monkeypatch.setattr(manager, "is_authorized_connection", allowed)
    visitor = visit("op")
    back = visitor.answered(connection="theirs")
    mine.remove("theirs")
    page = visitor.get("")
    assert "mine: replace its key" in page.text
    assert "theirs" not in page.text
    assert "Name of a new connection" not in page.text
    for refused in (
        visitor.get(back),
        visitor.get("/audience?connection=theirs"),
        visitor.fill_in(page, agreed="yes", connection="theirs"),
        visitor.fill_in(page, agreed="yes", new_connection=NEW),
    ):
        assert refused.status_code == 403
    assert saved("theirs").password == "k" * 32 + "-us0"


def test_a_right_that_is_lost_meanwhile(
    visit: Visit, configured: Sandbox, manager: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who may not create connections any more when Mailchimp's answer comes gets no token for one."""
    visitor = visit("op")
    back = visitor.answered(new_connection=NEW)
    monkeypatch.setattr(manager, "is_authorized_connection", lambda **_: False)
    assert visitor.get(back).status_code == 403
    assert saved() is None
    assert configured.control("oauth/revoke", {}) == {"revoked": 0}


# The whole way


def test_a_new_connection(visit: Visit, configured: Sandbox) -> None:
    """It has the token, where its account lives, who agreed and when, and then the audience; the Test button passes."""
    begun, visitor = datetime.now(UTC).replace(microsecond=0), visit("op", "ann")
    done = visitor.get(visitor.answered(new_connection=NEW))
    assert done.headers["Location"] == f"/mailchimp/sign-in/audience?connection={NEW}"
    place, made = urlsplit(configured.url), saved()
    assert (made.host, made.port) == (f"http://{place.hostname}", place.port)
    agreed_at = datetime.fromisoformat(made.extra.pop("consent_at"))
    assert begun <= agreed_at <= datetime.now(UTC)
    assert made.extra == {
        "auth_method": "oauth2", "server_prefix": "us0", "data_privacy_consent": True, "consent_by": "ann",
        "allow_custom_host": False, "allow_insecure_host": False,
    }  # fmt: skip
    page = visitor.get(f"/audience?connection={NEW}")
    assert "account Sandbox, with the role admin" in words(page)
    chosen = visitor.fill_in(page, audience=configured.audience_id)
    assert chosen.status_code == 303
    assert saved().extra["audience_id"] == configured.audience_id
    page = visitor.get(f"/audience?connection={NEW}")
    assert "Its default audience is Sandbox audience ( a1b2c3d4e5 )" in words(page)
    assert waiting() == []
    assert logged() == [
        ("mailchimp_sign_in", "ann", json.dumps({"connection_id": NEW, "consent": True})),
        ("mailchimp_audience", "ann", json.dumps({"connection_id": NEW, "audience_id": "a1b2c3d4e5"})),
    ]
    secret = configured.settings()["oauth_client_secret"]
    assert not [text for text in visitor.seen if made.password in text or secret in text]


def test_the_hook_uses_it(visit: Visit, configured: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was saved is a whole connection: the hook reads it, and the Test button passes."""
    from airflow.models.connection import Connection

    from airflow_mailchimp_export.hooks import to_settings

    visitor = visit()
    visitor.get(visitor.answered(new_connection=NEW))
    found = Connection.get_connection_from_secrets(NEW)
    settings = to_settings(found)
    assert (settings.auth_method, settings.base_url) == (AuthMethod.OAUTH2, f"{configured.url}/3.0")
    assert (settings.data_privacy_consent, settings.unknown_extra) == (True, ())
    assert settings.evidence.agreed
    assert settings.evidence.agreed.by == "admin"
    # As Airflow does for its button.
    with monkeypatch.context() as patch:
        patch.setenv(f"AIRFLOW_CONN_{NEW.upper()}", found.get_uri())
        check_the_button(found, configured)
    revoked = visitor.get(f"/audience?connection={NEW}")
    assert revoked.status_code == 502
    assert "Mailchimp does not know this OAuth token" in revoked.text
    assert "Sign in again, in Airflow&#39;s UI" in revoked.text


def check_the_button(found: Any, configured: Sandbox) -> None:
    """Press it before and after the token is revoked."""
    passed, message = found.test_connection()
    assert passed, message
    configured.control("oauth/revoke", {})
    passed, message = found.test_connection()
    assert not passed
    assert "Sign in again" in message


@pytest.mark.parametrize(
    ("wiring", "settings"), [(one_task, {"delivery": "direct"}), (three_tasks, {"deferrable": True})]
)
def test_exports_use_it(
    visit: Visit,
    configured: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    run_dag: RunDag,
    tmp_path: Path,
    wiring: Callable[..., Any],
    settings: dict[str, Any],
) -> None:
    """An export needs nothing else: no key is valid any more, and operator, trigger and report get in by the token."""
    from airflow.models.connection import Connection

    visitor = visit()
    visitor.get(visitor.answered(new_connection=NEW))
    visitor.fill_in(visitor.get(f"/audience?connection={NEW}"), audience=configured.audience_id)
    uri = Connection.get_connection_from_secrets(NEW).get_uri()
    monkeypatch.setenv("AIRFLOW_CONN_MAILCHIMP_DEFAULT", uri)
    configured.control("key/rotate", {})
    shutil.rmtree(HOME / "exports", ignore_errors=True)
    run = run_dag(wiring(segments=write_segments(tmp_path, {"VIP": crowd("vip", 30)}), **settings))
    assert set(states(run).values()) == {"success"}
    assert configured.audience()["statuses"]["subscribed"] == 30


def test_an_existing_connection(visit: Visit, configured: Sandbox) -> None:
    """Its key and all that says where the key travels are replaced; what else it holds stays."""
    kept = {"audience_id": "a1b2c3d4e5", "allowed_dags": ["a"], "export_user": "Marketing", "timeout": None}
    old = {"allow_custom_host": True, "consent_withdrawn_by": "bob", "data_privacy_consent": False}
    put(
        NEW,
        host="https://proxy.example",
        schema="https",
        password="k" * 32 + "-us0",
        extra=json.dumps(kept | old),
    )
    visitor = visit()
    visitor.get(visitor.answered(connection=NEW))
    made = saved()
    assert made.host == f"http://{urlsplit(configured.url).hostname}"
    assert len(made.password) == 32
    assert {key: made.extra[key] for key in kept} == kept
    assert (made.extra["data_privacy_consent"], made.extra["allow_custom_host"]) == (True, False)
    assert "consent_withdrawn_by" not in made.extra
    assert "Its default audience is" in visitor.get(f"/audience?connection={NEW}").text


def test_mailchimps_own_host(visit: Visit, configured: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """An account at Mailchimp is known by its data center alone; the port is there for Airflow's Test button."""
    home = {"dc": "us3", "api_endpoint": "https://us3.api.mailchimp.com", "role": "admin"}
    with ScriptedServer(to_response(home)) as metadata:
        monkeypatch.setenv("AIRFLOW__MAILCHIMP__OAUTH_METADATA_ORIGIN", metadata.url)
        visitor = visit()
        assert visitor.get(visitor.answered(new_connection=NEW)).status_code == 303
    made = saved()
    assert (made.host, made.port, made.extra["server_prefix"]) == (None, 443, "us3")
    (asked,) = metadata.received
    assert asked.headers["authorization"] == f"OAuth {made.password}"


def test_behind_a_base_url(
    configured: Sandbox, manager: Any, monkeypatch: pytest.MonkeyPatch, visit: Visit
) -> None:
    """Where Airflow has a path of its own, each address has it, and the cookie goes nowhere else."""
    with served("/team/airflow") as url:
        configured.change(oauth_redirect_uri=f"{url}/mailchimp/sign-in/callback")
        monkeypatch.setenv("AIRFLOW__API__BASE_URL", f"{url}/")
        visitor = visit()
        visitor.airflow = url
        assert f"{url}/mailchimp/sign-in/callback" in visitor.get("").text
        done = visitor.get(visitor.answered(new_connection=NEW))
        assert done.headers["Location"].startswith("/team/airflow/mailchimp/sign-in/audience?")
        chosen = visitor.fill_in(visitor.get(f"/audience?connection={NEW}"), audience="a1b2c3d4e5")
        assert chosen.headers["Location"].startswith("/team/airflow/mailchimp/sign-in/audience?")
    (cookie,) = (cookie for cookie in visitor.session.cookies if cookie.name == "mailchimp_sign_in")
    assert cookie.path == "/team/airflow/mailchimp/sign-in"


# What stops it


def test_refused_consent(visit: Visit, configured: Sandbox) -> None:
    """Who presses Deny at Mailchimp's is told so, and nothing was saved."""
    visitor = visit()
    page = visitor.get(visitor.answered("deny", new_connection=NEW))
    assert page.status_code == 400
    assert "In Mailchimp access was refused, so nothing was saved" in page.text
    assert "Begin again" in page.text
    assert (saved(), waiting()) == (None, [])


@pytest.mark.parametrize("query", ["", "?code=c", "?error=server_error", "?state=&code=c"])
def test_a_missing_state(visit: Visit, configured: Sandbox, query: str) -> None:
    """An answer that says not which sign-in it belongs to is none."""
    page = visit().get(f"/callback{query}")
    assert (page.status_code, "Nothing was saved. Begin again" in page.text) == (400, True)
    assert "says not which sign-in it belongs to" in page.text


def test_an_error_of_another_kind(visit: Visit, configured: Sandbox) -> None:
    """Words that Mailchimp sends along are not repeated: anybody can write them into an address."""
    visitor = visit()
    state = state_of(visitor.answered(new_connection=NEW))
    page = visitor.get(f"/callback?state={state}&error=%3Cb%3Eserver_error")
    assert (page.status_code, "server_error" in page.text) == (400, False)
    assert "sent you back without what a token is given for" in page.text


@pytest.mark.parametrize("state", ["invented", "a" * 43, "%00", "%F0%9F%98%80", "x" * 5_000])
def test_an_invented_state(visit: Visit, configured: Sandbox, state: str) -> None:
    """A state that nobody was given is none."""
    page = visit().get(f"/callback?state={state}&code=c")
    assert (page.status_code, "or never began here" in page.text) == (400, True)


def test_a_replayed_state(visit: Visit, configured: Sandbox) -> None:
    """The second use of a state is refused, also with a new code, and changes nothing."""
    visitor = visit()
    back = visitor.answered(new_connection=NEW)
    assert visitor.get(back).status_code == 303
    before = saved()
    other = parse_qs(urlsplit(visitor.answered(connection=NEW)).query)["code"][0]
    again = visitor.get(f"/callback?state={state_of(back)}&code={other}")
    assert (again.status_code, "This sign-in is over" in again.text) == (400, True)
    assert saved() == before


def test_an_expired_state(visit: Visit, configured: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """After ten minutes an answer is too late, and the state is worth nothing from then on."""
    from airflow_mailchimp_export.pages.sign_in import pending

    visitor = visit()
    monkeypatch.setattr(pending, "LIFETIME", timedelta(0))
    back = visitor.answered(new_connection=NEW)
    late = visitor.get(back)
    assert (late.status_code, "took longer than ten minutes" in late.text) == (400, True)
    assert (saved(), waiting()) == (None, [])


def test_what_nobody_came_back_for_is_forgotten(
    visit: Visit, configured: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each sign-in that begins removes those that are too old, and no other."""
    from airflow_mailchimp_export.pages.sign_in import pending

    visitor = visit()
    with monkeypatch.context() as patch:
        patch.setattr(pending, "LIFETIME", timedelta(0))
        visitor.begin(new_connection=NEW)
    for _ in range(2):
        visitor.begin(new_connection=NEW)
    assert len(waiting()) == 2


@pytest.mark.parametrize(
    "kept",
    [
        "https://login.example",
        "null",
        "[]",
        '{"user_id": "ann"}',
        "a sign-in",
        {"until": "soon"},
        {"until": "2020-01-02T06:00:00"},
        {"until": None},
        {"user_id": 5},
        {"purpose": []},
        {"seal": "\u00e9"},
        {"more": "than that"},
    ],
)
def test_variables_of_others(visit: Visit, configured: Sandbox, kept: str | dict[str, Any]) -> None:
    """What is no sign-in keeps nobody from theirs, is none, and is not deleted, whatever it is called."""
    from airflow.models.variable import Variable

    from airflow_mailchimp_export.pages.sign_in import pending

    old = pending.Pending(
        user_id="ann",
        purpose=pending.Purpose(conn_id=NEW, is_new=True, consent=""),
        agreed_at=datetime(2020, 1, 2, tzinfo=UTC),
        until=datetime(2020, 1, 2, tzinfo=UTC),
    ).model_dump(mode="json")
    text = kept if isinstance(kept, str) else json.dumps({**old, **kept})
    foreign = {"mailchimp_sign_in_url": json.dumps(old), "mailchimp_sign_out": text, pending._key("s"): text}
    for key, value in foreign.items():
        Variable.set(key, value)
    visitor = visit("op", "ann")
    assert "or never began here" in visitor.get("/callback?state=s&code=c").text
    assert visitor.get(visitor.answered(new_connection=NEW)).status_code == 303
    assert dict(waiting()) == foreign


def test_another_users_state(visit: Visit, configured: Sandbox) -> None:
    """Who is sent to an answer that belongs to somebody else saves nothing, also in the very same browser."""
    ann, bob = visit("admin", "ann"), visit("admin", "bob")
    back = ann.answered(new_connection=NEW)
    bob.session.cookies.set(
        "mailchimp_sign_in", ann.session.cookies["mailchimp_sign_in"], path="/mailchimp/sign-in"
    )
    page = bob.get(back)
    assert (page.status_code, "Another user of Airflow began it" in page.text) == (400, True)
    over = ann.get(back)
    assert "This sign-in is over" in over.text
    assert saved() is None


def test_another_browsers_state(visit: Visit, configured: Sandbox) -> None:
    """An answer counts only in the browser in which the sign-in began."""
    back = visit().answered(new_connection=NEW)
    page = visit().get(back)
    assert (page.status_code, "This browser has not begun it" in page.text) == (400, True)
    assert saved() is None


def test_a_state_is_taken_once(configured: Sandbox, visit: Visit) -> None:
    """Of many who come with a state at the same moment, to whatever process, one goes on."""
    from airflow.utils.session import create_session

    from airflow_mailchimp_export.pages.sign_in import pending
    from airflow_mailchimp_export.pages.sign_in.stopped import Stopped

    now = datetime.now(UTC)
    with create_session() as session:
        state = pending.begin(
            session,
            pending.Purpose(conn_id=NEW, is_new=True, consent=""),
            user_id="ann",
            browser="b",
            now=now,
        )

    def take(_: int) -> bool:
        with create_session() as session:
            try:
                pending.take(session, state, user_id="ann", browser="b", now=now)
            except Stopped:
                return False
            return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(take, range(8))) == 1


def test_the_database_holds_no_state(visit: Visit, configured: Sandbox) -> None:
    """Who can read Variables learns for whom a sign-in is, and nothing with which it could be ended."""
    visitor = visit("op", "ann")
    back = visitor.answered(new_connection=NEW)
    ((key, kept),) = waiting()
    assert json.loads(kept)["user_id"] == "ann"
    browser = visitor.session.cookies["mailchimp_sign_in"]
    assert not [secret for secret in (state_of(back), browser) if secret in key + kept]


@pytest.mark.parametrize("has_cookie", [True, False])
@pytest.mark.parametrize(
    "seal", ["of another sign-in", "with all it stands for", "made with no cookie", "none"]
)
def test_a_sign_in_that_was_made_up(visit: Visit, configured: Sandbox, seal: str, has_cookie: bool) -> None:
    """Who can read and write Variables cannot let somebody else, sent to an address, sign in for what they chose."""
    put("chosen", password="k" * 32 + "-us0")
    ann = visit("op", "ann")
    ann.begin(new_connection=NEW)
    ((_, kept),) = waiting()
    state = "a" * 43
    _make_up(state, kept, seal)
    if not has_cookie:
        del ann.session.cookies["mailchimp_sign_in"]
    page = ann.get(f"/callback?state={state}&code=c")
    assert (page.status_code, "This browser has not begun it" in page.text) == (400, True)
    assert saved("chosen").password == "k" * 32 + "-us0"


def _make_up(state: str, kept: str, seal: str) -> None:
    """Write a Variable such as a sign-in has, with all that can be known of one that Ann has begun."""
    from airflow.models.variable import Variable

    from airflow_mailchimp_export.pages.sign_in import pending

    begun = pending.Pending.model_validate_json(kept)
    purpose = begun.purpose.model_copy(update={"conn_id": "chosen", "is_new": False})
    chosen = begun.model_copy(update={"purpose": purpose})
    made = {
        "of another sign-in": chosen,
        "with all it stands for": begun,
        "made with no cookie": chosen.sealed("", state),
        "none": chosen.model_copy(update={"seal": ""}),
    }
    Variable.set(pending._key(state), made[seal].model_dump_json())


@pytest.mark.parametrize(
    "change",
    [
        {"purpose": {"conn_id": "other"}},
        {"purpose": {"is_new": False}},
        {"purpose": {"consent": "0" * 64}},
        {"agreed_at": "2026-01-02T06:00:00Z"},
        {"until": "2099-01-02T06:00:00Z"},
    ],
)
def test_a_sign_in_that_was_changed(visit: Visit, configured: Sandbox, change: dict[str, Any]) -> None:
    """Nothing of what a user has begun can be changed by whoever can write Variables."""
    from airflow.models.variable import Variable

    visitor = visit("op", "ann")
    back = visitor.answered(new_connection=NEW)
    ((key, text),) = waiting()
    kept = json.loads(text)
    purpose = {**kept["purpose"], **change.get("purpose", {})}
    Variable.set(key, json.dumps({**kept, **change, "purpose": purpose}))
    page = visitor.get(back)
    assert (page.status_code, "This browser has not begun it" in page.text) == (400, True)
    assert (saved(), saved("other")) == (None, None)


# Forms


def test_forms_of_others(visit: Visit, configured: Sandbox) -> None:
    """What was not sent from our own page, by this user in this browser, is refused and begins nothing."""
    from airflow_mailchimp_export.pages.sign_in.browser import COOKIE, form_token

    visitor = visit("admin", "ann")
    page = visitor.get("")
    token = re.search(r'name="token" value="([^"]+)"', page.text)
    assert token
    fields = {"new_connection": NEW, "agreed": "yes"}
    stranger = visit("admin", "ann")
    cross = {"Sec-Fetch-Site": "cross-site"}
    url = f"{visitor.airflow}/mailchimp/sign-in"
    for refused in (
        visitor.send("", **fields),
        visitor.send("", **fields, token="a" * 64),
        visitor.send("", **fields, token=form_token(visitor.session.cookies[COOKIE], "bob")),
        stranger.send("", **fields, token=token[1]),
        visitor.session.post(
            url, {**fields, "token": token[1]}, headers=cross, allow_redirects=False, timeout=9
        ),
        visitor.send("/audience", connection=NEW, audience="a1b2c3d4e5"),
    ):
        assert (refused.status_code, "This form is not from here" in refused.text) == (403, True)
    assert waiting() == []
    assert where_to(visitor.send("", **fields, token=token[1])).startswith(configured.url)


@pytest.mark.parametrize("agreed", ["", "no"])
def test_without_agreement(visit: Visit, configured: Sandbox, agreed: str) -> None:
    """Who does not tick the text goes nowhere, and what was filled in stays."""
    visitor = visit()
    page = visitor.fill_in(visitor.get(""), new_connection=NEW, agreed=agreed)
    assert page.status_code == 400
    assert "Without your agreement to the transfer of personal data nothing may leave" in page.text
    assert f'value="{NEW}"' in page.text
    assert waiting() == []


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"new_connection": ""}, "This is no name|The name of a new connection has"),
        ({"new_connection": "a b"}, "The name of a new connection has"),
        ({"new_connection": "../x"}, "The name of a new connection has"),
        ({"new_connection": "taken"}, "There is a connection taken already"),
        ({"connection": "other"}, "is not of the type mailchimp"),
        ({"connection": "nowhere"}, "has no connection nowhere"),
        ({"new_connection": "in_environment"}, "comes from EnvironmentVariablesBackend"),
    ],
)
def test_connections_that_cannot_be(
    visit: Visit, configured: Sandbox, monkeypatch: pytest.MonkeyPatch, fields: dict[str, str], said: str
) -> None:
    """Each is named with its remedy, before anybody is sent to Mailchimp."""
    put("taken", password="k" * 32 + "-us0")
    put("other", conn_type="http")
    monkeypatch.setenv("AIRFLOW_CONN_IN_ENVIRONMENT", '{"conn_type": "mailchimp"}')
    visitor = visit()
    page = visitor.fill_in(visitor.get(""), agreed="yes", **fields)
    assert page.status_code in {400, 404}
    assert re.search(said, page.text)
    assert waiting() == []


def test_the_audience_of_a_connection_that_exports_do_not_use(
    visit: Visit, configured: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where an environment variable has the connection, none is shown or saved in Airflow's database."""
    visitor = visit()
    visitor.get(visitor.answered(new_connection=NEW))
    page = visitor.get(f"/audience?connection={NEW}")
    audience = configured.audience_id
    monkeypatch.setenv(f"AIRFLOW_CONN_{NEW.upper()}", '{"conn_type": "mailchimp"}')
    chosen = visitor.fill_in(page, audience=audience)
    for answer in (visitor.get(f"/audience?connection={NEW}"), chosen):
        assert answer.status_code == 400
        assert "comes from EnvironmentVariablesBackend" in answer.text
    assert audience not in (saved().extra or "")


def test_a_connection_that_came_meanwhile(visit: Visit, configured: Sandbox) -> None:
    """Who signs in for a new connection replaces none that somebody else has made since."""
    visitor = visit()
    back = visitor.answered(new_connection=NEW)
    put(NEW, password="k" * 32 + "-us0")
    assert "This name is taken" in visitor.get(back).text
    assert saved().password == "k" * 32 + "-us0"


def test_a_connection_that_went_meanwhile(visit: Visit, configured: Sandbox) -> None:
    """Who signs in for a connection makes none anew that somebody has deleted since."""
    put(NEW, password="k" * 32 + "-us0")
    visitor = visit()
    back = visitor.answered(connection=NEW)
    _delete(NEW)
    assert visitor.get(back).status_code == 404
    assert saved() is None


@pytest.mark.parametrize("change", ["withdrawn", "withdrawn again", "switched off in the form", "agreed"])
def test_consent_that_was_changed_meanwhile(visit: Visit, configured: Sandbox, change: str) -> None:
    """What somebody decides after Ann has agreed, and before Mailchimp's answer, counts; no token is asked for."""
    begun = AGREED if change != "withdrawn again" else WITHDRAWN
    put(NEW, password="k" * 32 + "-us0", extra=json.dumps(begun))
    visitor = visit("op", "ann")
    back = visitor.answered(connection=NEW)
    decided = _decide(change)
    page = visitor.get(back)
    assert (page.status_code, "Consent was changed meanwhile" in page.text) == (409, True)
    assert (saved().extra, saved().password) == (decided, "k" * 32 + "-us0")
    assert configured.control("oauth/revoke", {}) == {"revoked": 0}
    # Who has seen it may agree to it.
    assert visitor.get(visitor.answered(connection=NEW)).status_code == 303
    assert (saved().extra["data_privacy_consent"], saved().extra["consent_by"]) == (True, "ann")


def test_consent_that_is_withdrawn_in_the_last_moment(
    visit: Visit, configured: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It counts, too, while Mailchimp is asked for the token."""
    from airflow_mailchimp_export.pages.sign_in import routes

    put(NEW, password="k" * 32 + "-us0", extra=json.dumps(AGREED))
    visitor = visit("op", "ann")
    back = visitor.answered(connection=NEW)
    real = routes.located_by

    def while_bob_withdraws(*args: Any) -> Any:
        _decide("withdrawn")
        return real(*args)

    monkeypatch.setattr(routes, "located_by", while_bob_withdraws)
    assert visitor.get(back).status_code == 409
    assert saved().extra["consent_withdrawn_by"] == "bob"


def test_what_else_is_changed_meanwhile(visit: Visit, configured: Sandbox) -> None:
    """Another field that somebody fills in meanwhile stays, and stops nobody."""
    put(NEW, password="k" * 32 + "-us0", extra=json.dumps(AGREED))
    visitor = visit("op", "ann")
    back = visitor.answered(connection=NEW)
    _put_extra(json.dumps({**AGREED, "contact_limit": 500}))
    assert visitor.get(back).status_code == 303
    assert saved().extra["contact_limit"] == 500


AGREED = {
    "data_privacy_consent": True, "consent_by": "carol", "consent_at": "2026-01-02T06:00:00+00:00",
}  # fmt: skip
WITHDRAWN = {
    "data_privacy_consent": False, "consent_withdrawn_by": "bob",
    "consent_withdrawn_at": "2026-01-02T06:00:00+00:00",
}  # fmt: skip


def _decide(change: str) -> dict[str, Any]:
    """Decide on consent as the pages and Airflow's form do; returned is what is kept."""
    from airflow_mailchimp_export.settings import consent

    acts = {
        "switched off in the form": {**AGREED, "data_privacy_consent": False},
        "agreed": consent.agreed({}, by="bob", at=datetime.now(UTC)),
    }
    extra = acts.get(change) or consent.withdrawn({}, by="bob", at=datetime.now(UTC))
    _put_extra(json.dumps(extra))
    return extra


def _delete(conn_id: str) -> None:
    from airflow.models.connection import Connection
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    with create_session() as session:
        session.execute(delete(Connection).where(Connection.conn_id == conn_id))


@pytest.mark.parametrize("extra", ["{", "[1]"])
def test_extras_that_cannot_be_read(visit: Visit, configured: Sandbox, extra: str) -> None:
    """What cannot be read would be lost if it was saved, so nobody is sent to Mailchimp for it."""
    put(NEW, password="k" * 32 + "-us0")
    _put_extra(extra)
    visitor = visit()
    page = visitor.fill_in(visitor.get(""), agreed="yes", connection=NEW)
    assert (page.status_code, "so it is left as it is" in page.text) == (409, True)
    page = visitor.get(f"/audience?connection={NEW}")
    assert page.status_code == 409


def test_a_token_that_airflow_cannot_decrypt(visit: Visit, configured: Sandbox) -> None:
    """After the Fernet key was lost the page is there for other connections, and says what is wrong with this one."""
    put(NEW, password="k" * 32, extra=json.dumps({"auth_method": "oauth2"}))
    _overwrite(_password="g" * 32)
    visitor = visit()
    page = visitor.get("")
    assert page.status_code == 200
    for stopped in (
        visitor.get(f"/audience?connection={NEW}"),
        visitor.fill_in(page, agreed="yes", connection=NEW),
    ):
        assert (stopped.status_code, "restore the Fernet key" in stopped.text) == (409, True)


def _put_extra(extra: str) -> None:
    _overwrite(_extra=extra, is_extra_encrypted=False)


def _overwrite(**columns: Any) -> None:
    from airflow.models.connection import Connection
    from airflow.utils.session import create_session
    from sqlalchemy import update

    values = {getattr(Connection, name): value for name, value in columns.items()}
    with create_session() as session:
        session.execute(update(Connection).where(Connection.conn_id == NEW).values(values))


def test_a_connection_with_a_key(visit: Visit, configured: Sandbox) -> None:
    """The list of audiences is for whom a sign-in gave a token; a key is sent nowhere for it."""
    put(NEW, password="k" * 32 + "-us0")
    page = visit().get(f"/audience?connection={NEW}")
    assert (page.status_code, "holds no token of a sign-in" in page.text) == (400, True)


def test_hosts_of_connections_are_not_called(visit: Visit, configured: Sandbox) -> None:
    """Whatever host is written into a connection, the API server asks Mailchimp alone."""
    with ScriptedServer(to_response({})) as inside:
        place, extra = urlsplit(inside.url), json.dumps({"auth_method": "oauth2"})
        token = configured.settings()["oauth_token"]
        put(NEW, password=token, host=f"http://{place.hostname}", port=place.port, extra=extra)
        assert "account Sandbox" in words(visit().get(f"/audience?connection={NEW}"))
    assert inside.received == []


@pytest.mark.parametrize("audience", ["", "0000000000", "<b>"])
def test_audiences_that_are_none(visit: Visit, configured: Sandbox, audience: str) -> None:
    """Only an audience of the account is saved."""
    visitor = visit()
    visitor.get(visitor.answered(new_connection=NEW))
    page = visitor.fill_in(visitor.get(f"/audience?connection={NEW}"), audience=audience)
    assert (page.status_code, "There is no such audience" in page.text) == (400, True)
    assert "audience_id" not in saved().extra


def test_a_role_that_may_not_write(visit: Visit, configured: Sandbox) -> None:
    """Who signs in as a viewer of the account is told that exports will be refused."""
    configured.change(role="viewer")
    visitor = visit()
    visitor.get(visitor.answered(new_connection=NEW))
    assert "Who has this role may not write" in visitor.get(f"/audience?connection={NEW}").text


# Mailchimp, and the configuration


def test_a_wrong_client_secret(visit: Visit, configured: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page says which option is wrong, and nothing was saved."""
    visitor = visit()
    back = visitor.answered(new_connection=NEW)
    monkeypatch.setenv("AIRFLOW__MAILCHIMP__OAUTH_CLIENT_SECRET", "wrong")
    page = visitor.get(back)
    assert page.status_code == 502
    assert "Correct [mailchimp] oauth_client_id and oauth_client_secret" in page.text
    assert saved() is None


@pytest.mark.parametrize(
    ("home", "said"),
    [
        ({"error": "invalid_token"}, "does not know this OAuth token"),
        ({"api_endpoint": "https://evil.org", "dc": "us0"}, "names an unusable API endpoint"),
        ({"api_endpoint": "http://us3.api.mailchimp.com", "dc": "us3"}, "over plain http"),
    ],
)
def test_strange_metadata(
    visit: Visit, configured: Sandbox, monkeypatch: pytest.MonkeyPatch, home: Any, said: str
) -> None:
    """A token whose account is nowhere, or where no token may travel, is not saved."""
    with ScriptedServer(to_response(home)) as metadata:
        monkeypatch.setenv("AIRFLOW__MAILCHIMP__OAUTH_METADATA_ORIGIN", metadata.url)
        visitor = visit()
        page = visitor.get(visitor.answered(new_connection=NEW))
    assert (page.status_code, said in page.text) == (502, True)
    assert "The account of the token was not located" in page.text
    assert saved() is None


@pytest.mark.parametrize(
    ("origin", "heading"),
    [
        ("token", "Mailchimp gave no token, so nothing was saved"),
        ("metadata", "The account of the token was not located, so nothing was saved"),
    ],
)
def test_mailchimp_is_not_reached(
    visit: Visit, configured: Sandbox, monkeypatch: pytest.MonkeyPatch, origin: str, heading: str
) -> None:
    """The page says which step it was, which option to check, and that the API server does not get out."""
    nowhere = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv(f"AIRFLOW__MAILCHIMP__OAUTH_{origin.upper()}_ORIGIN", nowhere)
    visitor = visit()
    page = visitor.get(visitor.answered(new_connection=NEW))
    remedy = f"check [mailchimp] oauth_{origin}_origin, and that a firewall lets the API server out to it"
    assert (page.status_code, heading in page.text, remedy in words(page)) == (502, True, True)
    assert "worker" not in words(page)
    assert saved() is None


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("MAILCHIMP__OAUTH_CLIENT_ID", "", "[mailchimp] oauth_client_id is not set"),
        ("MAILCHIMP__OAUTH_CLIENT_SECRET", "", "[mailchimp] oauth_client_secret is not set"),
        ("MAILCHIMP__OAUTH_TOKEN_ORIGIN", "https://evil.org", "[mailchimp] oauth_token_origin is outside"),
        ("API__BASE_URL", "http://airflow.example", "[api] base_url would send the sign-in over plain http"),
        ("API__BASE_URL", "/team", "[api] base_url is not set to a URL"),
    ],
)
def test_what_is_not_set_up(
    visit: Visit, configured: Sandbox, monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    """The page says what to set, and with which redirect URI to register the app; its form is refused."""
    monkeypatch.setenv(f"AIRFLOW__{name}", value)
    visitor = visit()
    page = visitor.get("")
    assert (page.status_code, said in page.text) == (200, True)
    assert "/mailchimp/sign-in/callback</code>" in page.text
    assert "<form" not in page.text


def test_what_is_sent_along(visit: Visit, configured: Sandbox) -> None:
    """Each page forbids scripts, frames, caches, other forms and the telling of its address; so do errors."""
    visitor = visit()
    pages = [visitor.get(""), visitor.get("/callback"), visit("").get(""), visit("viewer").get("")]
    pages.append(visitor.fill_in(pages[0], new_connection=NEW, agreed="yes"))
    back = visitor.answered(new_connection=NEW)
    pages += [visitor.get(back), visitor.get(f"/audience?connection={NEW}")]
    for page in pages:
        assert page.headers["Cache-Control"] == "no-store"
        assert page.headers["Referrer-Policy"] == "no-referrer"
        assert page.headers["X-Content-Type-Options"] == "nosniff"
    policies = [page.headers["Content-Security-Policy"] for page in pages if page.status_code != 303]
    assert all("default-src 'none'" in policy and "frame-ancestors 'none'" in policy for policy in policies)
    assert not [policy for policy in policies if "unsafe" in policy or "script-src" in policy]
    actions = [policy.partition("form-action ")[2].partition(";")[0] for policy in policies]
    assert actions == ["'self'", "'none'", "'none'", "'none'", "'none'", "'self'"]
    cookie = pages[0].headers["Set-Cookie"]
    assert {"HttpOnly", "SameSite=lax", "Path=/mailchimp/sign-in"} <= {*cookie.split("; ")}
    assert "Secure" not in cookie


def test_the_cookie_is_secure_with_https(
    visit: Visit, configured: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where browsers reach Airflow by https, the cookie goes by nothing else."""
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example")
    assert "Secure" in visit().get("").headers["Set-Cookie"].split("; ")


def test_names_are_text(visit: Visit, configured: Sandbox) -> None:
    """Markup in what the page is asked with is shown as it is written."""
    page = visit().get("?connection=" + quote('"><img src=x>'))
    assert "<img" not in page.text
    assert "&lt;img" in page.text


def test_two_who_make_the_same_connection(
    visit: Visit, configured: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two sign-ins that make the same connection in the same moment, the later one is told so."""
    from airflow_mailchimp_export.pages.sign_in import routes

    visitor = visit()
    back = visitor.answered(new_connection=NEW)
    real = routes.save_token

    def after_another(*args: Any, **kwargs: Any) -> None:
        put(NEW, password="k" * 32 + "-us0")
        real(*args, **kwargs)

    monkeypatch.setattr(routes, "save_token", after_another)
    page = visitor.get(back)
    assert (page.status_code, "This name is taken" in page.text) == (400, True)
    assert saved().password == "k" * 32 + "-us0"
