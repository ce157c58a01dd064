"""docs/ledger.md and docs/erasure.md say what the code keeps, does with who left, and removes."""

from __future__ import annotations

import io
import re
from contextlib import redirect_stdout, suppress
from pathlib import Path

import duckdb

from airflow_mailchimp_export import forget, withdraw
from airflow_mailchimp_export.accounting.report import RENAME_UNCONFIRMED
from airflow_mailchimp_export.model import Effect
from airflow_mailchimp_export.options import OnLeave
from airflow_mailchimp_export.state import claims, ledger, lock, notes, statuses
from airflow_mailchimp_export.state import run as run_files
from tests.docs.pages import REPOSITORY, names, page, spans

REPORT_SQL = REPOSITORY / "airflow_mailchimp_export" / "accounting" / "accounts.sql"


def test_columns() -> None:
    """The table has the columns of the ledger, in their order."""
    statement = re.search(r"-- name: no_ledger\n(.*?;)", REPORT_SQL.read_text(), re.DOTALL)
    assert statement
    with duckdb.connect() as database:
        database.execute(statement[1])
        kept = [name for name, *_ in database.execute("DESCRIBE ledger").fetchall()]
    assert names(page("ledger").table("What it holds", "column", "meaning")) == kept


def test_states() -> None:
    """The states that the page names are those that the ledger's own description names."""
    state = next(
        row for row in page("ledger").table("What it holds", "column", "meaning") if row[0] == "`state`"
    )
    line = re.search(r"^    state +(.*)$", ledger.__doc__ or "", re.MULTILINE)
    assert line
    assert spans(state[1]) == re.findall(r"\b(?:member|unconfirmed|archived|rejected|suppressed)\b", line[1])


def test_files() -> None:
    """The table has the files that an export keeps beside its runs."""
    shown = names(page("ledger").table("What it holds", "file", "what is in it"))
    assert shown == [ledger.LEDGER, ledger.SET_ASIDE, statuses.STATUSES, claims.TAGS, lock.LOCK]


def test_leaving() -> None:
    """Every way of leaving is explained."""
    table = page("ledger").table(
        "Who left",
        "`on_leave`",
        "who is in none of the run's segments any more",
        "who stays in another segment",
    )
    assert names(table) == [kind.value for kind in OnLeave]


def test_address_changes() -> None:
    """The report's key of address changes names all that are counted."""
    row = next(
        row for row in page("report").table("report.json", "key", "meaning") if row[0] == "`address_changes`"
    )
    counted = [Effect.RENAMED.value, Effect.RENAME_REFUSED.value, RENAME_UNCONFIRMED]
    assert spans(row[1]) == [*counted, Effect.UNCONFIRMED.value]


def test_places_of_people() -> None:
    """The files of a run of which a person is struck out, and those that hold nobody, are all that there are."""
    searched = names(page("erasure").table("Where it looks", "file", "what is removed"))
    sentence = next(line for line in page("erasure").prose.splitlines() if "hold nobody" in line)
    files = {
        run_files.PLAN,
        run_files.RUN,
        run_files.BATCHES,
        run_files.AGGREGATES,
        run_files.OUTCOMES,
        run_files.REJECTS,
        run_files.REPORT,
        run_files.SET_ASIDE,
        notes.BEGUN,
        notes.WATCH,
    }
    assert {*searched, *spans(sentence)} == {*files, ledger.LEDGER, ledger.SET_ASIDE, statuses.STATUSES}


def test_options_of_forget() -> None:
    """The table has what the command takes."""
    shown = names(page("erasure").table("Forgetting a person", "option", "meaning"))
    said = io.StringIO()
    with redirect_stdout(said), suppress(SystemExit):
        forget.main(["--help"])
    assert shown == re.findall(r"^  (?!-h)(-?-?[a-z-]+) ", said.getvalue(), re.MULTILINE)


def test_options_of_withdraw() -> None:
    """The table has what the command takes."""
    shown = names(page("ledger").table("Withdrawing an export", "option", "meaning"))
    taken = [action.option_strings or [action.dest] for action in withdraw.to_parser()._actions]
    assert shown == [spelled[-1] for spelled in taken if "--help" not in spelled]


def test_what_forget_prints(tmp_path: Path) -> None:
    """The last line that the page shows is the one that the command ends with."""
    block = next(block for block in page("erasure").blocks if block.language == "console")
    said = io.StringIO()
    with redirect_stdout(said):
        assert forget.main(["ada@inkwell.invalid", "--exports-root", str(tmp_path)]) == 0
    shown = re.sub(r"^\d+ (.*) under .*$", r"\1", block.code.splitlines()[-1])
    assert re.sub(r"^\d+ (.*) under .*$", r"\1", said.getvalue().strip()) == shown
