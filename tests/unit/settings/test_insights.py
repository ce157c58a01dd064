"""The settings of a connection to Customer Insights, and where its credentials may travel."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.insights_form import insights_connection_type
from airflow_mailchimp_export.settings.insights import EXTRAS, MAX_CONNECTIONS, InsightsSettings

CLIENT_ID = "12345678-aaaa-2222-bbbb-3333cccc4444"


def settings(**parts: Any) -> InsightsSettings:
    """Make settings of what a connection holds; extras are given by their keys."""
    standard = {name: parts.pop(name) for name in ("login", "password", "host", "port") if name in parts}
    known: dict[str, Any] = {
        "login": CLIENT_ID,
        "password": "its~secret",
        "host": "https://contoso.crm4.dynamics.com",
        "port": 443,
    }
    return InsightsSettings.from_parts(**{**known, **standard}, extra={"tenant_id": "contoso.com", **parts})


@pytest.mark.parametrize(
    ("host", "base_url", "authority"),
    [
        (
            "contoso.crm4.dynamics.com",
            "https://contoso.crm4.dynamics.com",
            "https://login.microsoftonline.com",
        ),
        (
            "https://contoso.crm.dynamics.com/",
            "https://contoso.crm.dynamics.com",
            "https://login.microsoftonline.com",
        ),
        (
            "https://contoso.api.crm9.dynamics.com/api/data/v9.2/",
            "https://contoso.api.crm9.dynamics.com",
            "https://login.microsoftonline.com",
        ),
        (
            "https://contoso.crm.microsoftdynamics.us",
            "https://contoso.crm.microsoftdynamics.us",
            "https://login.microsoftonline.us",
        ),
        (
            "contoso.crm.appsplatform.us",
            "https://contoso.crm.appsplatform.us",
            "https://login.microsoftonline.us",
        ),
        (
            "contoso.crm.dynamics.cn",
            "https://contoso.crm.dynamics.cn",
            "https://login.partner.microsoftonline.cn",
        ),
        ("http://127.0.0.1:8026", "http://127.0.0.1:8026", "http://127.0.0.1:8026"),
    ],
)
def test_the_organisation_tells_who_gives_its_tokens(host: str, base_url: str, authority: str) -> None:
    """Each of Microsoft's clouds has its own authority; this machine is its own."""
    found = settings(host=host, port=None)
    assert (found.organisation.base_url, found.authority) == (f"{base_url}/api/data/v9.2", authority)


@pytest.mark.parametrize(
    "host",
    [
        "https://attacker.example",
        "https://contoso.crm4.dynamics.com.attacker.example",
        "https://crm4.dynamics.com",
        "https://contoso.dynamics.com",
        "https://dynamics.com",
        "https://10.0.0.1",
    ],
)
def test_other_hosts_are_refused(host: str) -> None:
    """A mistyped host gets neither secret nor token, unless whoever set it says that it is meant."""
    with pytest.raises(ConfigError, match="must not leak"):
        settings(host=host)
    named = settings(host=host, allow_custom_host=True, authority="https://login.microsoftonline.com")
    assert named.organisation.origin == host


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("https://user@contoso.crm4.dynamics.com", "must be the URL"),
        ("https://contoso.crm4.dynamics.com/main.aspx?x=1", "must be the URL"),
        ("https://contoso.crm4.dynamics.com:99999", "outside 1 to 65535"),
        ("ftp://contoso.crm4.dynamics.com", "must be the URL"),
        ("contoso.crm4.dynamics.com.", "no valid host"),
        ("http://contoso.crm4.dynamics.com", "plain http"),
        ("", "is empty"),
    ],
)
def test_what_is_no_organisation(host: str, words: str) -> None:
    """Only a plain URL over https is one."""
    with pytest.raises(ConfigError, match=words):
        settings(host=host)


@pytest.mark.parametrize(
    "authority", ["https://login.attacker.example", "login.windows.net.attacker.example"]
)
def test_the_secret_goes_to_microsoft_only(authority: str) -> None:
    """The authority is held to the same rules as the organisation."""
    with pytest.raises(ConfigError, match="must not leak"):
        settings(authority=authority)


def test_an_organisation_elsewhere_needs_an_authority() -> None:
    """Nobody is guessed to be it."""
    with pytest.raises(ConfigError, match=r"Authority \(authority\) is empty"):
        settings(host="https://proxy.example", allow_custom_host=True)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"login": ""}, "Client id"),
        ({"login": "an app"}, "an application id"),
        ({"password": None}, "Client secret"),
        ({"password": CLIENT_ID}, "Secret ID"),
        ({"tenant_id": ""}, "Tenant id"),
        ({"tenant_id": "common"}, "one directory"),
        ({"tenant_id": "a/b"}, "id of a directory"),
        ({"max_connections": 53}, "from 1 to 16"),
        ({"timeout": "long"}, "a number"),
    ],
)
def test_each_mistake_is_named(parts: dict[str, Any], words: str) -> None:
    """The message names the field, and never shows a secret."""
    with pytest.raises(ConfigError, match=words) as caught:
        settings(**parts)
    assert CLIENT_ID not in str(caught.value)


def test_unknown_extras_are_kept_to_be_told() -> None:
    """A mistyped key is told with what may have been meant."""
    assert settings(tenant="x").unknown_extra == ("'tenant' (did you mean 'tenant_id'?)",)


def test_the_form_has_the_fields_of_the_settings() -> None:
    """Labels, bounds and defaults of the form are those of the settings."""
    fields = insights_connection_type()["conn-fields"]
    assert {key: field["label"] for key, field in fields.items()} == {
        key: extra.label for key, extra in EXTRAS.items()
    }
    assert fields["max_connections"]["schema"]["maximum"] == MAX_CONNECTIONS
    untouched = {key: field["schema"].get("default") for key, field in fields.items() if key != "tenant_id"}
    assert settings(**untouched) == settings()
