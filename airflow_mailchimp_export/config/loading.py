"""Reads ``exports.yaml``: what is right of it, and all that is wrong."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from airflow_mailchimp_export.config.document import read_document
from airflow_mailchimp_export.config.entries import Export, Segment
from airflow_mailchimp_export.config.mistakes import (
    KeyPath,
    Mistake,
    Place,
    dotted,
    problems_of,
    unknown_key,
)
from airflow_mailchimp_export.config.models import Configuration
from airflow_mailchimp_export.config.notifiers import notifier_problems
from airflow_mailchimp_export.config.profiles import Profiles
from airflow_mailchimp_export.config.references import (
    equal_but_for_case,
    problems_of_references,
    unknown_segments,
)
from airflow_mailchimp_export.config.rules import problems_of_rules
from airflow_mailchimp_export.config.values import key_problems
from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.settings.coercion import InvalidValue, describe_type, string_list

_M = TypeVar("_M", bound=BaseModel)

_HIDDEN = "x-"
"""What keys at the top begin with that are only there to be referred to by anchors."""

_OF_EXPORTS = {
    **dict.fromkeys(Export.model_fields.keys() - Configuration.model_fields.keys(), "a key"),
    "mailchimp_conn_id": "the key connection",
    "field_map": "the keys email, first_name, last_name and fields",
}
"""What belongs to exports, and what release 0.1.0 called it where it had but one export at the top."""

_PARTS = ("segments", "exports", "defaults")
"""The keys at the top whose entries may have mistakes without all the others being in doubt."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What came of reading a file.

    :param configuration: what is right of it; ``None`` where a mistake concerns all of it.
    :param mistakes: all that is wrong, in the order of the file.
    :param broken: the names of the exports that are left out because of mistakes.
    """

    file: Path
    configuration: Configuration | None
    mistakes: tuple[Mistake, ...]
    broken: tuple[str, ...] = ()

    def error(self) -> ConfigError:
        """Make one error of all mistakes."""
        many = f"{len(self.mistakes)} mistakes" if len(self.mistakes) > 1 else "a mistake"
        return ConfigError("\n".join([f"{self.file} has {many}:", *map(str, self.mistakes)]))


def load(file: Path | str, *, imports: bool = False) -> Loaded:
    """Read a file; a mistake in an export or a segment leaves out that one and who uses it, and nothing else.

    :param imports: whether the notifiers of alerts are imported, to find out whether they are there.
    """
    return _Loading(Path(file), imports=imports).load()


class _Loading:
    """One reading of a file."""

    def __init__(self, file: Path, *, imports: bool) -> None:
        self._file = file
        self._imports = imports
        document = read_document(file)
        self._data: Any = document.data
        self._places: dict[KeyPath, Place] = document.places
        # What is hidden shows its mistakes where it is referred to.
        self._mistakes = [one for one in document.mistakes if not dotted(one.path).startswith(_HIDDEN)]
        self._defaults: Mapping[str, Any] = {}
        self._entries: Mapping[str, Any] = {}

    def load(self) -> Loaded:
        """Read it all."""
        if not self._mistakes and not isinstance(self._data, dict):
            self._note(
                (), f"must be a mapping with keys such as exports; given was {describe_type(self._data)}"
            )
        if not isinstance(self._data, dict):
            return self._loaded(None)
        self._include_segments()
        self._defaults = self._mapping("defaults")
        self._entries = self._mapping("exports")
        profiles = self._profiles()
        segments = self._segments(profiles)
        exports = self._exports()
        frame = self._frame(profiles, segments)
        self._check_references(exports, segments, frame)
        if frame is None or any(map(_concerns_all, self._mistakes)):
            return self._loaded(None)
        healthy = {name: export for name, export in exports.items() if not self._is_broken(name)}
        return self._loaded(frame.model_copy(update={"exports": healthy}))

    def _loaded(self, configuration: Configuration | None) -> Loaded:
        mistakes = sorted(self._mistakes, key=lambda mistake: mistake.place)
        broken = tuple(
            name for name in self._entries if not configuration or name not in configuration.exports
        )
        return Loaded(self._file, configuration, tuple(mistakes), broken)

    def _include_segments(self) -> None:
        """Put the segments in place that are in a file of their own."""
        if isinstance(named := self._data.get("segments"), str):
            included = read_document(self._file.parent / named, at=("segments",))
            self._data["segments"] = included.data
            self._places.update(included.places)
            self._mistakes.extend(included.mistakes)

    def _mapping(self, key: str) -> Mapping[str, Any]:
        given = self._data.get(key)
        if given is not None and not isinstance(given, dict):
            self._note((key,), f"must be a mapping; given was {describe_type(given)}")
        return given if isinstance(given, dict) else {}

    def _profiles(self) -> Profiles:
        path = ("profiles",)
        given = self._with_query(self._data.get("profiles") or {}, path)
        profiles = self._validated(Profiles, given, path) or Profiles()
        return profiles.model_copy(update={"uri": _beside(self._file, profiles.uri)})

    def _segments(self, profiles: Profiles) -> dict[str, Segment]:
        given = self._mapping("segments")
        for key, other in equal_but_for_case(given):
            self._note(("segments", key), f"differs from {other!r} by case alone: rename one of them")
        made = {key: self._segment(key, entry) for key, entry in given.items()}
        sound = {key: segment for key, segment in made.items() if segment}
        for key, problem in () if self._has_mistakes(("profiles",)) else problems_of_rules(sound, profiles):
            self._note(("segments", key, *problem.path), problem.message)
        return {key: segment for key, segment in sound.items() if not self._has_mistakes(("segments", key))}

    def _segment(self, key: str, entry: Any) -> Segment | None:
        path = ("segments", key)
        segment = self._validated(Segment, self._with_query(entry or {}, path), path)
        return segment and segment.model_copy(update={"uri": _beside(self._file, segment.uri)})

    def _with_query(self, entry: Any, path: KeyPath) -> Any:
        """Put a query in place that is in a file of its own."""
        named = entry.get("sql") if isinstance(entry, dict) else None
        if not isinstance(named, str) or not named.strip().endswith(".sql") or len(named.split()) > 1:
            return entry
        try:
            query = (self._file.parent / named.strip()).read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not in UTF-8"
            self._note(
                (*path, "sql"), f"names a file that cannot be read ({why}): correct its path, or the file"
            )
            query = "SELECT"
        return {**entry, "sql": query}

    def _exports(self) -> dict[str, Export]:
        made = {name: self._export(name, entry) for name, entry in self._entries.items()}
        return {name: export for name, export in made.items() if export}

    def _export(self, name: str, entry: Any) -> Export | None:
        own = {} if entry is None else entry
        given = {**self._defaults, **own} if isinstance(own, dict) else own
        export = self._validated(Export, given, ("exports", name))
        for problem in notifier_problems(export) if export and self._imports else ():
            self._note(self._located(("exports", name, *problem.path)), problem.message)
        return export

    def _frame(self, profiles: Profiles, segments: Mapping[str, Segment]) -> Configuration | None:
        """Read what there is but for the exports."""
        given = {key: value for key, value in self._data.items() if not key.startswith(_HIDDEN)}
        given = {key: value for key, value in given.items() if key not in {"defaults", "exports"}}
        if given.get("segments") is not None:
            # What rules need of profiles nobody knows that have mistakes.
            given["segments"] = {} if self._has_mistakes(("profiles",)) else segments
        for key in given.keys() & _OF_EXPORTS.keys():
            self._note(
                (key,), unknown_key(key, (), elsewhere=f"{_OF_EXPORTS[key]} of an export, or of defaults")
            )
        frame = self._validated(Configuration, {**given, "profiles": profiles}, ())
        for problem in notifier_problems(frame.refresh) if frame and self._imports else ():
            self._note(("refresh", *problem.path), problem.message)
        return frame and frame.model_copy(update={"snapshots": _beside(self._file, frame.snapshots)})

    def _check_references(
        self, exports: Mapping[str, Export], segments: Mapping[str, Segment], frame: Configuration | None
    ) -> None:
        broken = [key for key in self._mapping("segments") if key not in segments]
        for name in self._entries.keys() - exports.keys():
            for problem in unknown_segments(self._named_segments(name), segments, broken):
                self._note(self._located(("exports", name, *problem.path)), problem.message)
        refresh = frame.refresh if frame else None
        for name, problem in problems_of_references(exports, segments, refresh, broken=broken):
            self._note(self._located(("exports", name, *problem.path)), problem.message)

    def _named_segments(self, name: str) -> Sequence[str]:
        """Return the segments that an export names, whatever else is wrong with it."""
        entry = self._entries[name] if isinstance(self._entries[name], dict) else {}
        try:
            return string_list({**self._defaults, **entry}.get("segments"))
        except InvalidValue:
            return ()

    def _validated(self, model: type[_M], given: Any, path: KeyPath) -> _M | None:
        for problem in key_problems(path, str(path[-1])) if path else ():
            self._note(path, problem.message)
        try:
            return model.model_validate(given)
        except ValidationError as error:
            for problem in problems_of(error.errors(include_url=False), model):
                self._note(self._located((*path, *problem.path)), problem.message)
        return None

    def _located(self, path: KeyPath) -> KeyPath:
        """Return where a key of an export stands: with the defaults, where the export has none of its own."""
        if path[:1] == ("exports",) and len(path) > 2 and path[:3] not in self._places:
            return ("defaults", *path[2:]) if path[2] in self._defaults else path
        return path

    def _note(self, path: KeyPath, message: str) -> None:
        """Note a mistake, unless there is one already that explains it."""
        if self._has_mistakes(path):
            return
        known = next(path[:length] for length in range(len(path), -1, -1) if path[:length] in self._places)
        self._mistakes.append(Mistake(self._places[known], path, message))

    def _has_mistakes(self, path: KeyPath) -> bool:
        return any(mistake.is_under(path) for mistake in self._mistakes)

    def _is_broken(self, name: str) -> bool:
        own = self._entries[name] or {}
        inherited = [("defaults", key) for key in self._defaults if key not in own]
        return any(map(self._has_mistakes, [("exports", name), *inherited]))


def _concerns_all(mistake: Mistake) -> bool:
    return mistake.path[:1] not in {(part,) for part in _PARTS} or len(mistake.path) == 1


def _beside(file: Path, path: str | None) -> str | None:
    return path if not path or "://" in path else os.path.normpath(file.parent.resolve() / path)
