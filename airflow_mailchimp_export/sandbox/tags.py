"""Tags, and the rule by which two spellings name the same tag."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_mailchimp_export.sandbox.columns import Column


@dataclass(slots=True, eq=False)
class Tag:
    """A static segment, which is the same as a tag; or a saved segment, which has conditions."""

    tag_id: int
    name: str
    created: int
    updated: int
    conditions: Mapping[str, Any] | None = None
    members: Column = field(default_factory=Column)

    @property
    def saved(self) -> bool:
        """Whether it has conditions: then nobody is put on it by hand."""
        return self.conditions is not None


class TagNames:
    """Finds the tags of one audience by name.

    :param tags: the tags by their ids, oldest first.
    :param folds_case: asked at each look-up, because the setting may change at any time.
    """

    def __init__(self, tags: Mapping[int, Tag], folds_case: Callable[[], bool]) -> None:
        self._tags, self._folds_case = tags, folds_case
        self._found: dict[tuple[bool, str], Tag] = {}
        self._folded: bool | None = None

    def spelled(self, name: str) -> str:
        """The name as a new tag gets it."""
        return name.strip() if self._folds_case() else name

    def key(self, name: str) -> str:
        """What all spellings of a name have in common."""
        return self.spelled(name).casefold() if self._folds_case() else name

    def find(self, name: str, *, saved: bool = False) -> Tag | None:
        """The tag, or the saved segment, of this name; the oldest, if there are several."""
        if self._folded is not self._folds_case():
            self._index()
        return self._found.get((saved, self.key(name)))

    def add(self, tag: Tag) -> None:
        """A tag is new."""
        self._found.setdefault((tag.saved, self.key(tag.name)), tag)

    def forget(self) -> None:
        """A name has changed, or is gone: the next look-up reads all of them again."""
        self._folded = None

    def _index(self) -> None:
        self._folded, self._found = self._folds_case(), {}
        for tag in self._tags.values():
            self.add(tag)
