"""What Airflow learns of the provider without loading it."""

from __future__ import annotations

from typing import Any

from airflow_mailchimp_export import __version__
from airflow_mailchimp_export.configuration_options import configuration
from airflow_mailchimp_export.insights_form import insights_connection_type


def get_provider_info() -> dict[str, Any]:
    """Describe the provider, for the entry point ``apache_airflow_provider``.

    The API server reads this alone, so nothing heavy may be imported for it.
    """
    return {
        "package-name": "airflow-mailchimp-export",
        "name": "Mailchimp Export",
        "description": "Exports segments of unified customer profiles to Mailchimp audiences.",
        "versions": [__version__],
        "integrations": [
            {
                "integration-name": _INTEGRATION,
                "external-doc-url": "https://mailchimp.com/developer/marketing/",
                "tags": ["service"],
            },
            {
                "integration-name": _INSIGHTS,
                "external-doc-url": "https://learn.microsoft.com/dynamics365/customer-insights/data/",
                "tags": ["service"],
            },
        ],
        "operators": [_modules("operators")],
        "sensors": [_modules("sensors"), _modules("insights_sensors", of=_INSIGHTS)],
        "hooks": [_modules("hooks"), _modules("insights_hooks", of=_INSIGHTS)],
        "triggers": [_modules("triggers"), _modules("insights_triggers", of=_INSIGHTS)],
        "connection-types": [
            {
                "connection-type": "mailchimp",
                "hook-class-name": "airflow_mailchimp_export.hooks.MailchimpHook",
                "hook-name": "Mailchimp",
                "ui-field-behaviour": _STANDARD_FIELDS,
                "conn-fields": _ACCOUNT_FIELDS | _PRIVACY_FIELDS | _LIMIT_FIELDS | _HOST_FIELDS,
            },
            insights_connection_type(),
        ],
        "asset-uris": [
            {
                "schemes": ["mailchimp"],
                "handler": "airflow_mailchimp_export.assets.sanitize_uri",
                "factory": "airflow_mailchimp_export.assets.audience_asset",
            }
        ],
        "extra-links": [
            "airflow_mailchimp_export.links.AudienceLink",
            "airflow_mailchimp_export.links.AccountLink",
        ],
        "config": configuration(),
    }


_INTEGRATION, _INSIGHTS = "Mailchimp", "Dynamics 365 Customer Insights"


def _modules(name: str, *, of: str = _INTEGRATION) -> dict[str, Any]:
    return {"integration-name": of, "python-modules": [f"airflow_mailchimp_export.{name}"]}


_STANDARD_FIELDS = {
    "hidden-fields": ["schema", "login"],
    "relabeling": {
        "password": "API key or OAuth token",
        "host": "Base URL (leave empty)",
        # Airflow 3.3's button that tests a connection fails unless there is a port:
        # https://github.com/apache/airflow/pull/73298
        "port": "Port (fill in 443, or Test fails)",
    },
    "placeholders": {
        "password": "0123456789abcdef0123456789abcdef-us21",
        "host": "empty: https://<server prefix>.api.mailchimp.com/3.0",
        "port": "443",
    },
}

_ACCOUNT, _PRIVACY, _LIMITS, _HOSTS = "Mailchimp account", "Data privacy", "Limits", "Other hosts"

# A null in a type keeps the form from marking the field as one that has to be filled in.
_SWITCH = ["boolean", "null"]

_ACCOUNT_FIELDS = {
    "audience_id": {
        "label": "Default audience id",
        "description": "Where exports go that name no audience. In Mailchimp: Audience, Settings, "
        "Audience name and defaults. Save without it, and the Test button lists the audiences of the account.",
        "schema": {"type": ["string", "null"], "section": _ACCOUNT},
    },
    "server_prefix": {
        "label": "Server prefix",
        "description": "The account's data center, e.g. us21. Leave it empty: the end of the API key says it, "
        "or Mailchimp is asked.",
        "schema": {"type": ["string", "null"], "pattern": "^[a-z]{2,}[0-9]+$", "section": _ACCOUNT},
    },
    "auth_method": {
        "label": "Authentication",
        "description": "What the field for the key holds: an API key, or an access token of an OAuth 2 app.",
        "schema": {
            "type": ["string", "null"],
            "enum": ["api_key", "oauth2"],
            "values_display": {"api_key": "API key", "oauth2": "OAuth 2 token"},
            "default": "api_key",
            "section": _ACCOUNT,
        },
    },
}

CONSENT_LABEL = "I agree to the transfer of personal data"
CONSENT_TEXT = (
    "Exports send personal data to Mailchimp, outside of the boundary of this system and of its compliance. I am "
    "responsible for Mailchimp meeting the obligations that come with these data, such as those of data protection and "
    "of the consent that people gave. I may withdraw this at any time: while it is off no profile leaves, and "
    "switching it off stops a running export."
)
"""What one agrees to, wherever that is asked."""

_PRIVACY_FIELDS = {
    "data_privacy_consent": {
        "label": CONSENT_LABEL,
        "description": CONSENT_TEXT,
        "schema": {"type": _SWITCH, "default": False, "section": _PRIVACY},
    },
    "export_user": {
        "label": "Responsible for exports",
        "description": "A person or a team; written into every report.",
        "schema": {"type": ["string", "null"], "section": _PRIVACY},
    },
    "allowed_dags": {
        "label": "Allowed DAGs",
        "description": "Ids of the DAGs that may use this connection, one a line; * and ? stand for anything."
        " Leave it empty to allow all.",
        "schema": {"type": ["array", "null"], "items": {"type": "string"}, "section": _PRIVACY},
    },
}

_LIMIT_FIELDS = {
    "contact_limit": {
        "label": "Contact limit",
        "description": "The contract's number of contacts. "
        "An export that would go past it fails before it sends. Leave it empty where there is no such number.",
        "schema": {"type": ["integer", "null"], "minimum": 1, "section": _LIMITS},
    },
    "max_connections": {
        "label": "Most connections",
        "description": "Calls in flight at a time. Mailchimp allows 10 per user, over all integrations.",
        "schema": {
            "type": ["integer", "null"],
            "minimum": 1,
            "maximum": 10,
            "default": 8,
            "section": _LIMITS,
        },
    },
    "timeout": {
        "label": "Timeout in seconds",
        "description": "How long one call may take.",
        "schema": {
            "type": ["integer", "null"],
            "minimum": 1,
            "maximum": 600,
            "default": 120,
            "section": _LIMITS,
        },
    },
}

_HOST_FIELDS = {
    "allow_insecure_host": {
        "label": "Allow plain http",
        "description": "Leave it off for Mailchimp. Lets the key travel unencrypted to hosts other than this machine.",
        "schema": {"type": _SWITCH, "default": False, "section": _HOSTS},
    },
    "allow_custom_host": {
        "label": "Allow hosts outside mailchimp.com",
        "description": "Leave it off for Mailchimp. Lets the key travel to another host than Mailchimp's, "
        "e.g. a proxy.",
        "schema": {"type": _SWITCH, "default": False, "section": _HOSTS},
    },
}
