"""From a URI to the files of a segment, in an order that is always the same."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final, Protocol, Self, TypeAlias
from urllib.parse import unquote

from airflow_mailchimp_export.settings.segments import FileFormat, FileSpec
from airflow_mailchimp_export.sources.location import SourceLocation, listed, reading

_EXTENSIONS: Final = {
    ".parquet": FileFormat.PARQUET,
    ".parq": FileFormat.PARQUET,
    ".pq": FileFormat.PARQUET,
    ".csv": FileFormat.CSV,
    ".csv.gz": FileFormat.CSV,
}
_HIDDEN: Final = (".", "_")
_MAGIC: Final = frozenset("*?[")
_HIVE_NULL: Final = "__HIVE_DEFAULT_PARTITION__"


class StoragePath(Protocol):
    """What is needed of a path: UPath and Airflow's ObjectStoragePath have it."""

    @property
    def name(self) -> str:
        """The last part."""
        ...

    @property
    def parent(self) -> Self:
        """The folder that it is in."""
        ...

    def is_dir(self) -> bool:
        """Whether it is a folder."""
        ...

    def is_file(self) -> bool:
        """Whether it is a file."""
        ...

    def iterdir(self) -> Iterator[Self]:
        """List what is in the folder."""
        ...

    def open(self, mode: Any) -> Any:
        """Open the file."""
        ...


def identity_of(path: Any, location: SourceLocation) -> str:
    """Return what tells two contents of a file apart, as its storage has it: path, size and version or time.

    :raises SourceError: it is gone.
    """
    with reading(location):
        found = path.stat()
    info = found.as_info() if hasattr(found, "as_info") else {}
    version = next((info[name] for name in _VERSIONS if info.get(name)), found.st_mtime)
    return f"{path}|{found.st_size}|{version}"


_VERSIONS: Final = ("ETag", "etag", "generation", "created", "mtime", "LastModified", "last_modified")
"""Where object storages tell the version of a file, the most exact first."""

PathFactory: TypeAlias = Callable[[str, str | None], StoragePath]
"""Makes a path of a URI and the Airflow connection of its storage."""


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file of a segment.

    :param label: its path below the folder that was searched.
    :param partitions: the columns that stand in the names of the folders above it, as Hive writes them.
    """

    path: StoragePath
    label: str
    format: FileFormat
    partitions: Mapping[str, str | None]


def find_files(spec: FileSpec, *, segment: str, path_factory: PathFactory) -> tuple[FoundFile, ...]:
    """Find the files that a URI means, sorted by their paths.

    Names that begin with a dot or an underscore are left out of folders, and no wildcard matches them.

    :raises SourceError: there are none, their formats differ or are unknown, or a folder cannot be read.
    """
    location = SourceLocation(segment)
    with reading(SourceLocation(segment, spec.uri)):
        root, pattern = _split(spec.uri)
        start = path_factory(root, spec.conn_id)
        if not (pattern or start.is_dir()):
            return (_single(spec, start, location),)
        paths = _matches(start, pattern) if pattern else _below(start)
        files = _usable({str(path): path for path in paths}, spec, location=location, is_glob=bool(pattern))
        return tuple(_found(path, given, root=str(start)) for path, given in files)


def _split(uri: str) -> tuple[str, Sequence[str]]:
    """Part a URI into the folder before its first wildcard, and the rest."""
    parts = uri.split("/")
    first = next((number for number, part in enumerate(parts) if _MAGIC.intersection(part)), len(parts))
    if first == len(parts):
        return uri, ()
    return "/".join(parts[:first]) or ("/" if first else "."), [part for part in parts[first:] if part]


def _matches(folder: StoragePath, pattern: Sequence[str]) -> Iterator[StoragePath]:
    if pattern[0] == "**":
        yield from _matches_at_any_depth(folder, pattern)
        return
    for path in _children(folder, pattern[0]):
        if path.is_dir() and pattern[1:]:
            yield from _matches(path, pattern[1:])
        elif not (pattern[1:] or path.is_dir()):
            yield path


def _matches_at_any_depth(folder: StoragePath, pattern: Sequence[str]) -> Iterator[StoragePath]:
    yield from _matches(folder, pattern[1:] or ["*"])
    for path in _children(folder, "*"):
        if path.is_dir() and not _leads_back(path):
            yield from _matches(path, pattern)


def _leads_back(path: Any) -> bool:
    """Whether a link leads to a folder above it: what is there was read, and would be again and again."""
    if getattr(path, "protocol", "") not in _LOCAL:
        return False
    local = str(getattr(path, "path", path))
    if not os.path.islink(local):
        return False
    return os.path.realpath(local) in {os.path.realpath(above) for above in Path(local).absolute().parents}


_LOCAL: Final = ("", "file", "local")


def _below(folder: StoragePath) -> Iterator[StoragePath]:
    return _matches(folder, ["**"])


def _children(folder: StoragePath, glob: str) -> Iterator[StoragePath]:
    # pathlib's own globbing passes over folders that it may not list, and half a segment would be read.
    for path in folder.iterdir():
        hidden = path.name.startswith(_HIDDEN) and not glob.startswith(_HIDDEN)
        if path.name and not hidden and fnmatchcase(path.name, glob):
            yield path


def _single(spec: FileSpec, path: StoragePath, location: SourceLocation) -> FoundFile:
    if not path.is_file():
        raise location.error(
            f"there is no file or folder {spec.uri!r}; beside it there are {_neighbours(path)}."
        )
    given = spec.format or _format_of(path)
    if given is None:
        raise location.error(
            f"the name of {spec.uri!r} does not tell the format: add 'format' to the segment, "
            f"{' or '.join(FileFormat)}."
        )
    return _found(path, given, root=str(path.parent))


def _neighbours(path: StoragePath) -> str:
    with suppress(Exception):  # storages fail in their own ways, and the missing file is what matters
        return listed(sorted(child.name for child in _children(path.parent, "*")))
    return "no readable files"


def _usable(
    paths: Mapping[str, StoragePath], spec: FileSpec, *, location: SourceLocation, is_glob: bool
) -> list[tuple[StoragePath, FileFormat]]:
    anything = spec.format if is_glob else None
    candidates = [(paths[key], anything or _format_of(paths[key])) for key in sorted(paths)]
    usable = [
        (path, given) for path, given in candidates if given is not None and spec.format in {None, given}
    ]
    if not usable:
        raise location.error(
            f"no {spec.format or 'Parquet or CSV'} file is in {spec.uri!r}; "
            f"there are {listed(path.name for path, _ in candidates)}. A glob must match files, not folders."
        )
    if len({given for _, given in usable}) > 1:
        raise location.error(
            f"{spec.uri!r} has both Parquet and CSV files ({listed(path.name for path, _ in usable)}): "
            "add 'format' to the segment to choose."
        )
    return usable


def _format_of(path: StoragePath) -> FileFormat | None:
    name = path.name.lower()
    return next((given for extension, given in _EXTENSIONS.items() if name.endswith(extension)), None)


def _found(path: StoragePath, given: FileFormat, *, root: str) -> FoundFile:
    label = str(path).removeprefix(root).lstrip("/")
    folders = [folder.partition("=") for folder in str(path).split("/")[:-1]]
    partitions = {
        unquote(key): None if value == _HIVE_NULL else unquote(value)
        for key, equals, value in folders
        if equals
    }
    return FoundFile(path, label, given, partitions)
