"""The rules of base URLs: the key must not travel to a mistyped host."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.settings.endpoint import Endpoint, HostRules, parse_endpoint

STRICT = HostRules()
LENIENT = HostRules(allow_insecure=True, allow_custom=True)


@pytest.mark.parametrize(
    ("text", "base_url"),
    [
        ("us21", "https://us21.api.mailchimp.com/3.0"),
        (" US21.API.Mailchimp.com ", "https://us21.api.mailchimp.com/3.0"),
        ("https://us21.api.mailchimp.com", "https://us21.api.mailchimp.com/3.0"),
        ("https://us21.api.mailchimp.com/3.0", "https://us21.api.mailchimp.com/3.0"),
        ("HTTPS://us21.api.mailchimp.com/3.0//", "https://us21.api.mailchimp.com/3.0"),
        ("https://us21.api.mailchimp.com:443/", "https://us21.api.mailchimp.com/3.0"),
        ("api.mailchimp.com", "https://api.mailchimp.com/3.0"),
        ("127.0.0.1", "http://127.0.0.1/3.0"),
        ("127.8.9.10:8025", "http://127.8.9.10:8025/3.0"),
        ("https://127.0.0.1:8025/3.0", "https://127.0.0.1:8025/3.0"),
        ("localhost:8025", "http://localhost:8025/3.0"),
        ("http://localhost:80", "http://localhost/3.0"),
        ("[::1]:8025", "http://[::1]:8025/3.0"),
        ("::1", "http://[::1]/3.0"),
    ],
)
def test_what_may_be_written(text: str, base_url: str) -> None:
    """A prefix, a host or a URL, as people write them, gives the base URL."""
    assert parse_endpoint(text, rules=STRICT).base_url == base_url


@pytest.mark.parametrize(
    "text",
    [
        "evilmailchimp.com",
        "mailchimp.com",
        "us21.api.mailchimp.com.evil.org",
        "https://mailchimp.com.evil.org/3.0",
        "xn--milchimp-3fg.com",
        "192.168.0.1",
        "128.0.0.1",
        "0.0.0.0",
        "[2001:db8::1]",
        "[::ffff:8.8.8.8]",
        "localhost.evil.org",
    ],
)
def test_foreign_hosts(text: str) -> None:
    """A host that only looks like Mailchimp's or like this machine is refused, and the switch is named."""
    with pytest.raises(ConfigError, match=r"outside mailchimp\.com.*\(allow_custom_host\)"):
        parse_endpoint(text, rules=HostRules(allow_insecure=True))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "https://",
        "https://user@us21.api.mailchimp.com",
        "https://us21.api.mailchimp.com@evil.org",
        "https://evil.org\\@us21.api.mailchimp.com",
        "https://evil.org#.mailchimp.com",
        "https://evil.org?.mailchimp.com",
        "https://us21.api.mailchimp.com/4.0",
        "https://us21.api.mailchimp.com/3.0/lists",
        "https://us21.api.mailchimp.com/3.0?x=1",
        "https://us21.api.m\u0430ilchimp.com",
        "https://us21.api.\uff4dailchimp.com",
        "https://us21.api.mailchimp.com\n.evil.org",
        "https://us21.api.mailchimp.com%2eevil.org",
        "ftp://us21.api.mailchimp.com",
        "//us21.api.mailchimp.com",
        "us21.api.mailchimp.com:",
        "us21.api.mailchimp.com:123456",
    ],
)
def test_what_is_no_base_url(text: str) -> None:
    """User names, queries, other paths and foreign characters are refused whatever the switches say."""
    with pytest.raises(ConfigError, match=r"Base URL \(host\) must be a server prefix, a host or a URL"):
        parse_endpoint(text, rules=LENIENT)


@pytest.mark.parametrize(
    "text",
    [
        "0x7f.1",
        "127.1",
        "2130706433",
        "0177.0.0.1",
        "us21.api.mailchimp.com.",
        "localhost.",
        "-a.org",
        "a..org",
    ],
)
def test_disguised_hosts(text: str) -> None:
    """Addresses in disguise and names with a stray dot are refused whatever the switches say."""
    with pytest.raises(ConfigError, match="holds no valid host"):
        parse_endpoint(text, rules=LENIENT)


@pytest.mark.parametrize("text", ["[::1::]", "a:b:c"])
def test_a_broken_address(text: str) -> None:
    """What has several colons has to be an IPv6 address."""
    with pytest.raises(ConfigError, match="holds no valid IPv6 address"):
        parse_endpoint(text, rules=LENIENT)


def test_plain_http() -> None:
    """Plain http to another machine is refused, and the switch is named."""
    with pytest.raises(ConfigError, match=r"over plain http.*\(allow_insecure_host\)"):
        parse_endpoint("http://us21.api.mailchimp.com", rules=HostRules(allow_custom=True))


def test_switched_rules() -> None:
    """With both switches on, another host may be asked over plain http."""
    assert parse_endpoint("http://proxy_1.example:8080", rules=LENIENT) == Endpoint(
        "http", "proxy_1.example", 8080
    )
    assert parse_endpoint("proxy.example", rules=LENIENT) == Endpoint("https", "proxy.example", 443)


@pytest.mark.parametrize(
    ("text", "port", "base_url"),
    [
        ("localhost", 8025, "http://localhost:8025/3.0"),
        ("localhost:8025", 8025, "http://localhost:8025/3.0"),
        ("localhost:8025", 443, "http://localhost:8025/3.0"),
        ("us21.api.mailchimp.com", 8443, "https://us21.api.mailchimp.com:8443/3.0"),
    ],
)
def test_ports(text: str, port: int, base_url: str) -> None:
    """The port field counts where the host names none; 443 there is only what Airflow's test button needs."""
    assert parse_endpoint(text, rules=STRICT, port=port).base_url == base_url


def test_contradicting_ports() -> None:
    """Two ports that differ are refused rather than one of them guessed."""
    with pytest.raises(ConfigError, match=r"names port 8025, but Port \(port\) says 8026"):
        parse_endpoint("localhost:8025", rules=STRICT, port=8026)


@pytest.mark.parametrize("port", [0, 65_536])
def test_impossible_ports(port: int) -> None:
    """A port that cannot be is refused."""
    with pytest.raises(ConfigError, match="names a port outside 1 to 65535"):
        parse_endpoint(f"localhost:{port}", rules=STRICT)


def test_schemes() -> None:
    """The scheme in the text counts before the schema field, and that before the default."""
    assert parse_endpoint("localhost", rules=STRICT, scheme="https").scheme == "https"
    assert parse_endpoint("http://localhost", rules=STRICT, scheme="https").scheme == "http"


def test_server_prefixes() -> None:
    """Only the API hosts of a data center give away a server prefix."""
    assert parse_endpoint("us21.api.mailchimp.com", rules=STRICT).server_prefix == "us21"
    assert parse_endpoint("us21.us20.api.mailchimp.com", rules=STRICT).server_prefix is None
    assert parse_endpoint("api.mailchimp.com", rules=STRICT).server_prefix is None


_pieces = st.sampled_from(
    [
        *["http://", "https://", "us21", ".api", ".mailchimp.com", "mailchimp.com", "evil.org", "localhost"],
        *[
            "127.0.0.1",
            "[::1]",
            "::1",
            "@",
            ":",
            "/",
            "\\",
            "#",
            "?",
            "%",
            ".",
            "-",
            "/3.0",
            ":443",
            "0x7f",
            "1",
        ],
        *["\u3002", "\uff0e", "\u0430", "\t", "\n", " ", "\u2100", "\u00df"],
    ]
)


@given(st.lists(_pieces, max_size=8).map("".join) | st.text())
@example("https://us21.api.mailchimp.com/3.0")
def test_the_key_stays_with_mailchimp(text: str) -> None:
    """Whatever is written, a URL parser finds Mailchimp's hosts or this machine in the base URL."""
    try:
        endpoint = parse_endpoint(text, rules=STRICT)
    except ConfigError:
        return
    url = urlsplit(endpoint.base_url)
    host = url.hostname or ""
    loopback = host == "localhost" or (not host[-1].isalpha() and ipaddress.ip_address(host).is_loopback)
    assert loopback or host.endswith(".mailchimp.com")
    assert url.scheme == "https" or loopback
    assert (url.username, url.path, url.query, url.fragment) == (None, "/3.0", "", "")
