"""Where the key is allowed to travel: the rules that a base URL has to obey."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.settings.hosts import (
    DEFAULT_PORTS,
    Guarded,
    HostRules,
    Origin,
    bracketed,
    check_host,
    is_loopback,
    port_of,
)

API_PATH: Final = "/3.0"
"""The version that every path of the Marketing API begins with."""

SERVER_PREFIX: Final = re.compile(r"[a-z]{2,}[0-9]+")
"""A data center's name, e.g. ``us21``: https://mailchimp.com/developer/marketing/docs/fundamentals/"""

_FIELD: Final = "Base URL (host)"

_GUARDED: Final = Guarded(_FIELD, "the key", "'Allow hosts outside mailchimp.com' (allow_custom_host)")

# Only these characters get through, so that there is no user name, escape or backslash to be clever with.
_URL: Final = re.compile(
    r"(?:(?P<scheme>https?)://)?(?P<host>\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::(?P<port>[0-9]{1,5}))?(?:/3\.0)?/*",
    re.ASCII,
)

_API_HOST: Final = re.compile(rf"({SERVER_PREFIX.pattern})\.api\.mailchimp\.com", re.ASCII)


def prefix_of(base_url: str) -> str | None:
    """Return the server prefix in the name of one of Mailchimp's own hosts; ``None`` for any other."""
    match = _API_HOST.fullmatch(urlsplit(base_url).hostname or "")
    return match[1] if match else None


@dataclass(frozen=True, slots=True)
class Endpoint(Origin):
    """A host that the key may be sent to."""

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
    match = _URL.fullmatch(bracketed(text.strip().lower()))
    if match is None:
        raise ConfigError(
            f"{_FIELD} must be a server prefix, a host or a URL such as https://us21.api.mailchimp.com/3.0, "
            "in plain ASCII, without user name, query, fragment or a path other than /3.0."
        )
    host = _expanded(match["host"])
    chosen = match["scheme"] or scheme or ("http" if is_loopback(host) else "https")
    endpoint = Endpoint(chosen, host, port_of(match["port"], port, field=_FIELD) or DEFAULT_PORTS[chosen])
    _GUARDED.check(endpoint, rules, stranger="" if endpoint.is_mailchimp else "outside mailchimp.com")
    return endpoint


def _expanded(host: str) -> str:
    if SERVER_PREFIX.fullmatch(host):
        return f"{host}.api.mailchimp.com"
    check_host(host, field=_FIELD)
    return host
