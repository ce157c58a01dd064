"""What signing in to Mailchimp needs of Airflow's configuration, checked: the section ``[mailchimp]``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.settings.coercion import boolean, is_blank, parse_setting, single_line
from airflow_mailchimp_export.settings.hosts import Guarded, HostRules, parse_origin

LOGIN: Final = "https://login.mailchimp.com"
"""Where Mailchimp lets people sign in: https://mailchimp.com/developer/marketing/guides/access-user-data-oauth-2/"""

CLIENT_ID, CLIENT_SECRET = "oauth_client_id", "oauth_client_secret"
ALLOW_CUSTOM, ALLOW_INSECURE = "oauth_allow_custom_host", "oauth_allow_insecure_host"

ORIGINS: Final[Mapping[str, str]] = {
    "oauth_authorize_origin": "the sign-in",
    "oauth_token_origin": "the client secret",
    "oauth_metadata_origin": "the token",
}
"""The options that say where something travels, and what it is."""

OPTIONS: Final = (CLIENT_ID, CLIENT_SECRET, *ORIGINS, ALLOW_CUSTOM, ALLOW_INSECURE)

_REGISTER: Final = (
    "Register an app in Mailchimp (Profile, Extras, Registered apps) with the redirect URI below, and set it in "
    "Airflow's configuration"
)


@dataclass(frozen=True, slots=True)
class SignInSettings:
    """An app that is registered in Mailchimp, and where people agree to it.

    :param authorize_origin: where the browser is sent.
    :param token_origin: what gives a token for a code.
    :param metadata_origin: what says where the account of a token lives.
    :param rules: which hosts may be trusted with any of it.
    """

    client_id: str
    client_secret: str = field(repr=False)
    authorize_origin: str = LOGIN
    token_origin: str = LOGIN
    metadata_origin: str = LOGIN
    rules: HostRules = field(default_factory=HostRules)

    @classmethod
    def from_options(cls, options: Mapping[str, object]) -> SignInSettings:
        """Check what the section holds; null and empty text count as unset.

        :raises ConfigError: names the option that is missing or wrong, and the remedy.
        """
        given = {name: options[name] for name in OPTIONS if not is_blank(options.get(name))}
        for name in (CLIENT_ID, CLIENT_SECRET):
            if name not in given:
                raise ConfigError(f"{option(name)} is not set", _REGISTER)
        rules = HostRules(
            allow_insecure=parse_setting(option(ALLOW_INSECURE), given.get(ALLOW_INSECURE, False), boolean),
            allow_custom=parse_setting(option(ALLOW_CUSTOM), given.get(ALLOW_CUSTOM, False), boolean),
        )
        authorize, token, metadata = (_origin(name, given.get(name, LOGIN), rules) for name in ORIGINS)
        return cls(
            client_id=parse_setting(option(CLIENT_ID), given[CLIENT_ID], single_line),
            client_secret=parse_setting(option(CLIENT_SECRET), given[CLIENT_SECRET], single_line),
            authorize_origin=authorize,
            token_origin=token,
            metadata_origin=metadata,
            rules=rules,
        )


def option(name: str) -> str:
    """Return how a message names an option."""
    return f"[mailchimp] {name}"


def _origin(name: str, value: object, rules: HostRules) -> str:
    field = option(name)
    found = parse_origin(
        parse_setting(field, value, single_line), field=field, example=f"an origin such as {LOGIN}"
    )
    is_mailchimp = found.host.endswith(".mailchimp.com")
    guarded = Guarded(field, ORIGINS[name], option(ALLOW_CUSTOM), option(ALLOW_INSECURE))
    guarded.check(found, rules, stranger="" if is_mailchimp else "outside mailchimp.com")
    return found.origin
