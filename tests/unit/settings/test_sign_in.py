"""What signing in needs of the configuration, and where its secrets may travel."""

from __future__ import annotations

import pytest

from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.settings.sign_in import LOGIN, ORIGINS, SignInSettings

APP = {"oauth_client_id": "123456789012", "oauth_client_secret": "hush"}


def test_an_app_is_enough() -> None:
    """Client id and secret are all that has to be set; the rest is Mailchimp's own."""
    made = SignInSettings.from_options({**APP, "oauth_token_origin": "", "oauth_allow_custom_host": None})
    assert made == SignInSettings("123456789012", "hush")
    assert {made.authorize_origin, made.token_origin, made.metadata_origin} == {LOGIN}
    assert "hush" not in repr(made)


@pytest.mark.parametrize("name", APP)
def test_what_is_missing_is_named(name: str) -> None:
    """Without one of them there is no signing in, and the message says what to set."""
    with pytest.raises(
        ConfigError, match=rf"^\[mailchimp\] {name} is not set\. Register an app in Mailchimp"
    ):
        SignInSettings.from_options({**APP, name: " "})


@pytest.mark.parametrize("name", ORIGINS)
@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("https://login.mailchimp.com.evil.org", r"is outside mailchimp.com, and .* oauth_allow_custom_host"),
        ("http://login.mailchimp.com", r"over plain http. Use https, or .* oauth_allow_insecure_host"),
        ("https://ann@login.mailchimp.com", "must be an origin such as"),
        ("https://login.mailchimp.com/oauth2", "must be an origin such as"),
        ("a\nb", "must be one line of text"),
    ],
)  # fmt: skip
def test_strange_origins(name: str, value: str, said: str) -> None:
    """Each origin has to be Mailchimp's, with https; the message names the option, and the switch if there is one."""
    with pytest.raises(ConfigError, match=said) as refused:
        SignInSettings.from_options({**APP, name: value})
    assert f"[mailchimp] {name}" in str(refused.value)


@pytest.mark.parametrize("value", ["http://127.0.0.1:8025/", "127.0.0.1:8025"])
def test_this_machine_is_trusted(value: str) -> None:
    """The sandbox needs no switch."""
    made = SignInSettings.from_options({**APP, **dict.fromkeys(ORIGINS, value)})
    assert {made.authorize_origin, made.token_origin, made.metadata_origin} == {"http://127.0.0.1:8025"}


def test_switches_let_through() -> None:
    """Other hosts, and plain http, are let through by switches of their own."""
    switches = {"oauth_allow_custom_host": "True", "oauth_allow_insecure_host": "1"}
    made = SignInSettings.from_options({**APP, **switches, "oauth_token_origin": "http://sandbox:8025"})
    assert (made.token_origin, made.authorize_origin) == ("http://sandbox:8025", LOGIN)
    assert (made.rules.allow_custom, made.rules.allow_insecure) == (True, True)
