"""``python -m airflow_mailchimp_export.sandbox customer-insights``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import duckdb

from airflow_mailchimp_export.sandbox.customer_insights.blob_export import export_path, write_export
from airflow_mailchimp_export.sandbox.customer_insights.faults import PlannedFault
from airflow_mailchimp_export.sandbox.customer_insights.organisation import GENERATED, Organisation
from airflow_mailchimp_export.sandbox.customer_insights.segments import SAMPLE_SEGMENTS, Segment
from airflow_mailchimp_export.sandbox.customer_insights.server import to_server
from airflow_mailchimp_export.sandbox.customer_insights.settings import OPTIONS, Settings
from airflow_mailchimp_export.sandbox.customer_insights.store import from_file, generated
from airflow_mailchimp_export.sandbox.options import add_options, given_values
from airflow_mailchimp_export.sandbox.serving import bind, serve, spare_the_collector

NAME = "customer-insights"
DEFAULT_PORT = 8026


def to_parser() -> argparse.ArgumentParser:
    """One option for each setting, and those of the server and its data."""
    parser = argparse.ArgumentParser(
        prog=f"python -m airflow_mailchimp_export.sandbox {NAME}",
        description="A local imitation of Dynamics 365 Customer Insights - Data.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="where to listen (default: %(default)s)")
    parser.add_argument(
        "--port", type=int, default=DEFAULT_PORT, help="0: any free one (default: %(default)s)"
    )
    profiles = parser.add_mutually_exclusive_group()
    profiles.add_argument("--profiles", type=Path, help="profiles: a .parquet or .csv file, or a glob")
    profiles.add_argument(
        "--generate", type=int, default=GENERATED, help="so many made-up profiles (default: %(default)s)"
    )
    rule = "a segment by its rule in SQL, instead of the sample segments; as often as is needed"
    parser.add_argument("--segment", action="append", default=[], metavar="NAME=CONDITION", help=rule)
    parser.add_argument(
        "--export-folder", type=Path, help="where the file export is written at the start and at each refresh"
    )
    planned = "a fault for the next matching call: 'METHOD PATH ANSWER [count=N] [skip=N]'"
    parser.add_argument("--next-fault", action="append", default=[], metavar="FAULT", help=planned)
    add_options(parser, OPTIONS)
    return parser


def to_organisation(given: argparse.Namespace) -> Organisation:
    """The organisation of the command line, with its data and its planned faults.

    :raises ValueError: an option cannot be.
    :raises OSError: the profiles cannot be read.
    """
    settings = Settings(**given_values(OPTIONS, given))
    segments = [Segment.from_text(text) for text in given.segment] or SAMPLE_SEGMENTS
    source = from_file(given.profiles) if given.profiles else generated(given.generate)
    faults = [PlannedFault.from_text(text) for text in given.next_fault]
    try:
        organisation = Organisation(settings, source, segments, given.export_folder)
    except duckdb.Error as error:
        raise ValueError(f"The data cannot be loaded: {error}") from error
    for planned in faults:
        organisation.fault_plan.add(planned)
    write_export(organisation)
    return organisation


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = to_parser()
    given = parser.parse_args(arguments)
    try:
        organisation = to_organisation(given)
        listener = bind(given.host, given.port)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    spare_the_collector()
    serve(to_server(organisation, listener), listener, to_ready(organisation))


def to_ready(organisation: Organisation) -> str:
    """The line that says where it is, and who may come in."""
    settings = organisation.settings
    exported = export_path(organisation)
    return (
        f"{NAME} sandbox ready: url={organisation.url} tenant={settings.tenant_id} "
        f"client={settings.client_id} secret={settings.client_secret}"
        + (f" export={exported}" if exported else "")
    )
