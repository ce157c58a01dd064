"""Where the key is allowed to travel: the rules that a base URL has to obey."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from airflow_mailchimp_export.errors import ConfigError

API_PATH: Final = "/3.0"
"""The version that every path of the Marketing API begins with."""

SERVER_PREFIX: Final = re.compile(r"[a-z]{2,}[0-9]+")
"""A data center's name, e.g. ``us21``: https://mailchimp.com/developer/marketing/docs/fundamentals/"""

MAX_PORT: Final = 65_535

_FIELD: Final = "Base URL (host)"

_DEFAULT_PORTS: Final = {"https": 443, "http": 80}

_PLACEHOLDER_PORT: Final = 443


# Only these characters get through, so that there is no user name, escape or backslash to be clever with.
_URL: Final = re.compile(
    r"(?:(?P<scheme>https?)://)?(?P<host>\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::(?P<port>[0-9]{1,5}))?(?:/3\.0)?/*",
    re.ASCII,
)

_NAME: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9_-]{1,63}(?<!-))*", re.ASCII)


# A last label such as 1 or 0x7f makes a resolver read the whole name as an address:
# https://url.spec.whatwg.org/#ends-in-a-number-checker
_DISGUISED_ADDRESS: Final = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)", re.ASCII)

_API_HOST: Final = re.compile(rf"({SERVER_PREFIX.pattern})\.api\.mailchimp\.com", re.ASCII)


def prefix_of(base_url: str) -> str | None:
    """Return the server prefix in the name of one of Mailchimp's own hosts; ``None`` for any other."""
    match = _API_HOST.fullmatch(urlsplit(base_url).hostname or "")
    return match[1] if match else None


@dataclass(frozen=True, slots=True)
class HostRules:
    """Which hosts are trusted with the key.

    :param allow_insecure: whether plain http is allowed to hosts other than this machine.
    :param allow_custom: whether hosts outside mailchimp.com are allowed.
    """

    allow_insecure: bool = False
    allow_custom: bool = False


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A host that the key may be sent to."""

    scheme: str
    host: str
    port: int

    @property
    def origin(self) -> str:
        """The URL up to the path; a port is named only where it is not the scheme's own."""
        port = "" if self.port == _DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}"

    @property
    def base_url(self) -> str:
        """The URL that the paths of the API are appended to, without a slash at its end."""
        return self.origin + API_PATH

    @property
    def is_mailchimp(self) -> bool:
        """Whether the host is Mailchimp's own."""
        return self.host.endswith(".mailchimp.com")

    @property
    def server_prefix(self) -> str | None:
        """The data center that the host's name gives away."""
        match = _API_HOST.fullmatch(self.host)
        return match[1] if match else None


def parse_endpoint(
    text: str, *, rules: HostRules, scheme: str | None = None, port: int | None = None
) -> Endpoint:
    """Make an endpoint of what was written, if the key may travel there.

    :param text: a server prefix, a host, or a URL with or without ``/3.0``.
    :param scheme: what holds where the text has no scheme; by default http on this machine, https elsewhere.
    :param port: what holds where the text has no port; by default the scheme's own.
    :raises ConfigError: it is not a base URL, or the rules refuse it.
    """
    match = _URL.fullmatch(_bracketed(text.strip().lower()))
    if match is None:
        raise ConfigError(
            f"{_FIELD} must be a server prefix, a host or a URL such as https://us21.api.mailchimp.com/3.0, "
            "in plain ASCII, without user name, query, fragment or a path other than /3.0."
        )
    host = _expanded(match["host"])
    loopback = _is_loopback(host)
    chosen = match["scheme"] or scheme or ("http" if loopback else "https")
    endpoint = Endpoint(chosen, host, _port(match["port"], port) or _DEFAULT_PORTS[chosen])
    if not loopback:
        _check(endpoint, rules)
    return endpoint


def _bracketed(text: str) -> str:
    return f"[{text}]" if text.count(":") > 1 and re.fullmatch("[0-9a-f:.]+", text) else text


def _expanded(host: str) -> str:
    if SERVER_PREFIX.fullmatch(host):
        return f"{host}.api.mailchimp.com"
    if host.startswith("["):
        _check_address(host[1:-1])
    elif not _is_address(host) and (not _NAME.fullmatch(host) or _DISGUISED_ADDRESS.fullmatch(host)):
        raise ConfigError(
            f"{_FIELD} holds no valid host",
            "Write a name without a dot at its end, or an address in full (four numbers, or IPv6 in brackets)",
        )
    return host


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _check_address(address: str) -> None:
    try:
        ipaddress.IPv6Address(address)
    except ValueError as error:
        raise ConfigError(f"{_FIELD} holds no valid IPv6 address.") from error


def _is_loopback(host: str) -> bool:
    bare = host.strip("[]")
    return bare == "localhost" or (_is_address(bare) and ipaddress.ip_address(bare).is_loopback)


def _port(written: str | None, given: int | None) -> int | None:
    if written is None:
        return given
    port = int(written)
    if not 1 <= port <= MAX_PORT:
        raise ConfigError(f"{_FIELD} names a port outside 1 to {MAX_PORT}.")
    if given not in {None, port, _PLACEHOLDER_PORT}:
        raise ConfigError(
            f"{_FIELD} names port {port}, but Port (port) says {given}", "Leave one of them out"
        )
    return port


def _check(endpoint: Endpoint, rules: HostRules) -> None:
    if not (endpoint.is_mailchimp or rules.allow_custom):
        raise ConfigError(
            f"{_FIELD} is outside mailchimp.com, and the key must not leak to a mistyped host",
            "Correct it, or turn on 'Allow hosts outside mailchimp.com' (allow_custom_host) if it is meant",
        )
    if endpoint.scheme == "http" and not rules.allow_insecure:
        raise ConfigError(
            f"{_FIELD} would send the key over plain http",
            "Use https, or turn on 'Allow plain http' (allow_insecure_host) if it is meant",
        )
