"""The rejects.csv of a run, for those whose role may have it: it is the one thing behind the pages with addresses.

An account may come from any DAG, so what it says of a folder is only a hint: a file is looked for below exports_root
by the last two names of that folder, and taken only where the run that is kept there says itself that it is the one.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.configuration import conf
from airflow.models.log import Log
from airflow.utils.session import create_session

from airflow_mailchimp_export.exports_root import default_exports_root, storage_path
from airflow_mailchimp_export.masking import masked
from airflow_mailchimp_export.pages.rights import roles_of

if TYPE_CHECKING:
    from airflow_mailchimp_export.state.run import RunFolder

log = logging.getLogger(__name__)

BLOCK = 256 * 1024
"""Bytes that are read at a time."""

EVENT = "mailchimp_rejects_download"
"""What Airflow's audit log calls it."""


def may_download(user: Any) -> bool:
    """Return whether a user has one of the roles of ``[mailchimp] rejects_download``; nobody has, unless it is set."""
    configured = conf.get("mailchimp", "rejects_download", fallback="") or ""
    wanted = {name.strip() for name in configured.split(",")} - {""}
    return not wanted.isdisjoint(roles_of(user))


def run_within_reach(run_uri: str, dag_id: str, run_id: str) -> RunFolder | None:
    """Return the folder of a run whose rejects.csv can be read from here; ``None`` where it cannot.

    :param run_uri: what an account says of that folder.
    """
    try:
        folder = _folder_of(run_uri, dag_id, run_id)
        return folder if folder and _has_rejects(folder) else None
    except Exception as error:  # The client of an object storage has errors of its own.
        _say_unreadable(error)
        return None


def rejects_of(folder: RunFolder) -> Iterator[bytes] | None:
    """Return the content of the rejects.csv of a run, block by block; ``None`` where it cannot be read after all."""
    blocks = _blocks(folder)
    try:
        # So that what goes wrong with opening it goes wrong here, before anything is answered.
        next(blocks)
    except Exception as error:  # As above.
        _say_unreadable(error)
        return None
    return blocks


def note_download(user: Any, dag_id: str, run_id: str, export: str) -> None:
    """Write into Airflow's audit log, and into the log of the API server, who has got the rejects of a run."""
    with create_session() as session:
        session.add(
            Log(EVENT, owner=str(user.get_name()), extra=masked(export), dag_id=dag_id, run_id=run_id)
        )
    log.info(
        "%s got the rejects of %s, run %s of the DAG %s",
        *map(masked, (f"User {user.get_name()}", export, run_id, dag_id)),
    )


def file_name(export: str) -> str:
    """Return how the file of an export is called where it is saved."""
    return f"rejects-{re.sub(r'[^A-Za-z0-9._-]+', '_', export)[:80]}.csv"


def _folder_of(run_uri: str, dag_id: str, run_id: str) -> RunFolder | None:
    # What a run leaves is read with pyarrow, which an API server needs for nothing else.
    from airflow_mailchimp_export.state.run import RunFolder
    from airflow_mailchimp_export.state.storage import plain

    names = run_uri.split("/")[-2:]
    if len(names) < 2 or not {*names}.isdisjoint({"", ".", ".."}):
        return None
    location = plain(storage_path(default_exports_root())) / names[0] / names[1]
    if isinstance(location, Path) and not location.resolve().is_relative_to(location.parents[1].resolve()):
        return None
    folder = RunFolder(location)
    if not folder.is_planned():
        return None
    ours = (folder.manifest.dag_id, folder.manifest.run_id) == (dag_id, run_id)
    return folder if ours else None


def _has_rejects(folder: RunFolder) -> bool:
    from airflow_mailchimp_export.state.run import REJECTS

    return folder.exists(REJECTS) and not Path(folder.uri, REJECTS).is_symlink()


def _blocks(folder: RunFolder) -> Iterator[bytes]:
    """Yield nothing once the file is open, and then its content."""
    from airflow_mailchimp_export.state.run import REJECTS

    with folder.reading(REJECTS) as path, path.open("rb") as file:
        yield b""
        while block := file.read(BLOCK):
            yield block


def _say_unreadable(error: Exception) -> None:
    log.warning("The rejects of a run cannot be read from here: %s", type(error).__name__)
