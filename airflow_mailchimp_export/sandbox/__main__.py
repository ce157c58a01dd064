"""``python -m airflow_mailchimp_export.sandbox``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from airflow_mailchimp_export.sandbox.account import AUDIENCE_ID, Account
from airflow_mailchimp_export.sandbox.fault_plan import PlannedFault
from airflow_mailchimp_export.sandbox.options import add_options, given_values
from airflow_mailchimp_export.sandbox.raw import load, read_rows
from airflow_mailchimp_export.sandbox.settings import OPTIONS, Settings

try:
    from airflow_mailchimp_export.sandbox.customer_insights import command as customer_insights
    from airflow_mailchimp_export.sandbox.server import to_server
    from airflow_mailchimp_export.sandbox.serving import bind, serve, spare_the_collector
except ModuleNotFoundError as error:
    lacking = str(error.name).partition(".")[0]
    raise SystemExit(
        f"The sandbox needs {lacking}, which is not installed: "
        "pip install 'airflow-mailchimp-export[sandbox]'"
    ) from error

DEFAULT_PORT = 8025


def to_parser() -> argparse.ArgumentParser:
    """One option for each setting, and those of the server."""
    parser = argparse.ArgumentParser(
        prog="python -m airflow_mailchimp_export.sandbox",
        description="A local imitation of Mailchimp's Marketing API v3.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="where to listen (default: %(default)s)")
    parser.add_argument(
        "--port", type=int, default=DEFAULT_PORT, help="0: any free one (default: %(default)s)"
    )
    parser.add_argument("--members", type=Path, help="members to begin with: a .csv or .parquet file")
    planned = "a fault for the next matching call: 'METHOD PATH ANSWER [count=N] [skip=N] [applied=true]'"
    parser.add_argument("--next-fault", action="append", default=[], metavar="FAULT", help=planned)
    add_options(parser, OPTIONS)
    return parser


def to_settings(given: argparse.Namespace) -> Settings:
    """The settings of the command line."""
    return Settings(**given_values(OPTIONS, given))


def to_account(given: argparse.Namespace) -> Account:
    """The account of the command line, with its members and its planned faults.

    :raises ValueError: an option cannot be.
    :raises OSError: the members cannot be read.
    """
    account = Account(to_settings(given))
    for text in given.next_fault:
        account.fault_plan.add(PlannedFault.from_text(text))
    if given.members:
        load(account.audiences[AUDIENCE_ID], read_rows(given.members), account.now())
    return account


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM or SIGINT."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if list(arguments[:1]) == [customer_insights.NAME]:
        customer_insights.main(arguments[1:])
        return
    parser = to_parser()
    given = parser.parse_args(arguments)
    try:
        account = to_account(given)
        listener = bind(given.host, given.port)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    spare_the_collector()
    server = to_server(account, listener)
    ready = f"sandbox ready: url={account.url} key={account.settings.key} audience={AUDIENCE_ID}"
    serve(server, listener, ready)


if __name__ == "__main__":
    main()
