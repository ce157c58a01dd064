"""Hosts that are written by people: valid names and addresses, ports, and which of them are this machine."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

from airflow_mailchimp_export.errors import ConfigError

MAX_PORT: Final = 65_535

DEFAULT_PORTS: Final = {"https": 443, "http": 80}

_PLACEHOLDER_PORT: Final = 443

_NAME: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9_-]{1,63}(?<!-))*", re.ASCII)

# Only these characters get through, so that there is no user name, escape or backslash to be clever with.
_ORIGIN: Final = r"(?:(?P<scheme>https?)://)?(?P<host>\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::(?P<port>[0-9]{1,5}))?"

# A last label such as 1 or 0x7f makes a resolver read the whole name as an address:
# https://url.spec.whatwg.org/#ends-in-a-number-checker
_DISGUISED_ADDRESS: Final = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)", re.ASCII)


@dataclass(frozen=True, slots=True)
class HostRules:
    """Which hosts are trusted with a key.

    :param allow_insecure: whether plain http is allowed to hosts other than this machine.
    :param allow_custom: whether hosts are allowed that are not the vendor's.
    """

    allow_insecure: bool = False
    allow_custom: bool = False


@dataclass(frozen=True, slots=True)
class Origin:
    """A host that a key may be sent to."""

    scheme: str
    host: str
    port: int

    @property
    def origin(self) -> str:
        """The URL up to the path; a port is named only where it is not the scheme's own."""
        port = "" if self.port == DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}"


@dataclass(frozen=True, slots=True)
class Guarded:
    """A setting that says where a secret travels.

    :param field: how messages call it.
    :param secret: what travels there.
    :param switch: the field that allows hosts which are not the vendor's.
    :param plain_switch: the field that allows plain http.
    """

    field: str
    secret: str
    switch: str
    plain_switch: str = "'Allow plain http' (allow_insecure_host)"

    def check(self, origin: Origin, rules: HostRules, *, stranger: str = "") -> None:
        """Let the secret travel to this machine, and else as the rules say.

        :param stranger: what the host is where it is not the vendor's own, as the end of a sentence.
        :raises ConfigError: says why it may not, and which switch lets it.
        """
        if is_loopback(origin.host):
            return
        if stranger and not rules.allow_custom:
            raise ConfigError(
                f"{self.field} is {stranger}, and {self.secret} must not leak to a mistyped host",
                f"Correct it, or turn on {self.switch} if it is meant",
            )
        if origin.scheme == "http" and not rules.allow_insecure:
            raise ConfigError(
                f"{self.field} would send {self.secret} over plain http",
                f"Use https, or turn on {self.plain_switch} if it is meant",
            )


def parse_origin(text: str, *, field: str, example: str, path: str = "", port: int | None = None) -> Origin:
    """Make an origin of what was written; whether a secret may travel there is another question.

    :param text: a host, or a URL.
    :param field: the setting that holds it.
    :param example: what it has to be, with an example.
    :param path: a pattern of the one path that may follow.
    :param port: what holds where the text has no port; by default the scheme's own.
    :raises ConfigError: it is no origin.
    """
    match = re.fullmatch(f"{_ORIGIN}(?:{path})?/*", bracketed(text.strip().lower()), re.ASCII)
    if match is None:
        raise ConfigError(
            f"{field} must be {example}, in plain ASCII, without user name, query, fragment or further path"
        )
    host = match["host"]
    check_host(host, field=field)
    scheme = match["scheme"] or ("http" if is_loopback(host) else "https")
    return Origin(scheme, host, port_of(match["port"], port, field=field) or DEFAULT_PORTS[scheme])


def bracketed(text: str) -> str:
    """Put an IPv6 address that stands by itself in brackets, as a URL has it."""
    return f"[{text}]" if text.count(":") > 1 and re.fullmatch("[0-9a-f:.]+", text) else text


def check_host(host: str, *, field: str) -> None:
    """Let no name pass that a resolver would read as something else.

    :param field: the setting that holds it.
    :raises ConfigError: names the setting.
    """
    if host.startswith("["):
        _check_address(host[1:-1], field)
    elif not _is_address(host) and (not _NAME.fullmatch(host) or _DISGUISED_ADDRESS.fullmatch(host)):
        raise ConfigError(
            f"{field} holds no valid host",
            "Write a name without a dot at its end, or an address in full (four numbers, or IPv6 in brackets)",
        )


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    bare = host.strip("[]")
    return bare == "localhost" or (_is_address(bare) and ipaddress.ip_address(bare).is_loopback)


def port_of(written: str | None, given: int | None, *, field: str) -> int | None:
    """Return the port that stands in a URL, or else the one that is given beside it.

    :raises ConfigError: there is no such port, or the two differ.
    """
    if written is None:
        return given
    port = int(written)
    if not 1 <= port <= MAX_PORT:
        raise ConfigError(f"{field} names a port outside 1 to {MAX_PORT}.")
    if given not in {None, port, _PLACEHOLDER_PORT}:
        raise ConfigError(f"{field} names port {port}, but Port (port) says {given}", "Leave one of them out")
    return port


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _check_address(address: str, field: str) -> None:
    try:
        ipaddress.IPv6Address(address)
    except ValueError as error:
        raise ConfigError(f"{field} holds no valid IPv6 address.") from error
