"""From what tasks have published of their runs to what a list of runs shows of each."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias, TypeVar

from airflow_mailchimp_export.pages.foreign import is_account

T = TypeVar("T")

Account: TypeAlias = Mapping[str, Any]
"""What was published of one run of one export; see ``published/models.py``."""

NEEDED = ("schema", "export", "finished_at", "verdict", "refused", "dry_run", "preview")
"""What of an account says which one it is, and how its run ended."""

FLAGS = frozenset({"refused", "dry_run", "preview"})
"""Those of them that are true or false."""

SHOWN = ("counts", "rejects_new", "dry_run", "connection_id", "audience", "problem")
"""What the list of all exports takes over of an account."""


@dataclass(frozen=True, slots=True)
class DagRunRow:
    """A run, as Airflow's metastore has it."""

    dag_id: str
    run_id: str
    state: str
    run_after: datetime
    started: datetime | None
    ended: datetime | None


def accounts_in(value: Any) -> list[Account]:
    """Return the accounts in the value of an XCom; of what is none, nothing.

    A report task that is given several runs publishes a list. A backend of XComs may keep values as texts, or keep
    them elsewhere: then nothing can be said of the run. A release of later may publish what this one cannot read.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return []
    found = value if isinstance(value, list) else [value]
    return [*filter(is_account, found)]


def newest_of_each_export(accounts: Iterable[Account]) -> dict[str, Account]:
    """Return the account of each export that a run had: where several tasks told of it, what was told last.

    A report that was handed no run knows no export's name; it counts only where nothing else was told.
    """
    newest: dict[str, Account] = {}
    for account in accounts:
        name = str(account.get("export", ""))
        known = newest.get(name)
        if known is None or str(known.get("finished_at", "")) <= str(account.get("finished_at", "")):
            newest[name] = account
    return _named(newest)


def _is_only_a_preview(state: str, account: Account) -> bool:
    """Return whether a failed run has told of nothing but the dry run before it, which did not fail.

    A release of before does not say which dry run is the one before a run.
    """
    before = account.get("preview", account.get("dry_run"))
    return state == "failed" and bool(before) and account.get("verdict") != "failed"


def outcome_of(state: str, account: Account | None) -> str:
    """Return in one word how a run ended, or that it has not."""
    if state not in {"success", "failed"}:
        return state
    if account is None or _is_only_a_preview(state, account):
        return "unknown" if state == "success" else "failed"
    if account.get("refused"):
        return "refused"
    verdict = str(account.get("verdict", "unknown"))
    return "dry_run" if account.get("dry_run") and verdict != "failed" else verdict


def run_shown(run: DagRunRow, account: Account | None, further: Sequence[str] = ()) -> dict[str, Any]:
    """Return what is shown of a run.

    :param further: keys of the account that are shown beside those of the list.
    """
    if run.state in {"queued", "running"} or (account and _is_only_a_preview(run.state, account)):
        account = None
    shown = {key: account[key] for key in (*SHOWN, *further) if key in account} if account else {}
    return {
        "run_id": run.run_id,
        "outcome": outcome_of(run.state, account),
        "at": _iso(run.started or run.run_after),
        "ended": _iso(run.ended),
        **shown,
    }


def rows_of_dag(
    runs: Sequence[DagRunRow], accounts: Mapping[str, Sequence[Account]], further: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Return a row for each export that a DAG holds, with its runs, the newest first.

    :param accounts: those of each run, by the run's id.
    """
    told = {run_id: newest_of_each_export(found) for run_id, found in accounts.items()}
    exports = _named(dict.fromkeys(name for run in runs for name in told.get(run.run_id, {})))
    return [
        {
            "export": name,
            "runs": [run_shown(run, told.get(run.run_id, {}).get(name), further) for run in runs],
        }
        for name in exports or [""]
    ]


def _named(by_export: Mapping[str, T]) -> dict[str, T]:
    """Leave out what has no export's name, unless there is nothing else."""
    return {name: what for name, what in by_export.items() if name} or {**by_export}


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
