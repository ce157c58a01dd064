"""docs/architecture.md and the README name files, classes and options that there are, and leave none out."""

from __future__ import annotations

import argparse
import re
from importlib import import_module

from airflow_mailchimp_export import errors
from airflow_mailchimp_export.sandbox.__main__ import to_parser as sandbox_parser
from airflow_mailchimp_export.sandbox.customer_insights.command import to_parser as customer_insights_parser
from airflow_mailchimp_export.withdraw import to_parser as withdraw_parser
from benchmarks.__main__ import to_parser as benchmarks_parser
from tests.docs.pages import PAGES, REPOSITORY, Page, names, page, spans

PACKAGE = REPOSITORY / "airflow_mailchimp_export"
OTHER_FLAGS = {"--airflow-port", "--sandbox-port", "--conf", "--build", "--profile"}
"""Those of `scripts.up`, which test_blocks reads, Airflow's, and Docker's."""


def test_rooms() -> None:
    """The table has every room and every module beside the rooms, each once."""
    entries = {
        path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    rows = page("architecture").table("The rooms", "room", "what it is for", "it may import")
    assert sorted(name for row in rows for name in spans(row[0])) == sorted(entries - {"__init__"})


def test_places_of_changes() -> None:
    """How to change things names at most three files of the package for each of sixteen changes, and all exist."""
    chapter = page("architecture").text.partition("## How to change things")[2].partition("## Words")[0]
    changes = [change.partition("\n") for change in chapter.split("### ")[1:]]
    assert len(changes) == 16
    for _, _, text in changes:
        files = {span for span in spans(text) if re.fullmatch(r"[\w/]+\.(py|sql)", span)}
        assert all((PACKAGE / file).exists() or (REPOSITORY / file).exists() for file in files)
        assert 1 <= len({file for file in files if not file.startswith(("tests/", "sandbox/"))}) <= 3


def test_exceptions() -> None:
    """The exceptions exist."""
    table = page("architecture").table("The flow", "exception", "what to do", "Airflow retries")
    assert all(issubclass(getattr(errors, name), errors.ExportError) for name in names(table))


def test_code_in_prose() -> None:
    """Every constant and class that the page names stands in the package."""
    code = "\n".join(path.read_text() for path in sorted(PACKAGE.rglob("*.py")))
    spelled = spans(page("architecture").prose)
    named = {span for span in spelled if re.fullmatch(r"_?[A-Z][A-Z_]{4,}|[A-Z][a-z]+[A-Z][A-Za-z]+", span)}
    assert named
    assert {name for name in named if not re.search(rf"\b{name}\b", code)} == set()


def test_modules() -> None:
    """The README names modules and classes that there are."""
    for name in names(Page("README.md").table("What is in it", "module", "for")):
        module, _, attribute = name.rpartition(".")
        assert import_module(name) if attribute.islower() else hasattr(import_module(module), attribute)


def test_flags() -> None:
    """Every option that stands in a sentence is one of a program."""
    parsers = (sandbox_parser(), customer_insights_parser(), benchmarks_parser(), withdraw_parser())
    known = set().union(*map(flags, parsers)) | OTHER_FLAGS
    spelled = (span for one in PAGES for span in spans(one.prose))
    assert {flag for span in spelled for flag in re.findall(r"(?<!\S)--[a-z-]+", span)} <= known


def test_flags_of_the_benchmarks() -> None:
    """Every option of the benchmarks stands on their page."""
    assert {flag for flag in flags(benchmarks_parser()) if flag not in page("benchmarks").text} == set()


def flags(parser: argparse.ArgumentParser) -> set[str]:
    """Return the options of a program."""
    return {flag for action in parser._actions if action.dest != "help" for flag in action.option_strings}
