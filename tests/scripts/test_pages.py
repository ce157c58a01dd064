"""Building the pages: it never stands in the way of anything else."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

STAMP = "stamp"
NPM = "#!/bin/sh\necho 'npm has no network' >&2\nexit 7\n"
NODE = "#!/bin/sh\nexit {code}\n"


def build(programs: Path) -> subprocess.CompletedProcess[str]:
    """Run the script where only these programs are, beside what every machine has."""
    for name in ("bash", "dirname", "mktemp", "rm", "tail", "touch"):
        (programs / name).unlink(missing_ok=True)
        (programs / name).symlink_to(str(shutil.which(name)))
    return subprocess.run(
        ["bash", str(REPOSITORY / "scripts" / "pages.sh"), str(programs / STAMP)],
        env={**os.environ, "PATH": str(programs)},
        capture_output=True,
        text=True,
        check=False,
    )


def program(folder: Path, name: str, script: str) -> None:
    """Put a program there."""
    (folder / name).write_text(script, encoding="utf-8")
    (folder / name).chmod(0o755)


def test_without_npm(tmp_path: Path) -> None:
    """It says so, and is no error."""
    done = build(tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("pages: not built, for there is no npm; the exports work without the pages")


@pytest.mark.parametrize(("node", "words"), [(1, "Node.js is older than 18"), (0, "npm has no network")])
def test_npm_that_fails(tmp_path: Path, node: int, words: str) -> None:
    """The end of what it said is shown, and the set-up goes on."""
    program(tmp_path, "npm", NPM)
    program(tmp_path, "node", NODE.format(code=node))
    done = build(tmp_path)
    assert done.returncode == 0
    assert words in done.stderr
    assert "the exports work without the pages" in done.stderr
    assert not (tmp_path / STAMP).exists()


def test_only_what_is_built_counts_as_built(tmp_path: Path) -> None:
    """Where npm is installed later, the set-up builds the pages then, as they say themselves."""
    assert build(tmp_path).returncode == 0
    assert not (tmp_path / STAMP).exists()
    program(tmp_path, "npm", "#!/bin/sh\n")
    program(tmp_path, "node", NODE.format(code=0))
    assert build(tmp_path).stdout.endswith("pages: built\n")
    assert (tmp_path / STAMP).exists()


def test_the_lock_file_names_no_registry() -> None:
    """Whoever installs takes packages from their own registry; their content is checked all the same."""
    lock = (REPOSITORY / "web" / "package-lock.json").read_text(encoding="utf-8")
    assert '"resolved"' not in lock
    assert "http" not in lock.replace('"url": "http', "")
    assert lock.count('"integrity": "sha512-') > 100
