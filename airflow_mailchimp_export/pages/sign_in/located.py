"""Where the account of a token lives."""

from __future__ import annotations

from airflow_mailchimp_export.hooks import PROMPT, PROMPT_TIMEOUT, to_located
from airflow_mailchimp_export.settings.connection import AuthMethod, ConnectionSettings
from airflow_mailchimp_export.settings.sign_in import SignInSettings
from airflow_mailchimp_export.web.transport_errors import Machine, Names

_ORIGIN = "[mailchimp] oauth_metadata_origin"
_NAMES = Names(_ORIGIN, _ORIGIN, _ORIGIN, Machine.API_SERVER)


def located_by(settings: SignInSettings, token: str) -> ConnectionSettings:
    """Ask where the account of a token lives; nobody else is asked, and it has to be where the token may travel.

    :raises ExportError: nobody knows, or it may not travel there.
    """
    asking = ConnectionSettings(
        token=token,
        auth_method=AuthMethod.OAUTH2,
        metadata_url=f"{settings.metadata_origin}/oauth2/metadata",
        allow_insecure_host=settings.rules.allow_insecure,
        allow_custom_host=settings.rules.allow_custom,
        timeout=PROMPT_TIMEOUT,
    )
    return to_located(asking, PROMPT, _NAMES)
