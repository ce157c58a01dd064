"""A YAML file as plain data, with the place of each value.

Every scalar stays the text that was written: whoever wants a number or a switch parses it, so that neither an id of
digits nor a country called NO becomes something else on the way. Nothing but a plain null, or nothing at all, is null.
``${NAME}`` in a value stands for an environment variable, ``${NAME:-value}`` for one with a default.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import yaml

from airflow_mailchimp_export.config.mistakes import KeyPath, Mistake, Place

VARIABLE: Final = re.compile(r"\$\{(?P<name>\w+)(?::-(?P<default>[^}]*))?\}")

_NULL, _MERGE = "tag:yaml.org,2002:null", "tag:yaml.org,2002:merge"
_STANDARD_TAGS = "tag:yaml.org,2002:"

# The one in C is ten times as fast, and not everywhere.
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _TextLoader(_Base):  # type: ignore[misc]  # its base is chosen at run time
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {  # noqa: RUF012 - as in its base
        first: [(tag, pattern) for tag, pattern in entries if tag in {_NULL, _MERGE}]
        for first, entries in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


@dataclass(frozen=True, slots=True)
class Document:
    """What a file holds.

    :param data: mappings, lists, texts and nulls.
    :param places: where each key and each entry of a list stands.
    """

    data: Any
    places: dict[KeyPath, Place]
    mistakes: tuple[Mistake, ...]


def read_document(file: Path, at: KeyPath = ()) -> Document:
    """Read a file; what is wrong with it is among its mistakes.

    :param at: the path at which the configuration has what the file holds.
    """
    start = Place(str(file))
    try:
        root = yaml.compose(file.read_text(encoding="utf-8-sig"), Loader=_TextLoader)
    except OSError as error:
        message = f"The file cannot be read ({error.strerror}): correct its path, or its rights"
        return _unreadable(at, start, message)
    except UnicodeDecodeError:
        return _unreadable(at, start, "The file is not in UTF-8: save it in that encoding")
    except yaml.YAMLError as error:
        return _unreadable(at, _place_of(start, error), _words_of(error))
    reader = _Reader(str(file), {at: start})
    data = None if root is None else reader.value(root, at)
    return Document(data, reader.places, tuple(reader.mistakes))


def _unreadable(at: KeyPath, place: Place, message: str) -> Document:
    return Document(None, {at: place}, (Mistake(place, at, message),))


def _place_of(start: Place, error: yaml.YAMLError) -> Place:
    mark = getattr(error, "problem_mark", None)
    return Place(start.file, mark.line + 1, mark.column + 1) if mark else start


def _words_of(error: yaml.YAMLError) -> str:
    parts = [getattr(error, name, None) for name in ("context", "problem", "reason")]
    words = ", ".join(part for part in parts if part)
    return f"This is no YAML: {words}; check indentation, colons and quotes from here upwards"


@dataclass(slots=True)
class _Reader:
    """Makes plain data of nodes, and notes where they stand and what is wrong with them."""

    file: str
    places: dict[KeyPath, Place]
    mistakes: list[Mistake] = field(default_factory=list)
    _open: set[int] = field(default_factory=set)

    def value(self, node: yaml.Node, path: KeyPath) -> Any:
        self.places.setdefault(path, self._place(node))
        if not node.tag.startswith(_STANDARD_TAGS):
            self._note(node, path, f"has the tag {node.tag}, which means nothing here: remove it")
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if id(node) in self._open:
            self._note(node, path, "contains itself, by an alias: remove the alias")
            return None
        self._open.add(id(node))
        made = self._mapping(node, path) if isinstance(node, yaml.MappingNode) else self._list(node, path)
        self._open.remove(id(node))
        return made

    def _list(self, node: yaml.Node, path: KeyPath) -> list[Any]:
        return [self.value(entry, (*path, number)) for number, entry in enumerate(node.value)]

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        made = {}
        for name, (key, value) in self._entries(node, path).items():
            self.places[*path, name] = self._place(key)
            made[name] = self.value(value, (*path, name))
        return made

    def _entries(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        """Return what stands in a mapping, over what it merges from others."""
        own: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        merged: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key, value in node.value:
            if key.tag == _MERGE:
                for source in self._merged(value, path):
                    merged = {**self._entries(source, path), **merged}
            elif not isinstance(key, yaml.ScalarNode):
                self._note(key, path, "has a key that is a mapping or a list: keys are names")
            elif key.value in own:
                first = own[key.value][0].start_mark.line + 1
                self._note(
                    key, (*path, key.value), f"stands there twice, first in line {first}: remove one of them"
                )
            else:
                own[key.value] = (key, value)
        return {**merged, **own}

    def _merged(self, node: yaml.Node, path: KeyPath) -> Iterator[yaml.MappingNode]:
        for source in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            if isinstance(source, yaml.MappingNode) and id(source) not in self._open:
                yield source
            else:
                self._note(source, path, "merges with << what is no mapping: name the anchor of one")

    def _scalar(self, node: yaml.ScalarNode, path: KeyPath) -> str | None:
        if node.tag == _NULL:
            return None
        text = cast("str", node.value)
        if "${" not in text:
            return text
        if "${" in VARIABLE.sub("", text):
            self._note(node, path, "has a ${ that names no variable: write ${NAME} or ${NAME:-value}")
            return None
        lacking = [
            match["name"]
            for match in VARIABLE.finditer(text)
            if match["default"] is None and not os.environ.get(match["name"])
        ]
        for name in lacking:
            message = (
                f"names the environment variable {name}, which is not set: set it for Airflow's DAG processor and "
                f"its workers, or give a default as in ${{{name}:-value}}"
            )
            self._note(node, path, message)
        return None if lacking else VARIABLE.sub(_of_environment, text)

    def _place(self, node: yaml.Node) -> Place:
        return Place(self.file, node.start_mark.line + 1, node.start_mark.column + 1)

    def _note(self, node: yaml.Node, path: KeyPath, message: str) -> None:
        self.mistakes.append(Mistake(self._place(node), path, message))


def _of_environment(match: re.Match[str]) -> str:
    return os.environ.get(match["name"]) or match["default"]
