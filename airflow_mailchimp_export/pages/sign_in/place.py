"""Where the page is, and what Airflow's configuration says of signing in."""

from __future__ import annotations

from urllib.parse import urlsplit

from airflow.configuration import conf

from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.mailchimp.sign_in import App
from airflow_mailchimp_export.settings.hosts import DEFAULT_PORTS, Guarded, HostRules, Origin
from airflow_mailchimp_export.settings.sign_in import (
    ALLOW_CUSTOM,
    ALLOW_INSECURE,
    OPTIONS,
    SignInSettings,
    option,
)

PAGE = "/mailchimp/sign-in"
"""The page's path below Airflow's base URL."""

_BASE_URL = "[api] base_url"


def base_url() -> str:
    """Return where Airflow's API server is for a browser, without a slash at the end; empty where nobody says."""
    return (conf.get("api", "base_url", fallback="") or "").strip().rstrip("/")


def path_of(route: str = "") -> str:
    """Return the path of a route of the page, with that of the base URL before it."""
    return f"{urlsplit(base_url()).path}{PAGE}{route}"


def redirect_uri() -> str:
    """Return where Mailchimp sends a browser back to; the app has to be registered with it."""
    return f"{base_url()}{PAGE}/callback"


def is_https() -> bool:
    """Return whether browsers reach Airflow by https."""
    return urlsplit(base_url()).scheme == "https"


def sign_in_settings() -> SignInSettings:
    """Return what the configuration says.

    :raises ConfigError: names the option that is missing or wrong, and the remedy.
    """
    found = SignInSettings.from_options({name: conf.get("mailchimp", name, fallback="") for name in OPTIONS})
    _check_base_url(found.rules)
    return found


def app_of(settings: SignInSettings) -> App:
    """Return the app that is registered in Mailchimp."""
    return App(
        settings.client_id,
        settings.client_secret,
        authorize_origin=settings.authorize_origin,
        token_origin=settings.token_origin,
        redirect_uri=redirect_uri(),
    )


def _check_base_url(rules: HostRules) -> None:
    """Let the way back be one that nobody else reads."""
    parts = urlsplit(base_url())
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
        raise ConfigError(
            f"{_BASE_URL} is not set to a URL, so Mailchimp could not send a browser back",
            "Set it to what stands in the address bar before /mailchimp, such as https://airflow.example.com",
        )
    place = Origin(parts.scheme, parts.hostname, parts.port or DEFAULT_PORTS[parts.scheme])
    Guarded(_BASE_URL, "the sign-in", option(ALLOW_CUSTOM), option(ALLOW_INSECURE)).check(place, rules)
