"""``python -m airflow_mailchimp_export.sandbox``."""

from __future__ import annotations

import argparse
import signal
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from types import FrameType

from airflow_mailchimp_export.sandbox.account import AUDIENCE_ID, Account
from airflow_mailchimp_export.sandbox.fault_plan import PlannedFault
from airflow_mailchimp_export.sandbox.raw import load, read_rows
from airflow_mailchimp_export.sandbox.settings import OPTIONS, Option, Settings, to_setting

try:
    from airflow_mailchimp_export.sandbox.server import bind, spare_the_collector, to_server
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
    for option in OPTIONS.values():
        name = f"--{option.name.replace('_', '-')}"
        if option.kind is bool:
            switch = argparse.BooleanOptionalAction
            parser.add_argument(name, action=switch, default=option.default, help=option.explained)
        else:
            parser.add_argument(name, default=option.default, help=_explained(option))
    return parser


def to_settings(given: argparse.Namespace) -> Settings:
    """The settings of the command line."""
    values = {name: getattr(given, name) for name in OPTIONS}
    return Settings(**{name: to_setting(name, value) for name, value in values.items()})


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
    parser = to_parser()
    given = parser.parse_args(arguments)
    try:
        account = to_account(given)
        listener = bind(given.host, given.port)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    spare_the_collector()
    server = to_server(account, listener)

    def stop(number: int, frame: FrameType | None) -> None:
        server.should_exit = True

    # The server puts its own handlers in this place, and raises the signal again when it has stopped.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    print(f"sandbox ready: url={account.url} key={account.settings.key} audience={AUDIENCE_ID}", flush=True)
    server.run([listener])


def _explained(option: Option) -> str:
    choices = f" ({', '.join(option.kind)})" if issubclass(_class(option), StrEnum) else ""
    default = ",".join(option.default) if isinstance(option.default, tuple) else option.default
    return f"{option.explained}{choices}; default: {default}"


def _class(option: Option) -> type:
    return option.kind if isinstance(option.kind, type) else tuple


if __name__ == "__main__":
    main()
