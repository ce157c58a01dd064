"""An export is withdrawn by a command, or by a run of its DAG."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.airflow.conftest import HOME
from tests.airflow.people import row, write_segments
from tests.airflow.runs import context_of, one_task, report_of, result, states

if TYPE_CHECKING:
    from collections.abc import Callable

    from scripts.sandbox_service import Sandbox
    from tests.airflow.conftest import RunDag

PEOPLE = {
    "VIP": [row("ada@brieftaube-post.eu"), row("bo@brieftaube-post.eu")],
    "News": [row("bo@brieftaube-post.eu")],
}
ADDRESS = re.compile(r"[\w.+-]+@[\w-]+\.[a-z]+")


class Terminal(io.StringIO):
    """Somebody at a keyboard."""

    def isatty(self) -> bool:
        """Say that somebody is there."""
        return True


@pytest.fixture
def exported(mailchimp: Sandbox, tmp_path: Path) -> Sandbox:
    """A sandbox with what the export ``newsletter.export`` put there."""
    dag = one_task(
        segments=write_segments(tmp_path, PEOPLE), export_name="newsletter.export", delivery="direct"
    )
    dag.task_dict["export"].execute(context_of(dag.task_dict["export"]))
    assert tags(mailchimp) == {"ada": {"VIP"}, "bo": {"VIP", "News"}}
    return mailchimp


@pytest.fixture
def withdraw(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run the command; ``answer`` is what somebody at a terminal types, and without it nobody is there."""
    from airflow_mailchimp_export.withdraw import main

    def run(*arguments: str, answer: str | None = None) -> int:
        monkeypatch.setattr(sys, "stdin", io.StringIO() if answer is None else Terminal(answer))
        return main(arguments)

    return run


def tags(sandbox: Sandbox) -> dict[str, set[str]]:
    """The tags of everybody, by the name before the @."""
    members = sandbox.members()
    return {member["email"].partition("@")[0]: set(member["tags"]) for member in members}


@pytest.mark.parametrize("enabled", [True, False])
def test_an_export_that_goes_on(
    exported: Sandbox,
    withdraw: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    enabled: bool,
) -> None:
    """Where the entry says so, whoever withdraws the export is told that its next run gives the tags again."""
    file = tmp_path / "exports.yaml"
    file.write_text(
        "profiles: p.parquet\nsnapshots: s\nsegments: {vip: {name: VIP, where: 'true'}}\n"
        f"exports: {{newsletter: {{email: email, segments: [vip], enabled: {str(enabled).lower()}}}}}\n"
    )
    assert withdraw("newsletter", "--yes", "--config", str(file)) == 0
    assert ("set enabled: false in its entry" in capsys.readouterr().err) is enabled


def test_it_works_without_an_entry_and_a_dag(
    exported: Sandbox, withdraw: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    """The ledger says whom the export gave which tag; what is printed has counts and no address."""
    assert withdraw("newsletter", "--yes") == 0
    assert tags(exported) == {"ada": set(), "bo": set()}
    printed = capsys.readouterr().out
    assert printed.splitlines()[-4:-1] == [
        "Export newsletter.export of audience a1b2c3d4e5: 2 people lost their tags",
        "  News (retired): 1",
        "  VIP (retired): 2",
    ]
    assert not ADDRESS.search(printed)


def test_a_dry_run_changes_nothing(
    exported: Sandbox, withdraw: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    """It says how many people would lose which tag."""
    before = tags(exported)
    assert withdraw("newsletter.export", "--dry-run") == 0
    assert "2 people would lose their tags" in capsys.readouterr().out
    assert tags(exported) == before


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        ("y\n", 0, ""),
        ("n\n", 1, "withdraw: nothing was changed\n"),
        ("\n", 1, "withdraw: nothing was changed\n"),
        (None, 1, "withdraw: nothing was changed, because nobody can be asked here: give --yes\n"),
    ],
)
def test_it_asks_before_it_changes_anything(
    answer: str | None,
    code: int,
    said: str,
    exported: Sandbox,
    withdraw: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Only a yes counts, and where nobody can answer nothing waits for them."""
    assert withdraw("newsletter", answer=answer) == code
    assert (tags(exported)["bo"] == set()) is (code == 0)
    assert capsys.readouterr().err.endswith(said)


@pytest.mark.usefixtures("exported")
def test_an_unknown_export_is_told(withdraw: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    """The message names what may have been meant."""
    assert withdraw("newsleter", "--yes") == 1
    assert capsys.readouterr().err == (
        f"withdraw: There is no export 'newsleter' in {HOME}/exports (did you mean 'newsletter'?). Name one of "
        "newsletter\n"
    )


def test_it_needs_consent(
    exported: Sandbox,
    withdraw: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without consent nothing is taken, and the message says what to do."""
    without = exported.connection(data_privacy_consent=False)
    monkeypatch.setenv("AIRFLOW_CONN_MAILCHIMP_DEFAULT", json.dumps(without))
    assert withdraw("newsletter", "--yes") == 1
    assert capsys.readouterr().err == (
        "withdraw: Connection 'mailchimp_default': data privacy consent (data_privacy_consent) is off, so no profile "
        "may leave. Nothing was sent. Taking tags away sends people's addresses to Mailchimp too. Switch consent on in "
        "the connection until they are withdrawn, or remove the tags in Mailchimp\n"
    )
    assert tags(exported)["ada"] == {"VIP"}


def test_the_connection_is_that_of_the_entry(
    exported: Sandbox,
    withdraw: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Where the entry is there still, it says which connection; --conn-id says otherwise; a missing one is told.

    Of an entry with mistakes nobody knows the connection, and another account might be meant.
    """
    config = tmp_path / "exports.yaml"
    entry = "{connection: other, segments: [vip], email: email, enabled: false}"
    config.write_text(
        "profiles: p.parquet\nsnapshots: s\nsegments: {vip: {name: VIP, where: 'true'}}\n"
        f"exports: {{newsletter: {entry}}}\n",
        encoding="utf-8",
    )
    assert withdraw("newsletter", "--yes", "--config", str(config)) == 1
    assert capsys.readouterr().err.startswith("withdraw: There is no Airflow connection 'other'")
    monkeypatch.setenv("AIRFLOW_CONN_ANOTHER", json.dumps(exported.connection()))
    assert withdraw("newsletter", "--yes", "--config", str(config), "--conn-id", "another") == 0
    assert tags(exported)["ada"] == set()
    config.write_text(
        config.read_text(encoding="utf-8").replace("email: email", "mail: email"), encoding="utf-8"
    )
    assert withdraw("newsletter", "--yes", "--config", str(config)) == 1
    assert "exports.newsletter.mail: is an unknown key" in capsys.readouterr().err


@pytest.mark.parametrize("delivery", ["batch", "direct"])
def test_a_run_of_the_dag_withdraws(
    delivery: str, mailchimp: Sandbox, run_dag: RunDag, tmp_path: Path
) -> None:
    """With the parameter the operator takes back what earlier runs of the same export gave."""
    how: dict[str, Any] = {
        "segments": write_segments(tmp_path, PEOPLE),
        "export_name": "withdrawn",
        "delivery": delivery,
    }
    assert run_dag(one_task(**how)).state == "success"
    run = run_dag(one_task(**how, withdraw="{{ true }}"))
    assert states(run) == {"export": "success"}
    report = report_of(result(run)["run_uri"])
    assert (report["withdraw"], report["counts"]["removed"], report["counts"]["rows_read"]) == (True, 2, 0)
    assert tags(mailchimp) == {"ada": set(), "bo": set()}


def test_the_operator_retires_a_segment(mailchimp: Sandbox, run_dag: RunDag, tmp_path: Path) -> None:
    """A name among those retired takes that tag alone; one that is a segment still is refused."""
    files = write_segments(tmp_path, PEOPLE)
    run_dag(one_task(segments=files, export_name="retiring", delivery="direct"))
    run_dag(
        one_task(segments={"VIP": files["VIP"]}, export_name="retiring", delivery="direct", retire=["News"])
    )
    assert tags(mailchimp) == {"ada": {"VIP"}, "bo": {"VIP"}}
    refused = run_dag(one_task(segments=files, export_name="retiring", delivery="direct", retire=["news"]))
    assert states(refused) == {"export": "failed"}
