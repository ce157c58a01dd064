"""What the README calls run is what scripts/matrix.sh runs."""

from __future__ import annotations

import re

from tests.docs.pages import REPOSITORY, Page

SCRIPT = (REPOSITORY / "scripts" / "matrix.sh").read_text(encoding="utf-8")


def test_releases_of_airflow() -> None:
    """The table names the oldest, the newest and each other release that the matrix runs unless told otherwise."""
    named = dict(re.findall(r"^(oldest|newest)=(.+)$", SCRIPT, re.MULTILINE))
    (usual,) = re.findall(r"^\(\(\$#\)\) \|\| set -- (.+)$", SCRIPT, re.MULTILINE)
    asked = [word.partition(":")[0] for word in usual.split()]
    run = {named.get(word, word) for word in asked if word != "lowest"}
    cells = dict(Page("README.md").table("Compatibility", "", "version"))
    assert run <= set(re.findall(r"\d\.\d+\.\d+\w*", cells["Apache Airflow"]))
