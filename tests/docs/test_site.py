"""The site that is made of these pages."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import REPOSITORY

pytestmark = pytest.mark.docs

LOADED = re.compile(r"<(?:script|img|iframe|link)\b[^>]*?(?:src|href)=\"?(https?://[^\"\s>]+)")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, made strictly: a dead link or a page that no menu has is an error."""
    pytest.importorskip("mkdocs", reason="the extra site is not installed: make docs-site")
    folder = tmp_path_factory.mktemp("site")
    ran = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(folder)],
        cwd=REPOSITORY,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return folder


def test_every_page_is_there(site: Path) -> None:
    """Each page of ``docs`` is on the site, and those that are made of docstrings."""
    names = {path.stem for path in (REPOSITORY / "docs").glob("*.md")}
    assert {name for name in names if not (site / name / "index.html").is_file()} == set()
    assert "max_removal_ratio" in (site / "reference" / "options" / "index.html").read_text(encoding="utf-8")


def test_nothing_is_loaded_from_another_host(site: Path) -> None:
    """Whoever reads it is seen by nobody else."""
    texts = {path: path.read_text(encoding="utf-8") for path in site.rglob("*.html")}
    assert {str(path): found for path, text in texts.items() if (found := LOADED.findall(text))} == {}
