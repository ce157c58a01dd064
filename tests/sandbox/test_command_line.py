"""``python -m airflow_mailchimp_export.sandbox``."""

from __future__ import annotations

import gc
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from airflow_mailchimp_export.sandbox.__main__ import main, to_account, to_parser, to_settings
from airflow_mailchimp_export.sandbox.choices import FaultKind
from airflow_mailchimp_export.sandbox.raw import read_rows
from airflow_mailchimp_export.sandbox.serving import bind
from airflow_mailchimp_export.sandbox.settings import OPTIONS, Settings
from tests.kit.waiting import PATIENCE

DOCUMENT = Path(__file__).parents[2] / "docs" / "sandbox.md"
ROWS = [
    {
        "email": "ada@people.example",
        "status": "subscribed",
        "fname": "Ada",
        "tags": "VIP;New",
        "compliance": None,
    },
    {
        "email": "bob@people.example",
        "status": "unsubscribed",
        "fname": None,
        "tags": None,
        "compliance": True,
    },
]


@contextmanager
def started(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """The process, and what its ready line says."""
    command = [sys.executable, "-m", "airflow_mailchimp_export.sandbox", "--port", "0", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            yield process, dict(re.findall(r"(\w+)=(\S+)", process.stdout.readline()))
        finally:
            process.terminate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_start_and_stop(number: signal.Signals, tmp_path: Path) -> None:
    """It says where it is, serves the members of a file, and stops cleanly on either signal."""
    members = tmp_path / "members.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), members)
    key = "f" * 32 + "-us7"
    with started("--key", key, "--members", str(members), "--role", "viewer") as (process, said):
        assert (said["key"], said["audience"]) == (key, "a1b2c3d4e5")
        answer = requests.get(f"{said['url']}/3.0/", auth=("x", key), timeout=PATIENCE).json()
        assert (answer["role"], answer["total_subscribers"]) == ("viewer", 1)
        process.send_signal(number)
        assert (process.wait(PATIENCE), process.stderr and process.stderr.read()) == (0, "")


def test_csv(tmp_path: Path) -> None:
    """Members can come from a CSV file as well."""
    members = tmp_path / "members.csv"
    members.write_text("Email,Status,Compliance,Tags\nada@people.example,unsubscribed,true,VIP\n", "utf-8")
    with started("--members", str(members)) as (_, said):
        found = requests.get(f"{said['url']}/sandbox/members", timeout=PATIENCE).json()["members"]
    assert [(one["status"], one["compliance"], one["tags"]) for one in found] == [
        ("unsubscribed", True, ["VIP"])
    ]


def test_next_fault() -> None:
    """Faults can be planned from the start, as many as are named."""
    faults = ("--next-fault", "GET /ping 500", "--next-fault", "GET /lists 404")
    with started(*faults) as (_, said):
        paths = ("/ping", "/lists", "/ping", "/lists")
        auth = ("x", said["key"])
        answers = [requests.get(f"{said['url']}/3.0{path}", auth=auth, timeout=PATIENCE) for path in paths]
    assert [answer.status_code for answer in answers] == [500, 404, 200, 200]


def test_in_this_process(capsys: pytest.CaptureFixture[str]) -> None:
    """Called as a function, it serves until a signal comes, and then returns."""
    with bind("127.0.0.1", 0) as found:
        port = found.getsockname()[1]
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)], gc.get_threshold()

    def stop() -> None:
        with requests.Session() as session:
            session.mount("http://", HTTPAdapter(max_retries=Retry(20, backoff_factor=0.05)))
            assert session.get(f"http://127.0.0.1:{port}/", timeout=PATIENCE).status_code == 200
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)

    with ThreadPoolExecutor(1) as pool:
        stopped = pool.submit(stop)
        main(["--port", str(port)])
        stopped.result()
    signal.signal(signal.SIGTERM, before[0][0])
    signal.signal(signal.SIGINT, before[0][1])
    gc.set_threshold(*before[1])
    assert capsys.readouterr().out.startswith(f"sandbox ready: url=http://127.0.0.1:{port} key=")


def test_rows_of_a_file(tmp_path: Path) -> None:
    """CSV and Parquet hold the same rows, but that all of CSV is text."""
    table, text = tmp_path / "rows.parquet", tmp_path / "rows.csv"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), table)
    text.write_text("email,compliance\nada@people.example,true\n", "utf-8")
    assert list(read_rows(table)) == ROWS
    assert list(read_rows(text)) == [{"email": "ada@people.example", "compliance": "true"}]


@pytest.mark.parametrize(
    "arguments",
    [["--role", "king"], ["--faults", "bad luck"], ["--members", "/nowhere.csv"], ["--latency", "fast"]],
)
def test_bad_option(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """An option that cannot be ends the program with one line that names the value."""
    with pytest.raises(SystemExit) as ended:
        main(["--port", "0", *arguments])
    assert ended.value.code == 2
    assert arguments[1] in capsys.readouterr().err


def test_defaults() -> None:
    """Without options, the settings are the default ones."""
    assert to_settings(to_parser().parse_args([])) == Settings()


def test_options() -> None:
    """Options set what they are named after."""
    given = to_parser().parse_args(["--no-compress", "--double-optin", "--faults", "delay", "--seed", "7"])
    settings = to_settings(given)
    assert (settings.compress, settings.double_optin, settings.seed) == (False, True, 7)
    assert settings.faults == (FaultKind.DELAY,)


def test_account(tmp_path: Path) -> None:
    """The account of the command line begins with the members of a file and with the planned faults."""
    members = tmp_path / "members.csv"
    members.write_text("email,status\nada@people.example,cleaned\n", "utf-8")
    options = ["--members", str(members), "--next-fault", "GET /ping 500 count=2"]
    account = to_account(to_parser().parse_args(options))
    assert [member.email for member in account.audiences["a1b2c3d4e5"].members] == ["ada@people.example"]
    assert [one["count"] for one in account.fault_plan.to_json()] == [2]


def test_every_option_is_documented() -> None:
    """The documentation has a row for every setting, and says what --help says."""
    text = DOCUMENT.read_text("utf-8")
    missing = [name for name, option in OPTIONS.items() if f"| `{name}` | {option.explained} |" not in text]
    assert missing == []
