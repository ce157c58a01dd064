"""``python -m airflow_mailchimp_export.config``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from airflow_mailchimp_export.config.__main__ import main
from airflow_mailchimp_export.config.schema import SCHEMA_FILE

REPOSITORY = Path(__file__).resolve().parents[3]

GOOD = """\
profiles: /lake/profiles.parquet
snapshots: /lake/snapshots
segments:
  vip: {name: VIP, where: spent > 1000}
exports:
  one: {email: mail, segments: [vip], first_name: given, audience_id: "${AUDIENCE_OF_ONE:-a1}"}
"""
BAD = GOOD + "  two: {email: mail, segment: [vip]}\n"


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A file without and one with mistakes."""
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text(GOOD)
    bad.write_text(BAD)
    return good, bad


def test_check_of_good_files(files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """It says that there is no mistake, and what there is."""
    assert main(["check", str(files[0])]) == 0
    written = capsys.readouterr()
    assert written.out == f"{files[0]}: no mistakes; segments: 1, exports: 1, of them enabled: 1\n"
    assert written.err == ""


def test_check_of_files_with_mistakes(files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """It writes a line for each mistake of any of the files, and fails."""
    assert main(["check", *map(str, files)]) == 1
    written = capsys.readouterr()
    assert written.err == (
        f"{files[1]}:7:3: exports.two.segments: is missing: add it (the keys of the segments that it exports, of which "
        "each becomes a tag)\n"
        f"{files[1]}:7:22: exports.two.segment: is an unknown key (did you mean 'segments'?): correct or remove it\n"
    )
    assert written.out == f"{files[0]}: no mistakes; segments: 1, exports: 1, of them enabled: 1\n"


def test_show(
    files: tuple[Path, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It writes, as YAML, what each export without mistakes comes to, with variables and defaults."""
    monkeypatch.setenv("AUDIENCE_OF_ONE", "a2")
    assert main(["show", str(files[1])]) == 1
    written = capsys.readouterr()
    assert "exports.two.segment:" in written.err
    shown = yaml.safe_load(written.out)["exports"]
    assert list(shown) == ["one"]
    assert shown["one"]["audience_id"] == "a2"
    assert shown["one"]["field_map"] == {"EMAIL": "mail", "FNAME": "given"}
    assert shown["one"]["segments"] == {
        "VIP": {
            "key": "vip",
            "source": {"uri": "/lake/profiles.parquet"},
            "query": "FROM profiles WHERE spent > 1000",
        }
    }
    assert shown["one"]["options"]["max_removal_ratio"] == 0.3


def test_schema(capsys: pytest.CaptureFixture[str]) -> None:
    """It writes the schema that is shipped."""
    assert main(["schema"]) == 0
    assert capsys.readouterr().out == SCHEMA_FILE.read_text()


def test_it_needs_no_airflow(files: tuple[Path, Path]) -> None:
    """As a program it answers without Airflow, pyarrow, duckdb or pandas, so that a hook before a commit is quick."""
    code = (
        "import runpy, sys\n"
        "for name in ('airflow', 'pyarrow', 'duckdb', 'pandas'):\n"
        "    sys.modules[name] = None\n"
        f"sys.argv = ['config', 'check', {str(files[0])!r}]\n"
        "runpy.run_module('airflow_mailchimp_export.config', run_name='__main__', alter_sys=True)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=REPOSITORY
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "no mistakes" in ran.stdout
