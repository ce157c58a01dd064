"""Where exports are kept: what the operators write to is what ``forget`` looks through."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_mailchimp_export.exports_root import default_exports_root, storage_path
from airflow_mailchimp_export.forget import main
from airflow_mailchimp_export.state.ledger import LEDGER
from airflow_mailchimp_export.state.run import ExportFolder
from tests.airflow.releases import connection_of

VARIABLE = "AIRFLOW__MAILCHIMP__EXPORTS_ROOT"
ADA, BO = "ada@brieftaube.eu", "bo@brieftaube.eu"


def write_ledger(root: Path) -> ExportFolder:
    """Leave an export behind whose ledger names two people."""
    export = ExportFolder(root / "export")
    with export.writing(LEDGER) as draft:
        pq.write_table(pa.table({"email": [ADA, BO]}), draft)
    return export


def people_in(export: ExportFolder) -> list[str]:
    """Whom a ledger names."""
    with export.reading(LEDGER) as path:
        return [str(email) for email in pq.read_table(path)["email"].to_pylist()]


class TestDefault:
    """Where exports are kept unless told otherwise."""

    def test_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is what the environment variable says."""
        monkeypatch.setenv(VARIABLE, "s3://environment")
        assert default_exports_root() == "s3://environment"

    def test_the_configuration_file(self, tmp_path: Path) -> None:
        """Unless there is one, it is what airflow.cfg says, read as Airflow reads it: a doubled percent sign is one."""
        (tmp_path / "airflow.cfg").write_text("[mailchimp]\nexports_root = s3://a%%20b/c\n")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
        run = subprocess.run(
            [
                *(sys.executable, "-c"),
                "from airflow_mailchimp_export import exports_root as it; print(it.default_exports_root())",
            ],
            env={**environment, "AIRFLOW_HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert run.stdout.splitlines()[-1] == "s3://a%20b/c"

    def test_a_folder_of_airflow_home(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Unless anything is configured it is mailchimp_exports in AIRFLOW_HOME, which may name variables."""
        monkeypatch.delenv(VARIABLE)
        monkeypatch.setenv("SOMEWHERE", "/data")
        monkeypatch.setenv("AIRFLOW_HOME", "$SOMEWHERE/airflow")
        assert default_exports_root() == "/data/airflow/mailchimp_exports"

    def test_without_airflow_home(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without AIRFLOW_HOME it is in the folder that Airflow takes, one of the user's."""
        monkeypatch.delenv(VARIABLE)
        monkeypatch.delenv("AIRFLOW_HOME")
        monkeypatch.setenv("HOME", "/home/ada")
        assert default_exports_root() == "/home/ada/airflow/mailchimp_exports"


class TestForget:
    """``python -m airflow_mailchimp_export.forget`` on what Airflow has configured."""

    def test_the_configured_root_is_the_default(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Without --exports-root it looks where Airflow keeps exports; the arguments are those of the command."""
        export = write_ledger(tmp_path)
        monkeypatch.setenv(VARIABLE, str(tmp_path))
        monkeypatch.setattr(sys, "argv", ["forget", BO])
        assert main() == 0
        assert capsys.readouterr().out.splitlines()[-1] == f"1 row(s) removed in all under {tmp_path}"
        assert people_in(export) == [ADA]

    def test_a_url_is_a_path_of_airflow(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """A URL is opened as the operators open it."""
        export = write_ledger(tmp_path)
        assert main([BO, "--exports-root", f"file://{tmp_path}"]) == 0
        assert capsys.readouterr().out.splitlines()[0] == f"1 row(s) removed from {tmp_path}/export/{LEDGER}"
        assert people_in(export) == [ADA]

    def test_a_url_may_name_a_connection(self) -> None:
        """What stands before the at sign of a URL is the Airflow connection with the credentials."""
        path = storage_path("memory://lake@bucket/exports")
        assert (connection_of(path), path.path) == ("lake", "/bucket/exports")
        assert connection_of(path / "export") == "lake"

    def test_a_connection_may_be_given(self) -> None:
        """Credentials that are named beside the URL are those of what is below it, too."""
        path = storage_path("memory://bucket/exports", "lake")
        assert (connection_of(path / "export"), path.path) == ("lake", "/bucket/exports")
