"""The settings of a connection: what may be set, in whatever form Airflow hands it over."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.settings.connection import (
    EXTRAS,
    OAUTH_METADATA_URL,
    AuthMethod,
    ConnectionSettings,
)

KEY = "0123456789abcdef0123456789abcdef-us21"
TOKEN = "0123456789abcdef0123456789abcdef"


def settings(
    password: object = KEY,
    *,
    host: object = None,
    port: object = None,
    schema: object = None,
    **extra: object,
) -> ConnectionSettings:
    """Make settings of a connection of which only some fields are set."""
    return ConnectionSettings.from_parts(password=password, host=host, port=port, schema=schema, extra=extra)


def refusal(password: object = KEY, **parts: Any) -> str:
    """Say how settings are refused; never with the key."""
    with pytest.raises(ConfigError) as caught:
        settings(password, **parts)
    assert TOKEN not in str(caught.value)
    return str(caught.value)


def test_a_key_is_enough() -> None:
    """Everything but the key has a default, and the key tells the data center."""
    assert settings() == ConnectionSettings(
        token=KEY,
        auth_method=AuthMethod.API_KEY,
        server_prefix="us21",
        base_url="https://us21.api.mailchimp.com/3.0",
        metadata_url=OAUTH_METADATA_URL,
        audience_id=None,
        data_privacy_consent=False,
        export_user="",
        allowed_dags=(),
        contact_limit=None,
        max_connections=8,
        timeout=120.0,
        allow_insecure_host=False,
        allow_custom_host=False,
        unknown_extra=(),
    )


def test_a_full_form() -> None:
    """Every field of the form arrives under its own name."""
    made = settings(
        TOKEN,
        auth_method="oauth2",
        server_prefix="us6",
        audience_id="a1b2c3d4e5",
        data_privacy_consent=True,
        export_user="Ann",
        allowed_dags=["a", "b"],
        contact_limit=5000,
        max_connections=3,
        timeout=60,
        allow_insecure_host=True,
        allow_custom_host=True,
    )
    assert made == ConnectionSettings(
        token=TOKEN,
        auth_method=AuthMethod.OAUTH2,
        server_prefix="us6",
        base_url="https://us6.api.mailchimp.com/3.0",
        audience_id="a1b2c3d4e5",
        data_privacy_consent=True,
        export_user="Ann",
        allowed_dags=("a", "b"),
        contact_limit=5000,
        max_connections=3,
        timeout=60.0,
        allow_insecure_host=True,
        allow_custom_host=True,
    )


def test_texts_are_coerced() -> None:
    """A connection from a URI, where every extra is text, gives the same settings as the form."""
    made = settings(
        auth_method=" API-Key ",
        server_prefix=" US6 ",
        data_privacy_consent="yes",
        allowed_dags="a, b",
        contact_limit="5000",
        max_connections="3.0",
        timeout="2.5",
        allow_custom_host="0",
    )
    assert (made.auth_method, made.server_prefix) == (AuthMethod.API_KEY, "us6")
    assert made.data_privacy_consent is True
    assert made.allow_custom_host is False
    assert (made.allowed_dags, made.contact_limit) == (("a", "b"), 5000)
    assert (made.max_connections, made.timeout) == (3, 2.5)


@pytest.mark.parametrize("unset", [None, "", "  ", []])
def test_unset_extras_get_their_defaults(unset: object) -> None:
    """Null, empty text and empty lists mean that nothing was set."""
    assert settings(**dict.fromkeys(EXTRAS, unset)) == settings()


@pytest.mark.parametrize(
    ("written", "means"),
    [(True, True), ("TRUE", True), (" on ", True), (1, True), ("No", False), (0, False), ("off", False)],
)
def test_switches(written: object, means: bool) -> None:
    """Switches know the usual words for on and off."""
    assert settings(data_privacy_consent=written).data_privacy_consent is means


@pytest.mark.parametrize(
    "written",
    ["a,b", "a\nb\n", " a ,, b ", '["a", "b"]', ["a", " b "], ("a", "b"), json.dumps(["a", "", "b"])],
)
def test_lists(written: object) -> None:
    """Lists come as such, as JSON text, or with commas or line ends between their items."""
    assert settings(allowed_dags=written).allowed_dags == ("a", "b")


@pytest.mark.parametrize("written", ["4120358967", " 4120358967 ", 4120358967])
def test_audience_ids_of_digits(written: object) -> None:
    """An audience id of digits alone is taken also where it has become a whole number."""
    assert settings(audience_id=written).audience_id == "4120358967"


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        (
            {"auth_method": "basic"},
            "Authentication (auth_method) must be 'api_key' or 'oauth2'; given was text of 5 characters.",
        ),
        (
            {"auth_method": 7},
            "Authentication (auth_method) must be 'api_key' or 'oauth2'; given was a whole number.",
        ),
        (
            {"server_prefix": "evil.org/us21"},
            "Server prefix (server_prefix) must be a server prefix such as us21",
        ),
        ({"server_prefix": 21}, "Server prefix (server_prefix) must be a server prefix such as us21"),
        ({"audience_id": "../lists"}, "Default audience id (audience_id) must be an audience id such as"),
        ({"audience_id": True}, "given was a switch (true or false)."),
        (
            {"audience_id": 12345e6789},
            "Default audience id (audience_id) must be text, for as a number it has lost what it was: put it in "
            "quotes, and do not render it by render_template_as_native_obj; given was a decimal number.",
        ),
        ({"audience_id": 4120358967.0}, "put it in quotes"),
        (
            {"data_privacy_consent": "I agree"},
            "I agree to the transfer of personal data (data_privacy_consent) must be true or false",
        ),
        ({"data_privacy_consent": 2}, "must be true or false"),
        ({"export_user": "Ann\nBob"}, "Responsible for exports (export_user) must be one line of text"),
        ({"export_user": 1.5}, "given was a decimal number."),
        ({"allowed_dags": {"a": 1}}, "Allowed DAGs (allowed_dags) must be a list of names"),
        ({"allowed_dags": ["a", 1]}, "given was a value of type list."),
        ({"allowed_dags": '["a"'}, "what begins with [ has to be JSON"),
        ({"contact_limit": 0}, "Contact limit (contact_limit) must be a whole number from 1 upwards"),
        ({"contact_limit": "many"}, "Contact limit (contact_limit) must be a number"),
        ({"contact_limit": 1.5}, "Contact limit (contact_limit) must be a whole number"),
        ({"max_connections": 11}, "Most connections (max_connections) must be a whole number from 1 to 10"),
        ({"max_connections": True}, "Most connections (max_connections) must be a number"),
        ({"timeout": "nan"}, "Timeout in seconds (timeout) must be a finite number"),
        ({"timeout": 601}, "Timeout in seconds (timeout) must be a number from 1 to 600"),
        ({"timeout": [60]}, "Timeout in seconds (timeout) must be a number; given was a value of type list."),
        ({"timeout": 10**400}, "Timeout in seconds (timeout) must be a number"),
    ],
)
def test_wrong_extras(extra: Mapping[str, object], says: str) -> None:
    """What is wrong is told by the field's label and key, what it must be and what kind was given."""
    assert says in refusal(**extra)


def test_a_key_in_the_wrong_field_is_not_shown() -> None:
    """An error shows no value, as it could be the key in the wrong field."""
    for field in ("auth_method", "server_prefix", "data_privacy_consent", "timeout"):
        assert f"({field})" in refusal(**{field: KEY})


def test_unknown_extras() -> None:
    """Extras that mean nothing are collected, each with what may have been meant."""
    assert settings(timeuot=60, audience="x").unknown_extra == (
        "'timeuot' (did you mean 'timeout'?)",
        "'audience' (did you mean 'audience_id'?)",
    )


def test_the_token_is_not_printed() -> None:
    """Printing the settings does not show the token."""
    assert TOKEN not in repr(settings())


def test_settings_can_be_pickled() -> None:
    """Settings survive the way to another process."""
    assert pickle.loads(pickle.dumps(settings())) == settings()


@pytest.mark.parametrize("password", [None, "", "   "])
def test_a_missing_key(password: object) -> None:
    """Without a key the reader learns where to create one."""
    assert "(password) is empty. Create a key in Mailchimp under Profile, Extras, API keys" in refusal(
        password
    )


@pytest.mark.parametrize(
    "password", [f"{TOKEN} -us21", f"{TOKEN}\u200b-us21", f"{TOKEN}-us21\u0430", 7, "a\nb-us1"]
)
def test_a_spoilt_key(password: object) -> None:
    """A key with a blank, an invisible or a foreign character in it is refused before it is sent."""
    assert refusal(password).startswith("API key or OAuth token (password) ")


def test_where_a_key_is_spoilt() -> None:
    """The reader learns at which place of the key the trouble is."""
    assert "at place 5. Copy it again" in refusal("abcd ef-us1")


def test_a_padded_key() -> None:
    """Blanks around the key are taken off, and the suffix may be in upper case."""
    made = settings(f"  {TOKEN}-US6\n")
    assert (made.token, made.server_prefix) == (f"{TOKEN}-US6", "us6")


@pytest.mark.parametrize(
    "password", [TOKEN, f"{TOKEN}-", "-us21", f"{TOKEN}-21", f"{TOKEN}-us", f"{TOKEN}-u1"]
)
def test_a_key_without_server_prefix(password: str) -> None:
    """A key that does not tell the data center is refused, and the three ways out are named."""
    said = refusal(password)
    assert "does not end in a server prefix such as -us21" in said
    assert "(server_prefix)" in said
    assert "oauth2" in said


def test_a_server_prefix_replaces_the_suffix() -> None:
    """A key needs no suffix where the server prefix is filled in."""
    assert settings(TOKEN, server_prefix="us6").base_url == "https://us6.api.mailchimp.com/3.0"
    assert settings(KEY, server_prefix="us6").base_url == "https://us6.api.mailchimp.com/3.0"


def test_a_host_replaces_the_suffix() -> None:
    """A key needs no suffix where the base URL is filled in; Mailchimp's host names tell the prefix."""
    assert settings(TOKEN, host="us6.api.mailchimp.com").server_prefix == "us6"
    local = settings(TOKEN, host="127.0.0.1:8025")
    assert (local.server_prefix, local.base_url) == (None, "http://127.0.0.1:8025/3.0")


@pytest.mark.parametrize(
    ("host", "port", "schema", "base_url"),
    [
        ("", 0, "", "https://us21.api.mailchimp.com/3.0"),
        ("", 443, "https", "https://us21.api.mailchimp.com/3.0"),
        ("us6", None, None, "https://us6.api.mailchimp.com/3.0"),
        ("localhost", "8025", None, "http://localhost:8025/3.0"),
        ("localhost", 8025, "HTTPS", "https://localhost:8025/3.0"),
        ("http://127.0.0.1:8025", 443, None, "http://127.0.0.1:8025/3.0"),
        ("us6.api.mailchimp.com", None, "3.0", "https://us6.api.mailchimp.com/3.0"),
    ],
)
def test_base_url(host: object, port: object, schema: object, base_url: str) -> None:
    """Host, port and schema together make the base URL."""
    assert settings(host=host, port=port, schema=schema).base_url == base_url


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ({"port": 70_000}, "Port (port) must be a whole number from 0 to 65535"),
        ({"port": "https"}, "Port (port) must be a number"),
        ({"host": 7}, "Base URL (host) must be one line of text"),
        ({"schema": "ftp"}, "Schema (schema) must be http or https, or empty."),
        ({"schema": "http"}, "'Allow plain http' (allow_insecure_host)"),
    ],
)
def test_wrong_standard_fields(parts: Mapping[str, object], says: str) -> None:
    """The standard fields are checked like the extras."""
    assert says in refusal(**parts)


def test_switches_let_other_hosts_through() -> None:
    """A proxy gets the key once both switches say so, and is asked for the OAuth metadata itself."""
    made = settings(host="http://proxy.example:8080", allow_insecure_host=True, allow_custom_host=True)
    assert made.base_url == "http://proxy.example:8080/3.0"
    assert made.metadata_url == "http://proxy.example:8080/oauth2/metadata"


class TestOAuth:
    """Tokens that do not tell the data center."""

    def test_the_base_url_is_open(self) -> None:
        """Without host and prefix, Mailchimp's metadata have to be asked for."""
        made = settings(KEY, auth_method="oauth2")
        assert (made.server_prefix, made.base_url, made.metadata_url) == (None, None, OAUTH_METADATA_URL)

    def test_an_endpoint_completes(self) -> None:
        """The metadata's API endpoint gives the base URL and the data center."""
        made = settings(TOKEN, auth_method="oauth2").with_api_endpoint("https://us3.api.mailchimp.com")
        assert (made.server_prefix, made.base_url) == ("us3", "https://us3.api.mailchimp.com/3.0")

    def test_an_endpoint_without_a_data_center(self) -> None:
        """An endpoint that is named otherwise leaves the server prefix as it was."""
        made = settings(TOKEN, auth_method="oauth2").with_api_endpoint("http://127.0.0.1:8025")
        assert (made.server_prefix, made.base_url) == (None, "http://127.0.0.1:8025/3.0")

    @pytest.mark.parametrize(("named", "prefix"), [("us0", "us0"), ("", None), ("us0.evil.org/", None)])
    def test_a_data_center_beside_the_endpoint(self, named: str, prefix: str | None) -> None:
        """Where the endpoint's name does not tell it, the data center is taken as the metadata name it."""
        made = settings(TOKEN, auth_method="oauth2").with_api_endpoint("http://127.0.0.1:8025", named)
        assert made.server_prefix == prefix

    def test_a_wrong_endpoint(self) -> None:
        """The endpoint is checked like a base URL that was filled in."""
        with pytest.raises(
            ConfigError, match="Mailchimp's OAuth metadata names an unusable API endpoint: Base URL"
        ):
            settings(TOKEN, auth_method="oauth2").with_api_endpoint("https://evil.org")

    def test_a_local_host_is_asked_itself(self) -> None:
        """Metadata of a token for this machine are asked of this machine."""
        made = settings(TOKEN, auth_method="oauth2", host="127.0.0.1", port=8025)
        assert made.metadata_url == "http://127.0.0.1:8025/oauth2/metadata"


class TestAllows:
    """Which DAGs may use the connection."""

    def test_all_where_none_is_named(self) -> None:
        """Without a list every DAG may."""
        assert settings().allows("anything")

    @pytest.mark.parametrize(
        ("dag_id", "may"),
        [("sales_daily", True), ("exact", True), ("Sales_daily", False), ("exactly", False)],
    )
    def test_names_and_globs(self, dag_id: str, may: bool) -> None:
        """Names match wholly and with their case, globs as in a shell."""
        assert settings(allowed_dags="sales_*, exact").allows(dag_id) is may


@given(
    extra=st.dictionaries(
        st.sampled_from(sorted(EXTRAS)), st.text() | st.integers() | st.floats() | st.none()
    )
)
def test_whatever_is_set(extra: dict[str, object]) -> None:
    """Any extras either make settings or are refused as a matter of set-up."""
    try:
        made = settings(KEY, **extra)
    except ConfigError:
        return
    assert 1 <= made.max_connections <= 10
    assert 1 <= made.timeout <= 600
    assert made.base_url is None or made.base_url.endswith(".api.mailchimp.com/3.0")
