"""Starts Airflow with its UI, and the sandbox, and runs until it is stopped."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from urllib.parse import urlsplit

from scripts.airflow_environment import PASSWORD, USER
from scripts.airflow_stack import REPOSITORY, AirflowStack
from scripts.history import make_history, settings_of
from scripts.sandbox_service import Sandbox, start_sandbox
from scripts.services import ServiceError, free_port
from scripts.steps import Steps, end_on_sigterm, undisturbed

HOME = REPOSITORY / ".up"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until Ctrl-C or SIGTERM; 0 if that is what ended it."""
    wanted = parse(arguments)
    end_on_sigterm()
    steps = Steps()
    cleanup = ExitStack()
    try:
        return run(steps, cleanup, wanted)
    except ServiceError as error:
        steps.say(f"Failed: {error}")
        return 1
    except (KeyboardInterrupt, SystemExit):
        return 0
    finally:
        steps.say("Stopping Airflow and the sandbox")
        undisturbed(cleanup)
        steps.say("Stopped")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Which ports are wanted."""
    parser = argparse.ArgumentParser(prog="make up", description=__doc__)
    parser.add_argument("--airflow-port", type=int, default=8080)
    parser.add_argument("--sandbox-port", type=int, default=8025)
    return parser.parse_args(arguments)


def run(steps: Steps, cleanup: ExitStack, wanted: argparse.Namespace) -> int:
    """Start everything, say where it is, and watch over it."""
    shutil.rmtree(HOME, ignore_errors=True)
    sandbox_port = choose_port(steps, "The sandbox", wanted.sandbox_port)
    steps.say("Starting the sandbox")
    sandbox = start_sandbox(
        HOME / "sandbox.log", port=sandbox_port, members=REPOSITORY / "samples" / "audience.csv"
    )
    cleanup.callback(sandbox.stop)
    segments = HOME / "segments"
    port = choose_port(steps, "Airflow", wanted.airflow_port)
    airflow = AirflowStack(
        HOME / "airflow", port=port, settings={**settings_of(segments), **sandbox.sign_in()}
    )
    cleanup.callback(airflow.stop)
    start_airflow(steps, airflow, sandbox)
    announce(airflow, sandbox)
    runs = make_history(airflow, segments)
    steps.say(f"The exports of samples/history have run, {runs} times in all")
    watch(airflow, sandbox)
    return 0


def choose_port(steps: Steps, name: str, preferred: int) -> int:
    """The preferred port, or where it is taken another one, which is said."""
    port = free_port(preferred)
    if port != preferred:
        steps.say(f"Port {preferred} is taken; {name} uses {port}")
    return port


def start_airflow(steps: Steps, airflow: AirflowStack, sandbox: Sandbox) -> None:
    """Start Airflow, and keep the connection where its UI can change it."""
    steps.say("Making Airflow's metastore")
    airflow.migrate()
    steps.say("Starting Airflow's API server, scheduler, DAG processor and triggerer")
    airflow.start()
    airflow.wait_until_healthy()
    connection = sandbox.connection(export_user=USER)
    body = {
        **connection,
        "connection_id": "mailchimp_default",
        "port": urlsplit(sandbox.url).port,
        "extra": json.dumps(connection["extra"]),
    }
    airflow.call("POST", "/connections", body)
    steps.say("Everything is up")


def announce(airflow: AirflowStack, sandbox: Sandbox) -> None:
    """Say where everything is."""
    print(
        f"""
    Airflow   {airflow.url}   user {USER}, password {PASSWORD}
    Exports   {airflow.url}/plugin/mailchimp
    Sandbox   {sandbox.url}   key {sandbox.key}, audience {sandbox.audience_id}

    Three small exports run a few times now, so that there is something to see. For the shipped one, switch on
    mailchimp_segment_export, then customer_segments_refresh: it runs at once, and the export follows.
    Admin, Mailchimp sign-in gives a connection a token in place of a key.
    Ctrl-C stops everything; the next start begins afresh.
""",
        flush=True,
    )


def watch(airflow: AirflowStack, sandbox: Sandbox) -> None:
    """Wait for ever, or until something ends.

    :raises ServiceError: something ended.
    """
    while True:
        for service in (*airflow.services, sandbox.service):
            service.check()
        time.sleep(0.5)


if __name__ == "__main__":
    sys.exit(main())
