"""Links lead somewhere, and the pages keep the house's rules."""

from __future__ import annotations

import re

import pytest

from tests.docs.pages import PAGES, REPOSITORY, Page, blocks, spans

TWO_SENTENCES = re.compile(r"(?<![ .](?:e\.g|i\.e))[.!?] +[A-Z`]")
NUMBERED = re.compile(r"^\d+\. ")
PATH_OF_A_MACHINE = re.compile(r"(?<![\w.:])/(?:home|root|tmp|work|Users)/")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
class TestPages:
    """Each page."""

    def test_links(self, page: Page) -> None:
        """Every link within the repository leads to a file, and to a heading in it where it names one."""
        for target in page.links:
            name, _, anchor = target.partition("#")
            if "://" in target:
                continue
            file = (REPOSITORY / page.name).parent / name if name else REPOSITORY / page.name
            assert file.exists(), f"{target} leads nowhere"
            if anchor:
                linked = Page(str(file.resolve().relative_to(REPOSITORY)))
                assert anchor in linked.anchors, f"{target} names no heading"

    def test_sentences(self, page: Page) -> None:
        """No line of prose holds two sentences."""
        lines = (
            NUMBERED.sub("", line) for line in page.prose.splitlines() if not line.startswith(("|", "#"))
        )
        assert [line for line in lines if TWO_SENTENCES.search(line)] == []

    def test_machines(self, page: Page) -> None:
        """No path of a single machine stands there."""
        assert PATH_OF_A_MACHINE.findall(page.text) == []


def test_index() -> None:
    """The README leads to every page."""
    readme, *others = PAGES
    assert {page.name for page in others} <= set(readme.links)


def test_make_targets() -> None:
    """Every target of make that is named anywhere exists."""
    makefile = (REPOSITORY / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    prose = (span for page in PAGES for span in spans(page.prose))
    code = (block.code for block in blocks("console"))
    named = {name for text in (*prose, *code) for name in re.findall(r"\bmake ([a-z][a-z-]*)\b", text)}
    assert named
    assert named <= targets
