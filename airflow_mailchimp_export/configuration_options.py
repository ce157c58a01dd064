"""What can be set in Airflow's configuration, as Airflow reads it from the provider's metadata."""

from __future__ import annotations

from typing import Any


def configuration() -> dict[str, Any]:
    """Describe the sections; nothing heavy may be imported for it."""
    return _SECTIONS


_ORIGIN = {
    "version_added": "0.2.0",
    "type": "string",
    "example": "http://127.0.0.1:8025",
    "default": "https://login.mailchimp.com",
}

_SWITCHED_OFF = {"version_added": "0.2.0", "type": "boolean", "example": None, "default": "False"}

_SECTIONS = {
    "mailchimp": {
        "description": "Exports to Mailchimp.",
        "options": {
            "exports_root": {
                "description": "Folder, or URL of an object storage, that all workers share: "
                "exports keep their plans, reports and ledgers in it. "
                "Empty: the folder mailchimp_exports of AIRFLOW_HOME.\n",
                "version_added": "0.1.0",
                "type": "string",
                "example": "s3://mailchimp@bucket/exports",
                "default": "",
            },
            "rejects_download": {
                "description": "Roles, with commas between them, whose users may download the rejects.csv of a run "
                "from its page in Airflow. The file holds addresses. Empty: nobody may.\n",
                "version_added": "0.2.0",
                "type": "string",
                "example": "Admin,DataProtection",
                "default": "",
            },
            "oauth_client_id": {
                "description": "Client id of the app that is registered in Mailchimp for signing in.\n",
                "version_added": "0.2.0",
                "type": "string",
                "example": "123456789012",
                "default": "",
            },
            "oauth_client_secret": {
                "description": "Client secret of that app; _cmd and _secret work as in Airflow.\n",
                "version_added": "0.2.0",
                "type": "string",
                "sensitive": True,
                "example": None,
                "default": "",
            },
            "oauth_authorize_origin": {
                "description": "Where browsers are sent for signing in. Leave it to be Mailchimp's own.\n",
                **_ORIGIN,
            },
            "oauth_token_origin": {
                "description": "What is sent the client secret, and gives tokens. Leave it to be Mailchimp's own.\n",
                **_ORIGIN,
            },
            "oauth_metadata_origin": {
                "description": "What is sent a new token, and says where its account lives. "
                "Leave it to be Mailchimp's own.\n",
                **_ORIGIN,
            },
            "oauth_allow_custom_host": {
                "description": "Let these three, and what a new token is for, be outside mailchimp.com.\n",
                **_SWITCHED_OFF,
            },
            "oauth_allow_insecure_host": {
                "description": "Let them be reached by plain http on other machines.\n",
                **_SWITCHED_OFF,
            },
        },
    }
}
