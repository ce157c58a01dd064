"""What Airflow learns of the provider."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from airflow_mailchimp_export.provider_info import get_provider_info
from airflow_mailchimp_export.settings.connection import EXTRAS, MAX_CONNECTIONS, ConnectionSettings

KEY = "0123456789abcdef0123456789abcdef-us21"


def airflow_schema(name: str) -> Any:
    """Read one of Airflow's schemas."""
    found = importlib.util.find_spec("airflow")  # finds Airflow without importing it
    assert found is not None
    assert found.submodule_search_locations
    return json.loads((Path(found.submodule_search_locations[0]) / name).read_text())


def connection_type() -> Any:
    """Look up the connection type of Mailchimp."""
    described, _ = get_provider_info()["connection-types"]
    return described


def test_airflow_accepts_it_when_it_runs() -> None:
    """The description fits the schema that Airflow checks at run time."""
    jsonschema.validate(get_provider_info(), airflow_schema("provider_info.schema.json"))


@pytest.mark.parametrize(
    "part",
    [
        *("connection-types", "config", "integrations", "operators", "sensors", "hooks"),
        *("asset-uris", "extra-links"),
    ],
)
def test_airflow_accepts_it_when_it_is_written(part: str) -> None:
    """The description fits the stricter schema for authors, which alone knows the fields of the form."""
    schema = airflow_schema("provider.yaml.schema.json")
    jsonschema.validate(
        get_provider_info()[part], {**schema["properties"][part], "definitions": schema["definitions"]}
    )


def test_the_package_name_is_the_distribution_name() -> None:
    """Airflow finds no provider at all where the names differ."""
    assert get_provider_info()["package-name"] == "airflow-mailchimp-export"


def test_every_extra_has_a_field() -> None:
    """The form has the extras that the settings know, with the labels that errors use."""
    fields = connection_type()["conn-fields"]
    assert {key: field["label"] for key, field in fields.items()} == {
        key: extra.label for key, extra in EXTRAS.items()
    }


def test_the_defaults_of_the_form_are_the_defaults_of_the_settings() -> None:
    """A form that was saved untouched gives the settings that no form gives."""
    fields = connection_type()["conn-fields"]
    untouched = {key: field["schema"].get("default") for key, field in fields.items()}
    parts: dict[str, Any] = {"password": KEY, "host": None, "port": 443, "schema": None}
    saved = ConnectionSettings.from_parts(**parts, extra=untouched)
    assert saved == ConnectionSettings.from_parts(**parts, extra={})


def test_the_bounds_of_the_form_are_the_bounds_of_the_settings() -> None:
    """What the form lets through is accepted."""
    fields = connection_type()["conn-fields"]
    assert fields["max_connections"]["schema"]["maximum"] == MAX_CONNECTIONS
    for key in ("max_connections", "timeout", "contact_limit"):
        schema = fields[key]["schema"]
        for bound in {"minimum", "maximum"} & set(schema):
            assert EXTRAS[key].parse(schema[bound]) == schema[bound]


def test_the_port_is_visible() -> None:
    """Airflow 3.3 cannot test a connection without a port, so the form shows it, and says so."""
    behaviour = connection_type()["ui-field-behaviour"]
    assert behaviour["relabeling"]["port"] == "Port (fill in 443, or Test fails)"
    assert "port" not in behaviour["hidden-fields"]
    assert behaviour["placeholders"]["port"] == "443"


def test_the_page_of_providers_has_where_to_link() -> None:
    """Airflow links a provider's documentation by the metadata; what they name under a branch is in the repository."""
    repository = Path(__file__).resolve().parents[2]
    urls = tomllib.loads((repository / "pyproject.toml").read_text())["project"]["urls"]
    assert {"Documentation", "Source", "Changelog"} <= set(urls)
    for url in urls.values():
        root, branch, path = url.partition("/main/")
        assert root.rpartition("/")[0] in (urls["Source"], urls["Source"].rpartition("/")[0])
        assert not branch or (repository / path).exists()


def test_nothing_heavy_is_imported() -> None:
    """Reading the description loads none of the libraries that the export needs."""
    code = (
        "import sys; from airflow_mailchimp_export.provider_info import get_provider_info as get; get();"
        "print(sorted({'airflow', 'duckdb', 'pandas', 'pyarrow', 'requests', 'upath'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_every_field_has_its_section() -> None:
    """The account comes first, then what one agrees to, then limits and hosts; nothing is left over."""
    sections: dict[str, list[str]] = {}
    for key, field in connection_type()["conn-fields"].items():
        sections.setdefault(field["schema"]["section"], []).append(key)
    assert sections == {
        "Mailchimp account": ["audience_id", "server_prefix", "auth_method"],
        "Data privacy": ["data_privacy_consent", "export_user", "allowed_dags"],
        "Limits": ["contact_limit", "max_connections", "timeout"],
        "Other hosts": ["allow_insecure_host", "allow_custom_host"],
    }


def test_the_form_forces_nobody() -> None:
    """No field has an asterisk: consent has to be free, and the rest has defaults or may be empty."""
    fields = connection_type()["conn-fields"].values()
    assert all("null" in field["schema"]["type"] for field in fields)


def test_the_consent_says_all_of_what_one_agrees_to() -> None:
    """What leaves, where it goes, who answers for it, and that it may be withdrawn."""
    words = connection_type()["conn-fields"]["data_privacy_consent"]["description"]
    for part in (
        "personal data to Mailchimp",
        "outside of the boundary of this system",
        "I am responsible for Mailchimp meeting the obligations",
        "withdraw this at any time",
    ):
        assert part in words


def test_what_is_to_be_left_empty_says_so() -> None:
    """Whoever has a plain API key of Mailchimp need not ask what else to fill in."""
    described = connection_type()
    assert described["ui-field-behaviour"]["relabeling"]["host"] == "Base URL (leave empty)"
    for key in ("server_prefix", "allowed_dags", "contact_limit"):
        assert "Leave it empty" in described["conn-fields"][key]["description"]
