"""What mkdocs calls: pages that are made of other files, and links out of the documentation."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from posixpath import normpath
from typing import Any, Final

from mkdocs.structure.files import File

REPOSITORY = Path(__file__).resolve().parent.parent
PLACES: Final = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security-policy.md",
}
"""Pages that lie beside ``docs``, and what they are called on the site."""
REFERENCE: Final = {
    "operators": ("operators.SegmentToMailchimpOperator", "operators.MailchimpExportReportOperator"),
    "sensor": ("sensors.MailchimpBatchSensor", "triggers.MailchimpBatchTrigger"),
    "hook": ("hooks.MailchimpHook",),
    "options": ("options.ExportOptions",),
    "dags": ("dags", "assets", "published"),
    "exceptions": ("errors",),
}
"""Pages that are made of docstrings."""

_LINK = re.compile(r"\]\((?!https?://|#)(?P<path>[^)#\s]+)(?P<anchor>#[^)]*)?\)")


def on_files(files: Any, *, config: Any) -> Any:
    """Add the pages that are no files of ``docs``."""
    for name, place in PLACES.items():
        text = (REPOSITORY / name).read_text(encoding="utf-8")
        files.append(
            File.generated(
                config, place, content=relinked(text, PurePosixPath(), config["extra"]["repository"])
            )
        )
    for name, objects in REFERENCE.items():
        text = "\n\n".join(
            [f"# {name.capitalize()}", *(f"::: airflow_mailchimp_export.{one}" for one in objects)]
        )
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Any) -> str:
    """Lead links out of ``docs`` to the site's page of the file, or to the repository."""
    return (
        markdown
        if page.file.generated_by
        else relinked(markdown, PurePosixPath("docs"), config["extra"]["repository"])
    )


def relinked(text: str, folder: PurePosixPath, repository: str) -> str:
    """Rewrite the links of a page of some folder of the repository as the site needs them."""

    def to_site(match: re.Match[str]) -> str:
        path = normpath(folder / match["path"])
        anchor = match["anchor"] or ""
        if path in PLACES:
            return f"]({PLACES[path]}{anchor})"
        if path.startswith("docs/"):
            return f"]({path.removeprefix('docs/')}{anchor})"
        return f"]({repository}/blob/main/{path}{anchor})"

    return _LINK.sub(to_site, text)
