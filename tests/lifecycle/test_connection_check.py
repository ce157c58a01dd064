"""What stands in the way of an export by a connection, as the Test button shows it."""

from __future__ import annotations

from typing import Any

from airflow_mailchimp_export.connection_check import check_connection, failed_check
from airflow_mailchimp_export.errors import ConfigError, RetryableError, Throttled
from airflow_mailchimp_export.settings.connection import ConnectionSettings
from tests.kit.life import Life
from tests.kit.sandbox import InProcessClient

KEY = "0123456789abcdef0123456789abcdef-us21"


def settings(host: str | None = None, **extra: Any) -> ConnectionSettings:
    """Make the settings of a connection that has consent."""
    known = {"data_privacy_consent": True, **extra}
    return ConnectionSettings.from_parts(password=KEY, host=host, port=443, schema=None, extra=known)


def check(life: Life, **fields: Any) -> tuple[bool, list[str]]:
    """Look at a connection; return whether an export could run, and the lines."""
    passed, message = check_connection(InProcessClient(life.sandbox), settings(**fields))
    return passed, message.splitlines()


def test_no_more_than_five_audiences_are_named(life: Life) -> None:
    """Of an account with many audiences the first few are named, and how many more there are."""
    for number in range(7):
        life.account.add_audience(f"ffffffff{number:02}", f"Audience {number}")
    passed, lines = check(life, audience_id="0000000000")
    assert not passed
    assert lines[0].startswith("• The account has no audience 0000000000. Correct Default audience id")
    assert len([line for line in lines if line.startswith("Audience ")]) == 5
    assert lines[-2] == "There are 3 more audiences."


def test_server_prefix_and_base_url_disagree(life: Life) -> None:
    """Two fields that name different data centers are an obstacle, named by their labels."""
    passed, lines = check(
        life,
        host="https://us21.api.mailchimp.com/3.0",
        server_prefix="us5",
        audience_id="a1b2c3d4e5",
    )
    assert not passed
    assert lines[0] == (
        "• Server prefix (server_prefix) says us5, but Base URL (host) leads to us21. "
        "Leave both empty: the end of the API key says it; or correct one of them."
    )


def test_server_prefix_and_base_url_agree(life: Life) -> None:
    """Saying the same twice is no obstacle."""
    passed, _ = check(life, host="us21", server_prefix="us21", audience_id="a1b2c3d4e5")
    assert passed


def test_a_broken_connection_names_the_host() -> None:
    """What kept a call from its host is told with the host, and with what to check."""
    passed, message = failed_check(RetryableError("GET request failed on the way: SSLError"), settings())
    assert not passed
    assert message.startswith("Mailchimp was not reached at us21.api.mailchimp.com: GET request failed")
    assert message.endswith("and that its certificate is trusted")


def test_what_mailchimp_says_itself_is_told_as_it_is() -> None:
    """Where Mailchimp was reached, nobody has to look at the network."""
    _, message = failed_check(Throttled("It was answered 429."), settings())
    assert message == f"It was answered 429. {Throttled.usual_remedy}"
    _, message = failed_check(ConfigError("It is wrong.", "Correct it."), None)
    assert message == "It is wrong. Correct it."
