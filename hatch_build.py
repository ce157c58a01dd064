"""Puts the pages' bundle into wheel and sdist: built where npm is there, else as it lies there, if it does."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

REQUIRED = "MAILCHIMP_EXPORT_PAGES"
"""The environment variable that a release sets to ``required``: the build fails then unless it has the pages."""


class PagesHook(BuildHookInterface[Any]):
    """Builds the bundle before the package is put together."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build; an editable install uses the sources' folder, in which `make setup` builds."""
        if version == "editable":
            return
        root = Path(self.root)
        static = root / "airflow_mailchimp_export" / "pages" / "static"
        if (npm := shutil.which("npm")) and (root / "web").is_dir():
            self._build(npm, root / "web")
        if (static / "main.js").is_file():
            # Git ignores it, and so would hatchling.
            build_data["artifacts"].append("airflow_mailchimp_export/pages/static/*.js")
        elif _is_required():
            raise RuntimeError(
                "The pages are not built: install Node.js 18 or newer with npm, and build again"
            )
        else:
            self.app.display_warning(
                "The pages are not built, so the package has none: npm is missing, or failed"
            )

    def _build(self, npm: str, folder: Path) -> None:
        try:
            for command in (["ci", "--no-audit", "--no-fund"], ["run", "build"]):
                subprocess.run([npm, *command], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        except subprocess.CalledProcessError as error:
            if _is_required():
                # What lies there is of an earlier build.
                raise
            self.app.display_warning(f"npm {error.cmd[1]} failed with exit code {error.returncode}")


def _is_required() -> bool:
    return os.environ.get(REQUIRED) == "required"
