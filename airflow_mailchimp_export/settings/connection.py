"""The settings of a Mailchimp connection, checked and complete."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any, Final

from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.settings.coercion import (
    InvalidValue,
    boolean,
    choice,
    is_blank,
    matching,
    number,
    parse_setting,
    single_line,
    string_list,
    whole_number,
)
from airflow_mailchimp_export.settings.consent import EVIDENCE, Evidence
from airflow_mailchimp_export.settings.endpoint import SERVER_PREFIX, parse_endpoint
from airflow_mailchimp_export.settings.hosts import MAX_PORT, HostRules
from airflow_mailchimp_export.settings.names import unknown_names

MAX_CONNECTIONS: Final = 10
"""Most connections of one user: https://mailchimp.com/developer/marketing/docs/fundamentals/#api-limits"""

OAUTH_METADATA_URL: Final = "https://login.mailchimp.com/oauth2/metadata"
"""Says where an account lives: https://mailchimp.com/developer/marketing/guides/access-user-data-oauth-2/"""


class AuthMethod(StrEnum):
    """What kind of token the connection holds."""

    API_KEY = "api_key"
    OAUTH2 = "oauth2"


_AUDIENCE_ID: Final = matching(
    re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII),
    "an audience id such as a1b2c3d4e5 (in Mailchimp: Audience, Settings, Audience name and defaults)",
)


def audience_id(value: object) -> str:
    """Parse an audience id; one of digits alone may have become a whole number on its way."""
    if isinstance(value, float):
        # 12345e6789 is a number too large, and 1234e56789 one that has lost its form.
        raise InvalidValue(
            "text, for as a number it has lost what it was: put it in quotes, and do not render it by "
            "render_template_as_native_obj"
        )
    whole = isinstance(value, int) and not isinstance(value, bool)
    return _AUDIENCE_ID(str(value) if whole else value)


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """A connection's settings.

    :param token: API key or OAuth token.
    :param server_prefix: the account's data center; ``None`` where only Mailchimp's OAuth metadata can tell.
    :param base_url: ends in ``/3.0``; ``None`` where only Mailchimp's OAuth metadata can tell.
    :param metadata_url: where an OAuth token's data center can be asked for.
    :param audience_id: the audience of the exports that name none.
    :param data_privacy_consent: no profile may leave while it is false.
    :param evidence: who agreed and when, where that is known; no export depends on it.
    :param export_user: who is responsible for the exports.
    :param allowed_dags: names or globs of the DAGs that may use the connection; empty means all.
    :param contact_limit: the contract's number of contacts; ``None`` means unknown.
    :param max_connections: most requests in flight, 1 to 10.
    :param timeout: seconds that one call may take.
    :param unknown_extra: keys among the extras that mean nothing here, each with what may have been meant.
    """

    token: str = field(repr=False)
    auth_method: AuthMethod = AuthMethod.API_KEY
    server_prefix: str | None = None
    base_url: str | None = None
    metadata_url: str = OAUTH_METADATA_URL
    audience_id: str | None = None
    data_privacy_consent: bool = False
    export_user: str = ""
    allowed_dags: tuple[str, ...] = ()
    contact_limit: int | None = None
    max_connections: int = 8
    timeout: float = 120.0
    allow_insecure_host: bool = False
    allow_custom_host: bool = False
    unknown_extra: tuple[str, ...] = ()
    evidence: Evidence = field(default_factory=Evidence)

    @classmethod
    def from_parts(
        cls, *, password: object, host: object, port: object, schema: object, extra: Mapping[str, object]
    ) -> ConnectionSettings:
        """Check what an Airflow connection holds; null and empty text count as unset.

        :param password: the API key or OAuth token.
        :param host: the base URL; unset means the data center's own.
        :param port: unset or 0 means the scheme's own.
        :param schema: ``http`` or ``https``, for a host that has neither before it.
        :param extra: the other fields of the form, by their keys.
        :raises ConfigError: names the field that is wrong, and the remedy.
        """
        given: dict[str, Any] = {
            key: parse_setting(labelled(key), extra[key], setting.parse)
            for key, setting in EXTRAS.items()
            if not is_blank(extra.get(key))
        }
        unknown = tuple(unknown_names(extra, [*EXTRAS, *EVIDENCE]))
        evidence = Evidence.from_extra(extra)
        settings = cls(token=_token(password), unknown_extra=unknown, evidence=evidence, **given)
        return settings._at(host=_host(host), port=_port(port), scheme=_scheme(schema))

    def allows(self, dag_id: str) -> bool:
        """Whether a DAG may use the connection; globs heed upper and lower case."""
        return not self.allowed_dags or any(fnmatchcase(dag_id, glob) for glob in self.allowed_dags)

    def with_api_endpoint(self, url: str, data_center: str = "") -> ConnectionSettings:
        """Complete the settings with the API endpoint that the OAuth metadata names.

        :param data_center: as the metadata names it; heeded where the endpoint's name does not tell.
        :raises ConfigError: the key may not travel there.
        """
        try:
            endpoint = parse_endpoint(url, rules=self._rules)
        except ConfigError as error:
            raise ConfigError(
                f"Mailchimp's OAuth metadata names an unusable API endpoint: {error.happened}", error.remedy
            ) from error
        named = data_center if SERVER_PREFIX.fullmatch(data_center) else None
        prefix = endpoint.server_prefix or self.server_prefix or named
        return replace(self, server_prefix=prefix, base_url=endpoint.base_url)

    @property
    def _rules(self) -> HostRules:
        return HostRules(allow_insecure=self.allow_insecure_host, allow_custom=self.allow_custom_host)

    def _at(self, *, host: str | None, port: int | None, scheme: str | None) -> ConnectionSettings:
        suffix = _key_suffix(self.token) if self.auth_method is AuthMethod.API_KEY else None
        where = host or self.server_prefix or suffix
        if where is None:
            self._check_findable()
            return self
        endpoint = parse_endpoint(where, rules=self._rules, scheme=scheme, port=port)
        metadata = OAUTH_METADATA_URL if endpoint.is_mailchimp else f"{endpoint.origin}/oauth2/metadata"
        prefix = self.server_prefix or endpoint.server_prefix or suffix
        return replace(self, server_prefix=prefix, base_url=endpoint.base_url, metadata_url=metadata)

    def _check_findable(self) -> None:
        if self.auth_method is AuthMethod.API_KEY:
            raise ConfigError(
                f"{_TOKEN} does not end in a server prefix such as -us21",
                "Copy the whole key from Mailchimp, or fill in Server prefix (server_prefix); "
                "for an OAuth token set Authentication (auth_method) to oauth2",
            )


@dataclass(frozen=True, slots=True)
class Extra:
    """A field of the form that Airflow keeps among a connection's extras.

    :param label: how the form names it.
    :param parse: what makes its value of what was set.
    """

    label: str
    parse: Callable[[object], object]


def _lowered(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _server_prefix(value: object) -> str:
    return matching(SERVER_PREFIX, "a server prefix such as us21, nothing else")(_lowered(value))


EXTRAS: Final[Mapping[str, Extra]] = {
    "audience_id": Extra("Default audience id", audience_id),
    "server_prefix": Extra("Server prefix", _server_prefix),
    "auth_method": Extra("Authentication", choice(*AuthMethod)),
    "data_privacy_consent": Extra("I agree to the transfer of personal data", boolean),
    "export_user": Extra("Responsible for exports", single_line),
    "allowed_dags": Extra("Allowed DAGs", string_list),
    "contact_limit": Extra("Contact limit", whole_number(1)),
    "max_connections": Extra("Most connections", whole_number(1, MAX_CONNECTIONS)),
    "timeout": Extra("Timeout in seconds", number(1, 600)),
    "allow_insecure_host": Extra("Allow plain http", boolean),
    "allow_custom_host": Extra("Allow hosts outside mailchimp.com", boolean),
}


def labelled(key: str) -> str:
    """Return how a message names an extra: by the form's label, and by its key."""
    return f"{EXTRAS[key].label} ({key})"


_TOKEN: Final = "API key or OAuth token (password)"

_SUFFIX: Final = re.compile(rf".+-({SERVER_PREFIX.pattern})")


def _token(password: object) -> str:
    if is_blank(password):
        raise ConfigError(f"{_TOKEN} is empty", "Create a key in Mailchimp under Profile, Extras, API keys")
    token = parse_setting(_TOKEN, password, single_line)
    unusable = next(
        (place for place, char in enumerate(token, 1) if char.isspace() or ord(char) > 0xFF), None
    )
    if unusable is not None:
        raise ConfigError(
            f"{_TOKEN} holds a blank or a character that no key has, at place {unusable}",
            "Copy it again",
        )
    return token


def _key_suffix(key: str) -> str | None:
    match = _SUFFIX.fullmatch(key.lower())
    return match[1] if match else None


def _host(value: object) -> str | None:
    return None if is_blank(value) else parse_setting("Base URL (host)", value, single_line)


def _port(value: object) -> int | None:
    return None if is_blank(value) else parse_setting("Port (port)", value, whole_number(0, MAX_PORT)) or None


def _scheme(value: object) -> str | None:
    # The path of a connection URI arrives as its schema, hence the version.
    scheme = (
        "" if is_blank(value) else parse_setting("Schema (schema)", value, single_line).lower().strip("/")
    )
    if scheme in {"", "3.0"}:
        return None
    if scheme not in {"http", "https"}:
        raise ConfigError("Schema (schema) must be http or https, or empty.")
    return scheme
