"""The messages that docs/troubleshooting.md explains are those of the code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.docs.pages import REPOSITORY, page, spans

DIFFERS = "…"
OF_OTHERS = {
    "The host or port to test differs from the stored connection",
    "pyarrow requires NumPy 2.0 or newer",
}
"""What Airflow and pyarrow say themselves."""

_PLACEHOLDER = re.compile(r"%(?:\.\d)?[sdrf]")
_SEVERAL = re.compile(f"{DIFFERS}(?:{DIFFERS})+")


def _messages() -> Iterator[str]:
    page_text = page("troubleshooting")
    headings = (
        "The connection",
        "Segments",
        "The refresh",
        "The field map",
        "Limits",
        "The ledger and the lock",
        "Mailchimp",
        "Waiting and accounting",
    )
    for heading in headings:
        for row in page_text.table(heading, "message", "meaning", "remedy"):
            yield from spans(row[0])
    for row in page("ledger").table("Sending everybody", "message", "remedy"):
        yield from spans(row[0])
    for row in page("erasure").table("When it stops", "message", "meaning", "remedy"):
        yield from spans(row[0])


def texts_of_the_code() -> str:
    """Return all texts in the package, one a line; what differs is a placeholder."""
    package = REPOSITORY / "airflow_mailchimp_export"
    files = (path for path in sorted(package.rglob("*.py")) if "sandbox" not in path.parts)
    return "\n".join(text for path in files for text in _texts(ast.parse(path.read_text(encoding="utf-8"))))


def _texts(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = (part.value if isinstance(part, ast.Constant) else DIFFERS for part in node.values)
            yield _SEVERAL.sub(DIFFERS, "".join(map(str, parts)))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield _PLACEHOLDER.sub(DIFFERS, node.value)


def test_messages() -> None:
    """Every message stands in the code, word for word."""
    messages = {*_messages()} - OF_OTHERS
    assert len(messages) > 50
    texts = texts_of_the_code()
    assert sorted(message for message in messages if message not in texts) == []
