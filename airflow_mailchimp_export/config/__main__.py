"""Checks and shows configurations of exports, without Airflow: for pre-commit, CI, and whoever wants to know."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from airflow_mailchimp_export.config.entries import Export
from airflow_mailchimp_export.config.loading import load
from airflow_mailchimp_export.config.models import Configuration
from airflow_mailchimp_export.config.schema import json_schema_text


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what is asked for; 0 if no file has a mistake."""
    wanted = to_parser().parse_args(arguments)
    if wanted.command == "schema":
        sys.stdout.write(json_schema_text())
        return 0
    show = show_exports if wanted.command == "show" else count_entries
    mistakes = 0
    for file in wanted.files:
        loaded = load(file, imports=wanted.command == "check")
        if loaded.configuration and (wanted.command == "show" or not loaded.mistakes):
            sys.stdout.write(show(file, loaded.configuration))
        sys.stderr.writelines(f"{mistake}\n" for mistake in loaded.mistakes)
        mistakes += len(loaded.mistakes)
    return 1 if mistakes else 0


def to_parser() -> argparse.ArgumentParser:
    """What can be asked for."""
    parser = argparse.ArgumentParser(prog="python -m airflow_mailchimp_export.config", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    check = commands.add_parser("check", help="tell every mistake, with its line and its remedy")
    show = commands.add_parser(
        "show", help="print what each export comes to, with all defaults and variables"
    )
    for command in (check, show):
        command.add_argument("files", nargs="+", type=Path, metavar="FILE", help="such as dags/exports.yaml")
    commands.add_parser("schema", help="print the JSON Schema of such files, for editors")
    return parser


def count_entries(file: Path, configuration: Configuration) -> str:
    """Say that a file has no mistakes, and what is in it."""
    return (
        f"{file}: no mistakes; segments: {len(configuration.segments)}, exports: {len(configuration.exports)}, "
        f"of them enabled: {len(configuration.enabled)}\n"
    )


def show_exports(file: Path, configuration: Configuration) -> str:
    """Write what each export comes to, as YAML."""
    exports = {name: _shown(configuration, export) for name, export in configuration.exports.items()}
    text = yaml.safe_dump({"exports": exports}, sort_keys=False, allow_unicode=True, width=110)
    return f"# {file}\n{text}"


def _shown(configuration: Configuration, export: Export) -> dict[str, Any]:
    values = export.model_dump(mode="json")
    values["options"].pop("profile_id")
    for name in ("email", "first_name", "last_name", "fields"):
        del values[name]
    segments = {
        name: _shown_segment(configuration, key) for key, name in configuration.names_of(export).items()
    }
    del values["segments"]
    return {**values, "field_map": export.field_map, "segments": segments}


def _shown_segment(configuration: Configuration, key: str) -> dict[str, Any]:
    query = configuration.query(key)
    return {"key": key, "source": configuration.source(key), **({"query": query} if query else {})}


if __name__ == "__main__":
    sys.exit(main())
