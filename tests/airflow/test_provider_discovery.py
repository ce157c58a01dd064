"""What Airflow finds of the provider, in a process that knows nothing of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from airflow_mailchimp_export import __version__
from airflow_mailchimp_export.provider_info import get_provider_info
from tests.airflow.releases import lacks

LOOK = """
import json, sys
from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService
from airflow.configuration import conf
from airflow.providers_manager import ProvidersManager

ProvidersManager().initialize_providers_configuration()  # as every program of Airflow does

(form,) = (m for m in HookMetaService.hook_meta_data() if m.connection_type == "mailchimp")
found = {
    "form": form.model_dump(),
    "version": ProvidersManager().providers["airflow-mailchimp-export"].version,
    "exports_root": conf.get("mailchimp", "exports_root"),
    "login": conf.get("mailchimp", "oauth_token_origin"),
    "secret": conf.get("mailchimp", "oauth_client_secret"),
    "shown": conf.as_dict(display_sensitive=False)["mailchimp"],
    "imported": sorted(name for name in sys.modules if name.startswith("airflow_mailchimp_export")),
}
found["hook"] = ProvidersManager().hooks["mailchimp"].hook_class_name
print("found:" + json.dumps(found))
"""

LABELS = {
    "auth_method": "Authentication",
    "server_prefix": "Server prefix",
    "audience_id": "Default audience id",
    "data_privacy_consent": "I agree to the transfer of personal data",
    "export_user": "Responsible for exports",
    "allowed_dags": "Allowed DAGs",
    "contact_limit": "Contact limit",
    "max_connections": "Most connections",
    "timeout": "Timeout in seconds",
    "allow_insecure_host": "Allow plain http",
    "allow_custom_host": "Allow hosts outside mailchimp.com",
}


@pytest.fixture(scope="module")
def found() -> Any:
    """What a fresh process sees."""
    environment = {
        name: value for name, value in os.environ.items() if name != "AIRFLOW__MAILCHIMP__EXPORTS_ROOT"
    }
    run = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:airflow_mailchimp_export", "-c", LOOK],
        env={**environment, "AIRFLOW__MAILCHIMP__OAUTH_CLIENT_SECRET_CMD": "echo hush"},
        capture_output=True,
        text=True,
        check=True,
    )
    (line,) = (line for line in run.stdout.splitlines() if line.startswith("found:"))
    return json.loads(line.removeprefix("found:"))


def test_provider_is_found(found: Any) -> None:
    """Airflow lists the provider with the package's version."""
    assert found["version"] == __version__


@lacks("form that is made of the metadata alone", before=(3, 3))
def test_form_needs_no_hook(found: Any) -> None:
    """The form is made without importing the hook or anything else but the metadata."""
    metadata = ("configuration_options", "insights_form", "provider_info")
    assert found["imported"] == [
        "airflow_mailchimp_export",
        *(f"airflow_mailchimp_export.{name}" for name in metadata),
    ]


def test_form_has_every_field(found: Any) -> None:
    """Every field of the connection is in the form, under its label."""
    fields = found["form"]["extra_fields"]
    assert {key: field["schema"]["title"] for key, field in fields.items()} == LABELS


def test_form_says_what_the_metadata_says(found: Any) -> None:
    """Every field has its description, its section, its choices and its limits, on every release of Airflow."""
    declared, _ = get_provider_info()["connection-types"]
    fields = found["form"]["extra_fields"]
    assert {key: (field["description"], field["schema"]) for key, field in fields.items()} == {
        key: (field["description"], {**field["schema"], "title": field["label"]})
        for key, field in declared["conn-fields"].items()
    }


def test_form_defaults(found: Any) -> None:
    """Consent and other hosts are off to begin with; eight connections, two minutes, API key."""
    fields = found["form"]["extra_fields"]
    assert {key: field["value"] for key, field in fields.items() if field["value"] is not None} == {
        "auth_method": "api_key",
        "data_privacy_consent": False,
        "max_connections": 8,
        "timeout": 120,
        "allow_insecure_host": False,
        "allow_custom_host": False,
    }


def test_standard_fields_are_named_for_what_they_hold(found: Any) -> None:
    """The password is called API key, the host Base URL; schema and login are hidden; the port is not."""
    standard = found["form"]["standard_fields"]
    assert standard["password"]["title"] == "API key or OAuth token"
    assert standard["port"]["title"] == "Port (fill in 443, or Test fails)"
    assert standard["host"]["title"] == "Base URL (leave empty)"
    assert standard["url_schema"]["hidden"]
    assert standard["login"]["hidden"]
    assert (standard["port"]["hidden"], standard["port"]["placeholder"]) == (False, "443")


def test_hook_is_found_by_the_connection_type(found: Any) -> None:
    """A connection of type mailchimp leads to our hook."""
    assert found["hook"] == "airflow_mailchimp_export.hooks.MailchimpHook"


def test_configuration_has_its_section(found: Any) -> None:
    """``[mailchimp] exports_root`` exists, and is empty unless somebody sets it."""
    assert found["exports_root"] == ""


def test_the_client_secret_is_kept_secret(found: Any) -> None:
    """It may come of a command, as any secret of Airflow, and is not shown where the configuration is."""
    assert found["secret"].strip() == "hush"
    assert "hush" not in json.dumps(found["shown"])


def test_every_option_is_declared(found: Any) -> None:
    """Airflow knows each of them, by its name and with its default."""
    from airflow_mailchimp_export.settings.sign_in import LOGIN, OPTIONS, ORIGINS

    declared = get_provider_info()["config"]["mailchimp"]["options"]
    assert set(declared) == {*OPTIONS, "exports_root", "rejects_download"}
    assert {declared[name]["default"] for name in ORIGINS} == {found["login"]} == {LOGIN}
