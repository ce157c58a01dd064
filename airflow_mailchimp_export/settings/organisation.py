"""Where the token of Customer Insights is allowed to travel: an organisation, and the authority that gives tokens."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.settings.hosts import (
    Guarded,
    HostRules,
    Origin,
    is_loopback,
    parse_origin,
)

API_PATH: Final = "/api/data/v9.2"
"""What every path of the Dataverse Web API begins with, version and all:
https://learn.microsoft.com/power-apps/developer/data-platform/webapi/compose-http-requests-handle-errors"""

AUTHORITIES: Final[Mapping[str, str]] = {
    "dynamics.com": "login.microsoftonline.com",
    "microsoftdynamics.us": "login.microsoftonline.us",
    "appsplatform.us": "login.microsoftonline.us",
    "dynamics.cn": "login.partner.microsoftonline.cn",
}
"""Who gives the tokens for the organisations of each cloud: the public one with the US government's GCC, GCC High,
DoD, and the one that 21Vianet runs in China."""

_ORGANISATION: Final = "Organisation URL (host)"
AUTHORITY_FIELD: Final = "Authority (authority)"

_CLOUD: Final = "|".join(map(re.escape, AUTHORITIES))
_VENDOR_HOST: Final = re.compile(
    rf"(?P<name>[a-z0-9-]+)(?P<api>\.api)?(?P<rest>\.crm[0-9]*\.(?P<cloud>{_CLOUD}))"
)

_PATH: Final = r"/api/data/v9\.[0-9]+"


@dataclass(frozen=True, slots=True)
class Organisation(Origin):
    """The organisation of an environment of Customer Insights, which alone the token is sent to."""

    @property
    def base_url(self) -> str:
        """The URL that the paths of the API are appended to, without a slash at its end."""
        return self.origin + API_PATH

    @property
    def cloud(self) -> str | None:
        """The end of the host's name that tells Microsoft's cloud; ``None`` for a host that is not Microsoft's."""
        match = _VENDOR_HOST.fullmatch(self.host)
        return match["cloud"] if match else None

    @property
    def scope(self) -> str:
        """What a token is asked for."""
        match = _VENDOR_HOST.fullmatch(self.host)
        host = f"{match['name']}{match['rest']}" if match else self.host
        return f"{Origin(self.scheme, host, self.port).origin}/.default"

    @property
    def origins(self) -> frozenset[str]:
        """All that leads to the organisation: Microsoft serves it under its name with and without ``.api``."""
        match = _VENDOR_HOST.fullmatch(self.host)
        hosts = {f"{match['name']}{api}{match['rest']}" for api in ("", ".api")} if match else {self.host}
        return frozenset(Origin(self.scheme, host, self.port).origin for host in hosts)


def parse_organisation(text: str, *, rules: HostRules, port: int | None = None) -> Organisation:
    """Make an organisation of what was written, if the token may travel there.

    :param text: a host, or a URL with or without the path of the API.
    :param port: what holds where the text has no port; by default the scheme's own.
    :raises ConfigError: it is no organisation, or the rules refuse it.
    """
    example = "the URL of the environment's organisation, such as https://contoso.crm4.dynamics.com"
    found = parse_origin(text, field=_ORGANISATION, example=example, path=_PATH, port=port)
    organisation = Organisation(found.scheme, found.host, found.port)
    stranger = f"no organisation of Microsoft's clouds (*.crm*.{', *.crm*.'.join(AUTHORITIES)})"
    _guarded(_ORGANISATION).check(organisation, rules, stranger="" if organisation.cloud else stranger)
    return organisation


def parse_authority(text: str, *, rules: HostRules) -> str:
    """Return the origin of an authority, if the client secret may travel there.

    :raises ConfigError: it is none, or the rules refuse it.
    """
    found = parse_origin(
        text, field=AUTHORITY_FIELD, example="such as https://login.microsoftonline.com", path=_PATH
    )
    stranger = f"none of Microsoft's ({', '.join(dict.fromkeys(AUTHORITIES.values()))})"
    is_known = found.host in AUTHORITIES.values()
    _guarded(AUTHORITY_FIELD).check(found, rules, stranger="" if is_known else stranger)
    return found.origin


def authority_of(organisation: Organisation) -> str:
    """Return who gives the tokens for an organisation, where nothing else is said.

    :raises ConfigError: nobody knows, because the host is not Microsoft's.
    """
    if organisation.cloud:
        return f"https://{AUTHORITIES[organisation.cloud]}"
    if is_loopback(organisation.host):
        return organisation.origin
    raise ConfigError(
        f"{AUTHORITY_FIELD} is empty, and the host of {_ORGANISATION} does not tell who gives its tokens",
        "Fill it in, such as https://login.microsoftonline.com",
    )


def _guarded(field: str) -> Guarded:
    return Guarded(field, "credentials", "'Allow other hosts' (allow_custom_host)")
