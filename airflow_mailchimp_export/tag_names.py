"""What one tag is: Mailchimp trims a tag's name and folds its case, so ``VIP`` and ``vip`` are one tag."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

T = TypeVar("T")


def tag_key(name: str) -> str:
    """Return what all spellings of a tag have in common."""
    return name.strip().casefold()


def by_key(tags: Mapping[str, T]) -> dict[str, T]:
    """Return what is known of tags by their keys; of two spellings the first counts."""
    found: dict[str, T] = {}
    for name, value in tags.items():
        found.setdefault(tag_key(name), value)
    return found


def respellings(tags: Iterable[str], wanted: Iterable[str]) -> dict[str, str]:
    """Return the tags that are wanted in another spelling, and that spelling."""
    spelled = by_key({name: name for name in wanted})
    return {tag: spelled[tag_key(tag)] for tag in tags if spelled.get(tag_key(tag), tag) != tag}
