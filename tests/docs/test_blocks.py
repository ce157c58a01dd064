"""What stands in blocks of code is run, or at least taken by the program that it is for."""

from __future__ import annotations

import configparser
import json
import shlex
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from airflow_mailchimp_export.accounting.report import Report
from airflow_mailchimp_export.fields.field_map import parse_field_map
from airflow_mailchimp_export.options import ExportOptions
from airflow_mailchimp_export.provider_info import get_provider_info
from airflow_mailchimp_export.settings.connection import ConnectionSettings
from airflow_mailchimp_export.settings.insights import InsightsSettings
from airflow_mailchimp_export.settings.segments import parse_segments
from tests.docs.pages import PAGES, REPOSITORY, Block, Page, blocks, names, page, spans

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun
    from airflow.sdk import DAG

    from scripts.sandbox_service import Sandbox

LAKE = "s3://lake/segments"
READERS: dict[str, Callable[[Any], object]] = {
    "segments": parse_segments,
    "field_map": parse_field_map,
    "options": ExportOptions.from_value,
}
DAG_BLOCKS = [block for block in blocks("python") if "with DAG(" in block.code]
OTHER_BLOCKS = [block for block in blocks("python") if "with DAG(" not in block.code]
COUNTS = ("merged", "rejected", "suppressed", "unchanged", "created", "updated", "unconfirmed", "not_sent")


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """A folder with two segments, which have a person in common."""
    for name, emails in {"newsletter": ["ada", "grace"], "vip": ["ada"]}.items():
        (tmp_path / name).mkdir()
        table = pa.table(
            {
                "email": [f"{email}@inkwell.invalid" for email in emails],
                "first_name": emails,
                "last_name": [None] * len(emails),
            }
        )
        pq.write_table(table, tmp_path / name / "part.parquet")
    return tmp_path


@pytest.fixture
def crm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A query, in the database crm, of the person whom both segments have."""
    path = tmp_path / "crm.db"
    monkeypatch.setenv("AIRFLOW_CONN_CRM", json.dumps({"conn_type": "sqlite", "host": str(path)}))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("create table customers (email text, first_name text, bought date)")
        connection.execute("insert into customers values ('ada@inkwell.invalid', 'ada', '2020-01-01')")
        connection.commit()
    return "select email, first_name from customers where bought < :since"


@pytest.mark.parametrize("block", DAG_BLOCKS, ids=str)
def test_dags(
    block: Block,
    lake: Path,
    crm: str,
    mailchimp: Sandbox,
    run_dag: Callable[[DAG], DagRun],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Every DAG that is shown exports what its segments hold, and none of its tasks logs who that is."""
    from airflow.dag_processing.dagbag import DagBag

    folder = lake / "dags"
    folder.mkdir()
    (folder / "shown.py").write_text(block.code.replace(LAKE, str(lake)))
    (folder / "vip.sql").write_text(crm)
    bag = DagBag(folder)
    assert bag.import_errors == {}
    (dag,) = bag.dags.values()
    with caplog.at_level("INFO"):
        assert run_dag(dag).state == "success"
    written = caplog.text + "".join(capfd.readouterr())
    assert "Export " in written
    assert "@inkwell" not in written
    members = {member["email"]: set(member["tags"]) for member in mailchimp.members()}
    vip = {"VIP"} if "VIP" in block.code else set()
    newsletter = {"Newsletter"} if "Newsletter" in block.code else set()
    wanted = {"ada@inkwell.invalid": vip | newsletter, "grace@inkwell.invalid": newsletter}
    assert members == {email: tags for email, tags in wanted.items() if tags}


@pytest.mark.parametrize("block", OTHER_BLOCKS, ids=str)
def test_python(block: Block) -> None:
    """Every other piece of Python runs, and what it shows of an export is taken."""
    names: dict[str, Any] = {"__name__": "shown"}
    exec(compile(block.code, str(block), "exec"), names)
    for name in names.keys() & READERS:
        READERS[name](names[name])


@pytest.mark.parametrize("block", blocks("json"), ids=str)
def test_json(block: Block) -> None:
    """Every piece of JSON is one, and connections and reports are read as such."""
    content = json.loads(block.code)
    if "conn_type" in content:
        check_connection(content)
    if "counts" in content:
        assert Report.from_json(block.code.encode()).counts.adds_up


def check_connection(content: dict[str, Any]) -> None:
    """Make sure that a connection has no mistakes."""
    if content["conn_type"] == "customer_insights":
        standard = {name: content.get(name) for name in ("login", "password", "host", "port")}
        assert InsightsSettings.from_parts(**standard, extra=content["extra"]).unknown_extra == ()
        return
    assert content["conn_type"] == "mailchimp"
    parts = {name: content.get(name) for name in ("password", "host", "port", "schema")}
    settings = ConnectionSettings.from_parts(**parts, extra=content.get("extra", {}))
    assert settings.unknown_extra == ()


@pytest.mark.parametrize("block", blocks("ini"), ids=str)
def test_ini(block: Block) -> None:
    """Every piece of Airflow's configuration names options that the provider has."""
    shown = configparser.ConfigParser()
    shown.read_string(block.code)
    config = get_provider_info()["config"]
    assert shown.sections()
    for section in shown.sections():
        assert set(shown[section]) <= set(config[section]["options"])


def _commands() -> Iterator[tuple[str, list[str]]]:
    """Yield where a command stands, and its words."""
    for block in blocks("console"):
        for entry in ("\n" + block.code).split("\n$ ")[1:]:
            lines = entry.split("\n")
            for end in range(1, len(lines) + 1):
                text = "\n".join(lines[:end])
                if not text.endswith("\\") and text.count("'") % 2 == 0:
                    yield str(block), shlex.split(text.replace("\\\n", " "))
                    break


COMMANDS = list(_commands())


@pytest.mark.parametrize(
    ("where", "words"), COMMANDS, ids=[f"{where} {words[0]}" for where, words in COMMANDS]
)
def test_commands(where: str, words: list[str]) -> None:
    """Every command is one that its program takes."""
    while "=" in words[0]:
        words = words[1:]
    check = CHECKS.get(Path(words[0]).name)
    assert check, f"{where}: nothing checks {words[0]}"
    check(words[1:])


def check_make(words: list[str]) -> None:
    """Look the target up."""
    targets = (REPOSITORY / "Makefile").read_text()
    assert f"\n{words[0]}:" in targets


def check_airflow(words: list[str]) -> None:
    """Let Airflow read the command line, and read the connection or the parameters in it."""
    from airflow.cli.cli_parser import get_parser

    given = get_parser().parse_args(words)
    if words[:2] == ["connections", "add"]:
        extra = json.loads(given.conn_extra)
        check_connection(
            {"conn_type": given.conn_type, "password": given.conn_password, "extra": extra}
            | {"port": given.conn_port}
        )
    if words[:2] == ["dags", "trigger"]:
        form = page("export").table("By hand and on a schedule", "key", "default", "asks")
        assert set(json.loads(given.conf)) <= set(names(form))


def check_python(words: list[str]) -> None:
    """Let the module read its options."""
    if words[:2] == ["-m", "venv"]:
        return
    assert words[0] == "-m"
    PARSERS[words[1]](words[2:])


def check_pip(words: list[str]) -> None:
    """Only this package, by name or from the checkout, is installed."""
    if words[0] == "install":
        assert set(words[1:]) <= {"-e", ".", ".[dev,services]", "airflow-mailchimp-export"}
    else:
        assert words == ["freeze", "--exclude-editable"]


def check_copy(words: list[str]) -> None:
    """Only what there is can be copied."""
    assert (REPOSITORY / words[0]).exists()


def check_mode(words: list[str]) -> None:
    """Only settings are kept to oneself."""
    assert words == ["600", ".env"]


def check_docker(words: list[str]) -> None:
    """Only what docker-compose.yaml has is started."""
    assert words[0] == "compose"
    services = yaml.safe_load((REPOSITORY / "docker-compose.yaml").read_text())["services"]
    profiles = {profile for service in services.values() for profile in service.get("profiles", ())}
    assert set(words[1:]) <= {"--profile", "up", "--build", *profiles}


def check_export(words: list[str]) -> None:
    """Read the connection in the variable, or look the variable up in the shipped DAGs' configuration."""
    name, _, value = words[0].partition("=")
    if name.startswith("MAILCHIMP_"):
        assert f"${{{name}:-" in (REPOSITORY / "dags" / "exports.yaml").read_text()
        return
    assert name.startswith("AIRFLOW_CONN_")
    check_connection(json.loads(value))


def _read_sandbox(words: list[str]) -> object:
    from airflow_mailchimp_export.sandbox.__main__ import to_parser
    from airflow_mailchimp_export.sandbox.customer_insights import command

    if words[:1] == [command.NAME]:
        return command.to_parser().parse_args(words[1:])
    return to_parser().parse_args(words)


def _read_config(words: list[str]) -> object:
    from airflow_mailchimp_export.config.__main__ import to_parser

    # A sentence names the command alone.
    return to_parser().parse_args(words) if words else None


def _read_benchmarks(words: list[str]) -> object:
    from benchmarks.__main__ import to_parser

    return to_parser().parse_args(words)


def _read_insights(words: list[str]) -> object:
    from airflow_mailchimp_export.customer_insights.__main__ import to_parser

    # A sentence may name the command without a connection.
    return to_parser().parse_args(words if len(words) > 1 else [*words, "ci"])


def _read_forget(words: list[str]) -> object:
    from airflow_mailchimp_export import forget

    # A sentence names the command alone.
    with patch.object(forget, "forget", return_value=iter(())):
        return forget.main(words or ["ada@inkwell.invalid"])


def _read_up(words: list[str]) -> object:
    from scripts.up import parse

    return parse(words)


def _read_withdraw(words: list[str]) -> object:
    from airflow_mailchimp_export.withdraw import to_parser

    return to_parser().parse_args(words or ["newsletter"])


PARSERS: dict[str, Callable[[list[str]], object]] = {
    "airflow_mailchimp_export.config": _read_config,
    "airflow_mailchimp_export.customer_insights": _read_insights,
    "airflow_mailchimp_export.forget": _read_forget,
    "airflow_mailchimp_export.sandbox": _read_sandbox,
    "airflow_mailchimp_export.withdraw": _read_withdraw,
    "benchmarks": _read_benchmarks,
    "scripts.up": _read_up,
}
CHECKS: dict[str, Callable[[list[str]], None]] = {
    "make": check_make,
    "airflow": check_airflow,
    "python": check_python,
    "python3": check_python,
    "pip": check_pip,
    "cp": check_copy,
    "chmod": check_mode,
    "docker": check_docker,
    "export": check_export,
}


def test_commands_in_prose() -> None:
    """Every command line of a module of ours that stands in a sentence has only options that exist."""
    seen = 0
    for one in PAGES:
        for span in spans(one.prose):
            words = span.split()
            if words[:1] and Path(words[0]).name == "python" and words[1:3][-1:] and words[2] in PARSERS:
                seen += 1
                PARSERS[words[2]](words[3:])
    assert seen


def test_demo() -> None:
    """The account that the README shows adds up, and is that of the report that is shown."""
    lines = next(block.code for block in Page("README.md").blocks if "rows read" in block.code).splitlines()
    shown = {
        name.strip().replace(" ", "_"): int(number.replace(",", ""))
        for name, bar, number in (line.partition("│") for line in lines)
        if bar
    }
    assert shown["rows_read"] == sum(shown[name] for name in COUNTS)
    sample = next(block for block in page("report").blocks if block.language == "json")
    assert json.loads(sample.code)["counts"] == shown


def test_sum() -> None:
    """The sum that the pages show is the one that the report checks."""
    told = [
        line for block in blocks("text") for line in block.code.splitlines() if line.startswith("rows_read")
    ]
    assert told
    assert {tuple(line.removeprefix("rows_read = ").split(" + ")) for line in told} == {COUNTS}
