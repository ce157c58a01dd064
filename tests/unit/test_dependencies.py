"""pyproject.toml says the truth: what is imported is declared, and what is declared is imported."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE = REPOSITORY / "airflow_mailchimp_export"
SANDBOX = PACKAGE / "sandbox"
DISTRIBUTIONS = {
    "airflow": "apache-airflow",
    "airflow.providers.common.compat": "apache-airflow-providers-common-compat",
    "airflow.providers.common.sql": "apache-airflow-providers-common-sql",
    "airflow.providers.http": "apache-airflow-providers-http",
    "airflow.providers.standard": "apache-airflow-providers-standard",
    "MySQLdb": "mysqlclient",
    "yaml": "pyyaml",
    "upath": "universal-pathlib",
    "uvicorn.protocols.http.httptools_impl": "httptools",
}
"""Where a distribution is not called like its module."""
BROUGHT_BY_AIRFLOW = {"cryptography", "fastapi", "flask-babel", "sqlalchemy", "starlette", "wtforms"}
"""What its API server is made of, which alone serves the pages; and what the form of Airflow 3.1 is, or a stand-in."""
BROUGHT_BY_PROVIDERS = {"mysqlclient", "psycopg", "psycopg2"}
"""Whoever has a connection to a database has the provider that opens it with one of these."""
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def declared(extra: str | None = None) -> dict[str, Requirement]:
    """What the distribution, or an extra of it, declares."""
    texts = PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]
    return {to_name(needed.name): needed for needed in map(Requirement, texts)}


def imported(files: Iterable[Path]) -> set[str]:
    """The distributions that files import, for type checkers too, but for the standard library's."""
    modules = {module for file in files for module in modules_of(ast.parse(file.read_text(encoding="utf-8")))}
    foreign = {module for module in modules if module.split(".")[0] not in OWN}
    return {to_distribution(module) for module in foreign}


OWN = sys.stdlib_module_names | {PACKAGE.name}


def modules_of(tree: ast.AST) -> Iterator[str]:
    """The modules that are imported, with the names that may be modules themselves."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def to_distribution(module: str) -> str:
    """The distribution that has a module: of the longest name that is listed, else of the module's own."""
    parts = module.split(".")
    names = [".".join(parts[:length]) for length in range(len(parts), 0, -1)]
    listed = next((DISTRIBUTIONS[name] for name in names if name in DISTRIBUTIONS), None)
    return listed or to_name(parts[0])


def to_name(name: str) -> str:
    """A name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


CORE_FILES = [file for file in PACKAGE.rglob("*.py") if SANDBOX not in file.parents]
SANDBOX_FILES = list(SANDBOX.rglob("*.py"))


def test_what_the_package_imports_is_declared() -> None:
    """Nothing is used that is there only because something else brings it."""
    extras = declared("adbc").keys() | declared("delta").keys() | declared("iceberg").keys()
    brought = BROUGHT_BY_AIRFLOW | BROUGHT_BY_PROVIDERS
    assert imported(CORE_FILES) - brought - declared().keys() - extras == set()


@pytest.mark.parametrize(("extra", "file"), [("delta", "lake.py"), ("iceberg", "lake.py")])
def test_each_table_format_has_an_extra(extra: str, file: str) -> None:
    """What reads a table format is brought by an extra, and is imported nowhere but where tables are read."""
    others = [one for one in CORE_FILES if one.name != file]
    assert declared(extra).keys() <= imported(PACKAGE.rglob(file))
    assert not declared(extra).keys() & imported(others)


def test_what_is_declared_is_imported() -> None:
    """Nothing is installed for nothing."""
    assert declared().keys() - imported(CORE_FILES) == set()


def test_the_sandbox_has_an_extra_of_its_own() -> None:
    """The extra has exactly what the sandbox imports beyond what the package needs anyway."""
    assert imported(SANDBOX_FILES) - declared().keys() == declared("sandbox").keys()


def test_the_set_up_has_the_sandbox() -> None:
    """Whoever sets the project up for development gets the sandbox's extra as well."""
    assert declared("dev")["airflow-mailchimp-export"].extras == {"delta", "iceberg", "test"}
    assert declared("test")["airflow-mailchimp-export"].extras == {"sandbox"}


@pytest.mark.parametrize(
    "extra",
    [
        None,
        "delta",
        "iceberg",
        "sandbox",
        "dev",
        "postgres",
        "mysql",
        "adbc",
        "celery",
        "services",
        "release",
        "site",
    ],
)
def test_the_pinned_versions_are_allowed(extra: str | None) -> None:
    """Each requirement allows the version that constraints.txt pins."""
    assert beyond("constraints.txt", extra) == []


@pytest.mark.parametrize("extra", [None, "sandbox", "s3", "azure", "gcs", "celery", "postgres", "stores"])
def test_the_versions_pinned_for_object_stores_are_allowed(extra: str | None) -> None:
    """Each requirement allows the version with which the tests of object stores run."""
    assert beyond("constraints-stores.txt", extra) == []


def beyond(constraints: str, extra: str | None) -> list[str]:
    """What a file pins to a version that the project does not allow."""
    lines = (REPOSITORY / constraints).read_text(encoding="utf-8").splitlines()
    pinned = {to_name(name): version for name, _, version in (line.partition("==") for line in lines)}
    needed = {name: one for name, one in declared(extra).items() if name != "airflow-mailchimp-export"}
    return [name for name, one in needed.items() if not one.specifier.contains(pinned[name])]


@pytest.mark.parametrize("module", ["starlette", "uvicorn", "httptools"])
def test_the_sandbox_without_its_extra(module: str) -> None:
    """Without one of its dependencies, starting the sandbox says which extra brings it."""
    code = (
        f"import runpy, sys; sys.modules[{module!r}] = None; "
        "runpy.run_module('airflow_mailchimp_export.sandbox', run_name='__main__', alter_sys=True)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=REPOSITORY
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (
        1,
        "",
        f"The sandbox needs {module}, which is not installed: pip install 'airflow-mailchimp-export[sandbox]'\n",
    )
