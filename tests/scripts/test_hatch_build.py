"""Putting the pages into a distribution: a release has them as they are now, or is none."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from subprocess import CalledProcessError
from types import ModuleType, SimpleNamespace
from typing import Any, Generic, TypeVar

import pytest

from tests.conftest import REPOSITORY

T = TypeVar("T")


class Interface(Generic[T]):
    """As much of hatchling as the hook uses: what builds is not installed where the tests run."""

    root: str
    app: Any


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The hook for a repository with sources of the pages, an older bundle, and an npm that fails."""
    module = ModuleType("interface")
    module.BuildHookInterface = Interface  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "hatchling.builders.hooks.plugin.interface", module)
    static = tmp_path / "airflow_mailchimp_export" / "pages" / "static"
    static.mkdir(parents=True)
    (static / "main.js").write_text("older", encoding="utf-8")
    (tmp_path / "web").mkdir()
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\nexit 7\n", encoding="utf-8")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    hook = runpy.run_path(str(REPOSITORY / "hatch_build.py"))["PagesHook"]()
    hook.root, hook.warned = str(tmp_path), []
    hook.app = SimpleNamespace(display_warning=hook.warned.append)
    return hook


def test_a_build_goes_on_where_the_pages_cannot_be_built(hook: Any) -> None:
    """It says so, and takes what lies there."""
    data: dict[str, Any] = {"artifacts": []}
    hook.initialize("standard", data)
    assert hook.warned == ["npm ci failed with exit code 7"]
    assert data["artifacts"] == ["airflow_mailchimp_export/pages/static/*.js"]


def test_a_release_takes_no_older_pages(hook: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where its own cannot be built, there is no release."""
    monkeypatch.setenv("MAILCHIMP_EXPORT_PAGES", "required")
    with pytest.raises(CalledProcessError):
        hook.initialize("standard", {"artifacts": []})


def test_a_release_without_pages_is_none(hook: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where nothing can build them."""
    monkeypatch.setenv("MAILCHIMP_EXPORT_PAGES", "required")
    monkeypatch.setenv("PATH", "")
    (Path(hook.root) / "airflow_mailchimp_export" / "pages" / "static" / "main.js").unlink()
    with pytest.raises(RuntimeError, match="The pages are not built"):
        hook.initialize("standard", {"artifacts": []})
