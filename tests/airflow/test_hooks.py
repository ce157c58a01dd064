"""The hook: its connection, the Test button, and OAuth, against the sandbox."""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import pytest

from airflow_mailchimp_export.errors import ConfigError, NotFound, RetryableError
from airflow_mailchimp_export.mailchimp import calls
from airflow_mailchimp_export.provider_info import get_provider_info
from airflow_mailchimp_export.settings.connection import AuthMethod, ConnectionSettings
from airflow_mailchimp_export.web.transport_errors import Machine
from scripts.services import free_port
from tests.airflow.people import write_listed
from tests.airflow.releases import RELEASE, lacks

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_mailchimp_export.hooks import MailchimpHook
    from scripts.sandbox_service import Sandbox

# Airflow warns of its own way to a connection's hook.
pytestmark = pytest.mark.filterwarnings("ignore:ProvidersManager.hooks is deprecated")

Press = Callable[[], tuple[bool, str]]
CONNECTION = "AIRFLOW_CONN_MAILCHIMP_DEFAULT"
WRONG_KEY = f"{'a' * 32}-us0"


def make_hook(conn_id: str = "mailchimp_default") -> MailchimpHook:
    """Make a hook."""
    from airflow_mailchimp_export.hooks import MailchimpHook

    return MailchimpHook(conn_id)


@pytest.fixture
def press(airflow_db: None) -> Press:
    """Test the connection in the way of the button, the REST API and ``airflow connections test``."""
    from airflow.models.connection import Connection

    return lambda: Connection.get_connection_from_secrets("mailchimp_default").test_connection()


def test_nothing_is_looked_up_before_it_is_needed() -> None:
    """A hook for a connection that does not exist can be made; only using it fails, and says what to do."""
    hook = make_hook("nowhere")
    with pytest.raises(ConfigError) as caught:
        hook.settings()
    assert str(caught.value) == (
        "There is no Airflow connection 'nowhere', so Mailchimp cannot be reached. Create it (Admin, Connections; type "
        "Mailchimp), or name another one: connection of the export in exports.yaml, or mailchimp_conn_id of the "
        "operator"
    )


@pytest.mark.parametrize("given", ["postgres", "generic"])
def test_a_connection_to_something_else(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its password is sent neither to Mailchimp nor to Customer Insights, and stands in no message."""
    from airflow_mailchimp_export.insights_hooks import CustomerInsightsHook

    monkeypatch.setenv("AIRFLOW_CONN_CRM", json.dumps({"conn_type": given, "password": "hush-us21"}))
    for hook, service in (
        (make_hook("crm"), "Mailchimp"),
        (CustomerInsightsHook("crm"), "Customer Insights"),
    ):
        with pytest.raises(ConfigError) as caught:
            hook.settings()
        assert str(caught.value) == (
            f"Connection 'crm' is of the type '{given}', and its password must not go to {service}. Name a connection "
            f"of the type '{hook.conn_type}', or give this one that type if it was made for {service}"
        )


def test_a_connection_without_a_type(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """A vault may keep it so."""
    given = {key: value for key, value in sandbox.connection().items() if key != "conn_type"}
    monkeypatch.setenv(CONNECTION, json.dumps(given))
    assert make_hook().settings().token == sandbox.key


def test_json_and_uri_connections_are_read_alike(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment variable may hold the connection as JSON or as a URI, in which every extra is text."""
    extra = {"audience_id": "a1b2c3d4e5", "data_privacy_consent": True, "max_connections": 4, "timeout": 30}
    monkeypatch.setenv(CONNECTION, json.dumps({**sandbox.connection(), "extra": extra}))
    from_json = make_hook().settings()
    place = urlsplit(sandbox.url)
    uri = (
        f"mailchimp://:{quote(sandbox.key)}@{place.hostname}:{place.port}"
        "?audience_id=a1b2c3d4e5&data_privacy_consent=true&max_connections=4&timeout=30"
    )
    monkeypatch.setenv(CONNECTION, uri)
    assert make_hook().settings() == from_json
    with make_hook().client() as client:
        assert client.send(calls.account()).name == "Sandbox"


def test_get_conn_is_a_client(mailchimp: Sandbox) -> None:
    """What Airflow calls get_conn gives a client that reaches the account, with the connection's limit."""
    with make_hook().get_conn() as client:
        assert client.send(calls.account()).name == "Sandbox"
        assert client.max_connections == 8


def test_get_batch_tells_when_mailchimp_knows_it_not(mailchimp: Sandbox) -> None:
    """Asking for a batch that is gone raises NotFound."""
    with pytest.raises(NotFound):
        make_hook().get_batch("0123456789")


def test_button_says_whose_key_it_is(press: Press, mailchimp: Sandbox, tmp_path: Path) -> None:
    """The message names account, role, plan, contacts, and the audience with its opt-in."""
    mailchimp.load(write_listed(tmp_path / "listed.csv"))
    passed, message = press()
    assert passed, message
    assert message.splitlines() == [
        "Account Sandbox, role admin, plan monthly, 2 contacts.",
        "Audience Sandbox audience (a1b2c3d4e5): 2 members, single opt-in.",
        "Consent is given, by whom and when is not known.",
    ]


def test_button_without_an_audience(press: Press, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that names no audience is good too; the message names those of the account, with their ids."""
    monkeypatch.setenv(CONNECTION, json.dumps(sandbox.connection(audience_id=None)))
    passed, message = press()
    assert passed
    assert message.splitlines() == [
        "Account Sandbox, role admin, plan monthly, 0 contacts.",
        "No Default audience id (audience_id): each export has to name its own.",
        "Audience Sandbox audience: a1b2c3d4e5.",
        "Consent is given, by whom and when is not known.",
    ]


def test_button_tells_of_double_opt_in(press: Press, mailchimp: Sandbox) -> None:
    """An audience with double opt-in is pointed out, because an export skips the confirmation."""
    mailchimp.change(double_optin=True)
    passed, message = press()
    assert passed, message
    assert "double opt-in, which an export with status subscribed skips" in message


@pytest.mark.parametrize("role", ["viewer", "author"])
def test_button_refuses_roles_that_may_not_write(press: Press, role: str, mailchimp: Sandbox) -> None:
    """The key of a viewer or author fails the test, which says that it may not write and whose key may."""
    mailchimp.change(role=role)
    passed, message = press()
    assert not passed
    assert f"The role {role} may not write. Use a key of a manager, an admin or the owner" in message


def test_button_names_everything_that_stands_in_the_way(
    press: Press, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Obstacles come first, a line each with its remedy; what the account has comes after them."""
    connection = sandbox.connection(audience_id="0000000000", data_privacy_consent=False)
    monkeypatch.setenv(CONNECTION, json.dumps(connection))
    passed, message = press()
    assert not passed
    consent, audience, account, offered = message.splitlines()
    assert consent.startswith("• I agree to the transfer of personal data (data_privacy_consent) is off")
    assert consent.endswith("Whoever is responsible switches it on, under Data privacy.")
    assert audience.startswith("• The account has no audience 0000000000. Correct Default audience id")
    assert account.startswith("Account Sandbox")
    assert offered == "Audience Sandbox audience: a1b2c3d4e5."
    assert ".." not in message


@pytest.mark.parametrize(
    ("extra", "passed", "said"),
    [
        ({"contact_limit": 50}, True, "Contact limit (contact_limit) is 50: 48 more contacts fit"),
        (
            {"contact_limit": 2},
            False,
            "Contact limit (contact_limit) is 2, and audience Sandbox audience has 2",
        ),
        (
            {"contact_limit": 2, "audience_id": None},
            True,
            "Contact limit (contact_limit) is 2, but the account has 2 contacts already",
        ),
    ],
    ids=["room", "full", "no audience"],
)
def test_button_compares_the_contract_with_the_account(
    extra: dict[str, Any],
    passed: bool,
    said: str,
    press: Press,
    mailchimp: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A limit that is reached already stops the test where it would stop an export, and is named elsewhere."""
    mailchimp.load(write_listed(tmp_path / "listed.csv"))
    monkeypatch.setenv(CONNECTION, json.dumps(mailchimp.connection(**extra)))
    found, message = press()
    assert found is passed
    assert said in message


@pytest.mark.parametrize(
    ("disabled", "key", "remedy"),
    [
        (True, "us0", "have an owner of the account log in there and see what Mailchimp asks for"),
        (False, "us9", "Correct Server prefix (server_prefix) or Base URL (host)"),
    ],
    ids=["disabled", "data center"],
)
def test_button_tells_refusals_apart(
    disabled: bool,
    key: str,
    remedy: str,
    press: Press,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A disabled user and the wrong data center are answered with the same status and need different things."""
    sandbox.change(account_disabled=disabled)
    password = f"{sandbox.key.partition('-')[0]}-{key}"
    monkeypatch.setenv(CONNECTION, json.dumps({**sandbox.connection(), "password": password}))
    passed, message = press()
    assert not passed
    assert remedy in message


def test_button_names_a_host_that_is_not_reached(
    press: Press, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nobody answers, the message names the host and what to check."""
    port = free_port()
    monkeypatch.setenv(CONNECTION, json.dumps({**sandbox.connection(), "host": f"http://127.0.0.1:{port}"}))
    passed, message = press()
    assert not passed
    assert message.startswith(f"Mailchimp was not reached at 127.0.0.1:{port}: GET request")
    assert "127.0.0.1 takes no connection: check the base URL" in message
    assert "a firewall lets the API server out to it" in message


def test_whose_way_it_is(sandbox: Sandbox) -> None:
    """Where nobody answers, the remedy names the machine that asked: a task's, unless another is said."""
    from airflow_mailchimp_export.hooks import to_prompt_client

    settings = ConnectionSettings(token="k" * 32, base_url=f"http://127.0.0.1:{free_port()}/3.0")
    clients = {
        "worker": make_hook().prompt_client(settings),
        "API server": to_prompt_client(settings),
        "triggerer": to_prompt_client(settings, machine=Machine.TRIGGERER),
    }
    for machine, client in clients.items():
        with client, pytest.raises(RetryableError) as caught:
            client.send(calls.account())
        assert f"a firewall lets the {machine} out to it" in caught.value.remedy


def test_button_hints_at_mistyped_extras(
    press: Press, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Extras that mean nothing do no harm but are named."""
    monkeypatch.setenv(CONNECTION, json.dumps(sandbox.connection(time_out=5, audience="x")))
    passed, message = press()
    assert passed, message
    assert (
        "perhaps mistyped: 'time_out' (did you mean 'timeout'?), 'audience' (did you mean 'audience_id'?)"
        in message
    )


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"password": WRONG_KEY}, "401"),
        ({"password": ""}, "API key or OAuth token (password) is empty"),
        ({"password": "a" * 32, "host": ""}, "server prefix"),
        ({"host": "https://api.mailchimp.example.net"}, "allow_custom_host"),
        ({"host": f"http://127.0.0.1:{free_port()}"}, "failed on the way: ConnectionError"),
        ({"extra": {"timeout": "soon"}}, "Timeout in seconds (timeout)"),
    ],
    ids=["unknown key", "no key", "no server", "foreign host", "nobody there", "no number"],
)
def test_button_says_what_is_wrong(
    press: Press, changed: dict[str, Any], words: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that cannot work fails; the message names the field or the cause, and not the key."""
    connection = {**sandbox.connection(), **changed}
    monkeypatch.setenv(CONNECTION, json.dumps(connection))
    passed, message = press()
    assert not passed
    assert words in message
    assert not connection["password"] or connection["password"][:32] not in message


@pytest.mark.parametrize(("consent", "said"), [(True, "Connection success!"), (False, "Connection failed!")])
def test_command_line_tests_the_connection(
    consent: bool,
    said: str,
    sandbox: Sandbox,
    airflow_db: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """``airflow connections test`` passes where an export could run, and else fails and says why."""
    from airflow.cli.cli_parser import get_parser

    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")  # the command sets it for its whole process
    monkeypatch.setenv(CONNECTION, json.dumps(sandbox.connection(data_privacy_consent=consent)))
    command = get_parser().parse_args(["connections", "test", "mailchimp_default"])
    # Before 3.3 Airflow says so, and ends well.
    with nullcontext() if consent or RELEASE < (3, 3) else pytest.raises(SystemExit):
        command.func(command)
    printed = capsys.readouterr().out
    assert said in printed
    assert ("data_privacy_consent" in printed) is not consent


def oauth(sandbox: Sandbox, token: str) -> ConnectionSettings:
    """Make the settings of an OAuth connection that knows nothing of its account but the token."""
    settings = ConnectionSettings.from_parts(
        password=token, host=None, port=None, schema=None, extra={"auth_method": "oauth2"}
    )
    assert settings.base_url is None
    return replace(settings, metadata_url=f"{sandbox.url}/oauth2/metadata")


def test_oauth_token_finds_its_account(sandbox: Sandbox) -> None:
    """With a good OAuth token Mailchimp is asked where the account lives, and it is reached there."""
    from airflow_mailchimp_export.hooks import to_client

    with to_client(oauth(sandbox, sandbox.settings()["oauth_token"])) as client:
        assert client.send(calls.account()).name == "Sandbox"


def test_unknown_oauth_token_is_called_so(sandbox: Sandbox) -> None:
    """The metadata answers an unknown token with 200; the error says anyway that it is unknown."""
    from airflow_mailchimp_export.hooks import to_client

    with pytest.raises(
        ConfigError, match=r"does not know this OAuth token.*Sign in again, in Airflow"
    ) as refused:
        to_client(oauth(sandbox, "b" * 32))
    assert "b" * 32 not in str(refused.value)


def test_oauth_token_with_a_base_url(press: Press, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """An OAuth connection that names its base URL is used as it is, and the Test button passes."""
    connection = sandbox.connection(auth_method="oauth2")
    token = sandbox.settings()["oauth_token"]
    monkeypatch.setenv(CONNECTION, json.dumps({**connection, "password": token}))
    assert make_hook().settings().auth_method is AuthMethod.OAUTH2
    assert press()[0]


def test_a_revoked_oauth_token_says_where_to_sign_in(
    press: Press, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token that stopped working is no key to be made anew; the message names the page that brings another one."""
    connection = sandbox.connection(auth_method="oauth2")
    monkeypatch.setenv(CONNECTION, json.dumps({**connection, "password": "b" * 32}))
    passed, message = press()
    assert not passed
    assert "401" in message
    assert "Sign in again, in Airflow's UI under Admin, Mailchimp sign-in (/mailchimp/sign-in)" in message
    assert "API key or OAuth token" not in message


@lacks("form in the metadata", before=(3, 2))
def test_form_of_the_hook_is_left_to_the_metadata() -> None:
    """From Airflow 3.2 on the hook has none of the deprecated methods for the form."""
    from airflow_mailchimp_export import legacy_form
    from airflow_mailchimp_export.hooks import MailchimpHook

    assert legacy_form.IS_NEEDED is False
    assert not {"get_connection_form_widgets", "get_ui_field_behaviour"} & vars(MailchimpHook).keys()


def test_airflow_3_1_gets_the_form_from_the_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    """On Airflow 3.1 the deprecated methods are there, with all that the metadata say of each field."""
    from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService as Form

    from airflow_mailchimp_export import hooks, legacy_form

    monkeypatch.setattr("airflow.__version__", "3.1.8")
    assert legacy_form.__file__
    assert hooks.__file__
    monkeypatch.setattr(legacy_form, "IS_NEEDED", runpy.run_path(legacy_form.__file__)["IS_NEEDED"])
    hook = runpy.run_path(hooks.__file__)["MailchimpHook"]
    fields = {name: getattr(Form, f"Mock{name}") for name in ("StringField", "IntegerField", "BooleanField")}
    monkeypatch.setitem(sys.modules, "wtforms", SimpleNamespace(**fields))
    monkeypatch.setitem(sys.modules, "flask_babel", SimpleNamespace(lazy_gettext=str))
    declared, _ = get_provider_info()["connection-types"]
    widgets = {key: widget.param.dump() for key, widget in hook.get_connection_form_widgets().items()}
    told = ("description", "schema", "value")
    assert {key: {name: field[name] for name in told} for key, field in widgets.items()} == {
        key: {
            "description": field["description"],
            "schema": {**field["schema"], "title": field["label"]},
            "value": field["schema"].get("default"),
        }
        for key, field in declared["conn-fields"].items()
    }
    assert hook.get_ui_field_behaviour()["hidden_fields"] == ["schema", "login"]
