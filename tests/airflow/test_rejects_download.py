"""Who gets the rejects.csv of a run from its page, and which file that is."""

from __future__ import annotations

import asyncio
import logging
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from airflow_mailchimp_export.pages.downloads import may_download
from airflow_mailchimp_export.pages.rights import roles_of
from tests.airflow.conftest import register
from tests.airflow.people import row, write_segments
from tests.airflow.roles import session_of
from tests.airflow.runs import one_task

if TYPE_CHECKING:
    from airflow.sdk import DAG
    from starlette.testclient import TestClient

    from scripts.sandbox_service import Sandbox

ROLES = "AIRFLOW__MAILCHIMP__REJECTS_DOWNLOAD"
ROOT = "AIRFLOW__MAILCHIMP__EXPORTS_ROOT"
READERS = ("viewer", "user", "op", "admin")
BAD = "no-at-sign"


class Run:
    """A run with a reject, and what the pages answer about it.

    :ivar folder: of the run, below ``exports_root``.
    """

    def __init__(self, client: TestClient, manager: Any, dag: DAG, root: Path) -> None:
        self._client, self._manager, self._dag = client, manager, dag
        register(dag)
        self.run_id = dag.test().run_id
        self.name = f"{dag.dag_id}.export"
        (self.folder,) = (one.parent for one in root.glob(f"{self.name}/*/run.json"))

    def ask(self, role: str, further: str = "", run_id: str = "") -> Any:
        """What somebody with a role is answered."""
        path = f"/api/rejects/{self._dag.dag_id}/{quote(run_id or self.run_id)}{further}"
        return self._client.get(path, headers=session_of(role, self._manager))

    def download(self, role: str) -> Any:
        """What somebody with a role is answered who asks for the file."""
        return self.ask(role, f"/file?export={quote(self.name)}")

    def told(self, role: str) -> Any:
        """What somebody with a role is told of the file."""
        return self.ask(role).json()


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where exports are kept."""
    monkeypatch.setenv(ROOT, str(tmp_path / "kept"))
    return tmp_path / "kept"


@pytest.fixture
def rejected(mailchimp: Sandbox, root: Path, client: TestClient, manager: Any, tmp_path: Path) -> Run:
    """A run of which one profile was rejected."""
    segments = write_segments(tmp_path, {"VIP": [row("ada@brieftaube-post.eu"), row(BAD, "No", "At")]})
    return Run(client, manager, one_task(segments=segments, delivery="direct"), root)


@pytest.mark.parametrize("role", READERS)
def test_nobody_may_unless_it_is_said(rejected: Run, role: str) -> None:
    """Without the setting no role gets the file, admins neither, and the page is told so."""
    assert rejected.told(role) == {"may_download": False, "here": []}
    answer = rejected.download(role)
    assert (answer.status_code, BAD in answer.text) == (403, False)


@pytest.mark.parametrize("role", READERS)
def test_a_role_that_is_named_may(rejected: Run, role: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the roles that are named get the file to save, kept by nobody on the way, and no other role does."""
    monkeypatch.setenv(ROLES, "op, admin")
    may = role in {"op", "admin"}
    assert rejected.told(role) == {"may_download": may, "here": [rejected.name] if may else []}
    answer = rejected.download(role)
    assert answer.status_code == (200 if may else 403)
    if may:
        assert answer.content == (rejected.folder / "rejects.csv").read_bytes()
        assert BAD in answer.text
        headers = {
            name: answer.headers[name] for name in ("content-type", "cache-control", "content-disposition")
        }
        assert headers == {
            "content-type": "text/csv; charset=utf-8",
            "cache-control": "no-store",
            "content-disposition": f'attachment; filename="rejects-{rejected.name}.csv"',
        }


def test_who_may_not_read_the_dag_gets_nothing(
    rejected: Run, manager: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A role that is named is not enough: of a DAG that somebody may not read there is nothing to download."""
    monkeypatch.setenv(ROLES, "op")
    monkeypatch.setattr(manager, "filter_authorized_dag_ids", lambda **_: set())
    assert [rejected.ask("op").status_code, rejected.download("op").status_code] == [404, 404]


def test_it_is_noted_who_got_it(
    rejected: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Airflow's audit log, and the log of the API server, have who got the rejects of which run, and no address."""
    from airflow.models.log import Log
    from airflow.utils.session import create_session
    from sqlalchemy import select

    monkeypatch.setenv(ROLES, "op")
    caplog.set_level(logging.INFO, "airflow_mailchimp_export.pages.downloads")
    rejected.download("admin")
    rejected.download("op")
    with create_session() as session:
        of_run = select(Log.event, Log.owner, Log.extra).where(Log.run_id == rejected.run_id)
        noted = [tuple(one) for one in session.execute(of_run) if one.event.startswith("mailchimp")]
    assert noted == [("mailchimp_rejects_download", "op", rejected.name)]
    (line,) = (record.getMessage() for record in caplog.records if "got the rejects" in record.getMessage())
    assert line.startswith("User op got the rejects of ")
    assert "@" not in line


def test_a_file_that_is_gone_is_said_with_its_place(rejected: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the API server does not reach the file, the page is told, and the answer says where it is."""
    monkeypatch.setenv(ROLES, "op")
    (rejected.folder / "rejects.csv").unlink()
    assert rejected.told("op") == {"may_download": True, "here": []}
    answer = rejected.download("op")
    assert answer.status_code == 404
    assert str(rejected.folder) in answer.json()["detail"]


@pytest.mark.parametrize("place", ["file", "run", "export"])
def test_no_link_leads_out_of_exports_root(
    rejected: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """A file, or a folder, that is a symbolic link to another place is not followed."""
    monkeypatch.setenv(ROLES, "op")
    moved = {
        "file": rejected.folder / "rejects.csv",
        "run": rejected.folder,
        "export": rejected.folder.parent,
    }[place]
    outside = tmp_path / "outside"
    shutil.move(moved, outside)
    moved.symlink_to(outside)
    assert rejected.told("op")["here"] == []
    assert rejected.download("op").status_code == 404


@pytest.mark.parametrize(
    "said",
    ["/etc", "{root}/../..", "{root}/{name}/..", "", "rejects.csv", "{root}/{name}/\0", "{root}/other/run"],
)
def test_an_account_names_no_other_file(
    rejected: Run, root: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    """What an account says of a folder leads nowhere but to the run that it is of."""
    monkeypatch.setenv(ROLES, "op")
    other = root / "other" / "run"
    shutil.copytree(rejected.folder, other)
    manifest = other / "run.json"
    manifest.write_text(manifest.read_text().replace(rejected.run_id, "another"))
    place = said.format(root=root, name=rejected.name)
    monkeypatch.setattr(
        "airflow_mailchimp_export.pages.reject_routes._places_of", lambda *_: {rejected.name: place}
    )
    assert rejected.told("op")["here"] == []
    assert rejected.download("op").status_code == 404


def test_it_may_be_kept_on_an_object_storage(
    mailchimp: Sandbox, client: TestClient, manager: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where exports_root is one that the API server reaches, the file comes from there."""
    from airflow.sdk.io import attach
    from fsspec.implementations.memory import MemoryFileSystem

    attach("memory", fs=MemoryFileSystem())
    monkeypatch.setenv(ROOT, "memory://kept")
    monkeypatch.setenv(ROLES, "op")
    segments = write_segments(tmp_path, {"VIP": [row("ada@brieftaube-post.eu"), row(BAD)]})
    dag = one_task(segments=segments, delivery="direct")
    register(dag)
    run_id, name = quote(dag.test().run_id), f"{dag.dag_id}.export"
    path, session = f"/api/rejects/{dag.dag_id}/{run_id}", session_of("op", manager)
    assert client.get(path, headers=session).json()["here"] == [name]
    answer = client.get(f"{path}/file?export={name}", headers=session)
    assert (answer.status_code, BAD in answer.text) == (200, True)
    monkeypatch.setenv(ROOT, "unheard://kept")
    assert client.get(path, headers=session).json() == {"may_download": True, "here": []}


def test_roles_are_those_of_the_auth_managers() -> None:
    """That of the simple one, all of FAB's, and none of a manager whose users have none."""
    fab = SimpleNamespace(roles=[SimpleNamespace(name="Op"), SimpleNamespace(name="DataProtection")])
    assert roles_of(SimpleNamespace(role="viewer")) == {"viewer"}
    assert roles_of(fab) == {"Op", "DataProtection"}
    assert roles_of(SimpleNamespace(role=None)) == roles_of(object()) == frozenset()


def test_where_everybody_is_an_admin_admin_means_everybody(
    manager: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whom Airflow lets in without a log-in has the role of which the documentation says so."""
    from airflow.api_fastapi.auth.managers.simple.services.login import SimpleAuthManagerLogin

    monkeypatch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS", "True")
    monkeypatch.setenv(ROLES, "admin")
    token = SimpleAuthManagerLogin.create_token_all_admins()
    assert may_download(asyncio.run(manager.get_user_from_token(token)))
    assert not may_download(SimpleNamespace(role="op"))
