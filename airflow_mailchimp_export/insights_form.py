"""The form of a connection to Customer Insights, as Airflow reads it from the provider's metadata."""

from __future__ import annotations

from typing import Any


def insights_connection_type() -> dict[str, Any]:
    """Describe the type of connections; nothing heavy may be imported for it."""
    return {
        "connection-type": "customer_insights",
        "hook-class-name": "airflow_mailchimp_export.insights_hooks.CustomerInsightsHook",
        "hook-name": "Dynamics 365 Customer Insights",
        "ui-field-behaviour": _STANDARD_FIELDS,
        "conn-fields": _APPLICATION_FIELDS | _LIMIT_FIELDS | _HOST_FIELDS,
    }


_STANDARD_FIELDS = {
    "hidden-fields": ["schema"],
    "relabeling": {
        "host": "Organisation URL",
        "login": "Client id",
        "password": "Client secret",
        # Airflow 3.3's button that tests a connection fails unless there is a port:
        # https://github.com/apache/airflow/pull/73298
        "port": "Port (fill in 443, or Test fails)",
    },
    "placeholders": {
        "host": "https://contoso.crm4.dynamics.com",
        "login": "00001111-aaaa-2222-bbbb-3333cccc4444",
        "password": "the Value of a client secret, not its Secret ID",
        "port": "443",
    },
}

_APPLICATION, _LIMITS, _HOSTS = "App registration", "Limits", "Other hosts"

# A null in a type keeps the form from marking the field as one that has to be filled in.
_SWITCH = ["boolean", "null"]

_APPLICATION_FIELDS = {
    "tenant_id": {
        "label": "Tenant id",
        "description": "The Directory (tenant) id of the app registration, or a domain of the directory.",
        "schema": {"type": "string", "section": _APPLICATION},
    },
    "authority": {
        "label": "Authority",
        "description": "Who gives the tokens. Leave it empty: the host of the organisation says which of "
        "Microsoft's clouds it is.",
        "schema": {"type": ["string", "null"], "section": _APPLICATION},
    },
}

_LIMIT_FIELDS = {
    "max_connections": {
        "label": "Most connections",
        "description": "Requests in flight at a time. Dataverse allows 52 per user and server, over all programs.",
        "schema": {
            "type": ["integer", "null"],
            "minimum": 1,
            "maximum": 16,
            "default": 4,
            "section": _LIMITS,
        },
    },
    "timeout": {
        "label": "Timeout in seconds",
        "description": "How long one request may take.",
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
        "description": "Leave it off for Microsoft. Lets secret and token travel unencrypted to hosts other than this "
        "machine.",
        "schema": {"type": _SWITCH, "default": False, "section": _HOSTS},
    },
    "allow_custom_host": {
        "label": "Allow other hosts",
        "description": "Leave it off for Microsoft. Lets secret and token travel to other hosts than Microsoft's, "
        "e.g. a proxy.",
        "schema": {"type": _SWITCH, "default": False, "section": _HOSTS},
    },
}
