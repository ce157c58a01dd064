"""``python -m airflow_mailchimp_export.sandbox customer-insights``."""

from __future__ import annotations

import gc
import re
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from airflow_mailchimp_export.sandbox.__main__ import main
from airflow_mailchimp_export.sandbox.customer_insights.choices import FaultKind
from airflow_mailchimp_export.sandbox.customer_insights.command import to_organisation, to_parser
from airflow_mailchimp_export.sandbox.customer_insights.settings import OPTIONS, Settings
from airflow_mailchimp_export.sandbox.serving import bind
from tests.kit.waiting import PATIENCE

REPOSITORY = Path(__file__).parents[3]
DOCUMENT = REPOSITORY / "docs" / "customer-insights-sandbox.md"
SAMPLE = REPOSITORY / "samples" / "profiles.parquet"
NAME = "customer-insights"


def test_start_and_stop(tmp_path: Path) -> None:
    """It says where it is and who may come in, writes its export, serves the profiles of a file, and stops cleanly."""
    command = [sys.executable, "-m", "airflow_mailchimp_export.sandbox", NAME, "--port", "0"]
    command += ["--profiles", str(SAMPLE), "--export-folder", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        said = dict(re.findall(r"(\w+)=(\S+)", process.stdout.readline()))
        found = requests.get(f"{said['url']}/sandbox/overview", timeout=PATIENCE).json()
        process.send_signal(signal.SIGTERM)
        assert (process.wait(PATIENCE), process.stderr and process.stderr.read()) == (0, "")
    assert said.keys() == {"url", "tenant", "client", "secret", "export"}
    assert (Path(said["export"]) / "model.json").exists()
    assert found["profiles"] == 20_000
    assert {one["name"] for one in found["segments"]} == {"VIP", "Newsletter", "Recent_buyers"}


def test_in_this_process(capsys: pytest.CaptureFixture[str]) -> None:
    """Called as a function, it serves until a signal comes, and then returns."""
    with bind("127.0.0.1", 0) as found:
        port = found.getsockname()[1]
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)], gc.get_threshold()

    def stop() -> str:
        with requests.Session() as session:
            # While nobody listens yet, as well for a POST.
            session.mount("http://", HTTPAdapter(max_retries=Retry(20, backoff_factor=0.05)))
            answer = session.post(f"http://127.0.0.1:{port}/sandbox/export", timeout=PATIENCE)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
        return answer.text

    with ThreadPoolExecutor(1) as pool:
        stopped = pool.submit(stop)
        main([NAME, "--port", str(port), "--generate", "5"])
        assert "There is no folder for exports" in stopped.result()
    signal.signal(signal.SIGTERM, before[0][0])
    signal.signal(signal.SIGINT, before[0][1])
    gc.set_threshold(*before[1])
    assert capsys.readouterr().out.startswith(
        f"customer-insights sandbox ready: url=http://127.0.0.1:{port} "
    )


def test_defaults() -> None:
    """Without options, the settings are the default ones."""
    assert to_organisation(to_parser().parse_args(["--generate", "5"])).settings == Settings()


def test_options(tmp_path: Path) -> None:
    """Options set what they are named after; profiles come from a file, segments from their rules."""
    profiles = tmp_path / "profiles.csv"
    profiles.write_text(
        "customer_id,E-Mail,age\nC1,ada@people.example,36\nC2,bo@people.example,51\n", "utf-8"
    )
    options = [
        "--profiles",
        str(profiles),
        "--segment",
        "Under_40=age < 40",
        "--faults",
        "cut,reset",
        "--no-compress",
    ]
    organisation = to_organisation(to_parser().parse_args([*options, "--next-fault", "GET /** 500 count=2"]))
    settings = organisation.settings
    assert (settings.faults, settings.compress) == ((FaultKind.CUT, FaultKind.RESET), False)
    assert [one["count"] for one in organisation.fault_plan.to_json()] == [2]
    assert [attribute.wire for attribute in organisation.store.attributes] == [
        "msdynci_shop_customers_customerid",
        "msdynci_email",
        "msdynci_age",
    ]
    found = organisation.store.connection.execute("SELECT segments FROM membership").fetchall()
    assert found == [('{"Segments":["Under_40"]}',)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--user", "king"], "king"),
        (["--faults", "bad luck"], "bad luck"),
        (["--profiles", "/nowhere.parquet"], "nowhere"),
        (["--profiles", "/nowhere.xlsx"], "nowhere.xlsx"),
        (["--segment", "Under 40=age < 40"], "Under 40"),
        (["--segment", "Under_40=age <"], "loaded"),
        (["--next-fault", "GET"], "GET"),
    ],
)
def test_bad_option(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An option that cannot be ends the program with a message that names it."""
    with pytest.raises(SystemExit) as ended:
        main([NAME, "--port", "0", *arguments])
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_columns_that_would_have_one_name_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two columns of the profiles that would be one in Dataverse are a mistake."""
    profiles = tmp_path / "profiles.csv"
    profiles.write_text("first_name,FirstName\nAda,Ada\n", "utf-8")
    with pytest.raises(SystemExit):
        main([NAME, "--profiles", str(profiles)])
    assert "msdynci_firstname" in capsys.readouterr().err


def test_every_option_is_documented() -> None:
    """The documentation has a row for every setting, and says what --help says."""
    text = DOCUMENT.read_text("utf-8")
    missing = [name for name, option in OPTIONS.items() if f"| `{name}` | {option.explained} |" not in text]
    assert missing == []
    assert [kind for kind in FaultKind if f"| `{kind}` |" not in text] == []
