"""What is looked at before a release."""

from __future__ import annotations

import subprocess
import tomllib
import zipfile
from email.message import Message
from pathlib import Path

import pytest

from scripts.released import (
    ONLY_HERE,
    PACKAGE,
    REPOSITORY,
    URLS,
    tracked_files,
    wrong_in_metadata,
    wrong_in_wheel,
)

ALWAYS_IN_SDIST = {".gitignore", "LICENSE", "pyproject.toml"}


def metadata(readme: str, urls: set[str] = URLS) -> Message:
    """Metadata of a wheel."""
    made = Message()
    for name in sorted(urls):
        made["Project-URL"] = f"{name}, https://example.org/{name}"
    made.set_payload(readme)
    return made


def test_metadata_as_it_should_be() -> None:
    """With all URLs, and links that lead somewhere from anywhere, nothing is wrong."""
    assert list(wrong_in_metadata(metadata("[docs](https://example.org/docs), [below](#below)"))) == []


def test_metadata_that_leads_nowhere() -> None:
    """A URL that is missing is named, and a link that only the repository can follow."""
    wrong = wrong_in_metadata(metadata("[docs](docs/export.md)", URLS - {"Issues"}))
    assert list(wrong) == [
        "metadata: no URL Issues",
        "README: docs/export.md leads nowhere outside of the repository",
    ]


def test_a_wheel_has_what_git_knows_and_the_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies in the checkout and was never committed does not belong there."""
    monkeypatch.setattr(
        "scripts.released.tracked_files", lambda: {f"{PACKAGE}/hooks.py", f"{PACKAGE}/links.py"}
    )
    monkeypatch.setattr("scripts.released.REPOSITORY", tmp_path)
    (tmp_path / PACKAGE).mkdir()
    (tmp_path / PACKAGE / "scratch.py").touch()
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as wheel:
        for name in ("hooks.py", "scratch.py", "pages/static/main.js"):
            wheel.writestr(f"{PACKAGE}/{name}", "")
        wheel.writestr("a.dist-info/METADATA", metadata("[docs](https://example.org/docs)").as_string())
    assert list(wrong_in_wheel(tmp_path / "a.whl")) == [
        f"wheel: {PACKAGE}/links.py is missing",
        f"wheel: {PACKAGE}/scratch.py is in it and not in the repository",
    ]


def test_the_sdist_has_the_whole_repository() -> None:
    """What is new at the top of the repository is named for the sdist too, which tests and checks itself."""
    try:
        tracked = tracked_files()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this is no checkout of Git")
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    included = project["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert {name.partition("/")[0] for name in tracked} - ONLY_HERE - ALWAYS_IN_SDIST == set(included)
