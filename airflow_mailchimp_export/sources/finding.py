"""From a URI to the files of a segment, in an order that is always the same."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import unquote

from airflow_mailchimp_export.settings.segments import FileFormat, FileSpec
from airflow_mailchimp_export.sources.children import children_of
from airflow_mailchimp_export.sources.location import SourceLocation, listed, reading
from airflow_mailchimp_export.sources.packing import without_packing
from airflow_mailchimp_export.sources.paths import StoragePath
from airflow_mailchimp_export.sources.table_folders import check_no_table, check_no_table_among

_EXTENSIONS: Final = {
    ".parquet": FileFormat.PARQUET,
    ".parq": FileFormat.PARQUET,
    ".pq": FileFormat.PARQUET,
    ".csv": FileFormat.CSV,
    ".tsv": FileFormat.CSV,
    ".jsonl": FileFormat.JSONL,
    ".ndjson": FileFormat.JSONL,
}
_HIDDEN: Final = (".", "_")
_MAGIC: Final = frozenset("*?[")
_HIVE_NULL: Final = "__HIVE_DEFAULT_PARTITION__"


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

    Names that begin with a dot or an underscore are left out of folders, but for partitions, and no wildcard matches
    them.

    :raises SourceError: there are none, some cannot be read, their formats differ, or a folder cannot be listed.
    """
    location = SourceLocation(segment)
    with reading(SourceLocation(segment, spec.uri)):
        root, pattern = _split(spec.uri)
        start = path_factory(root, spec.conn_id)
        check_no_table(start, location)
        if not (pattern or start.is_dir()):
            return (_single(spec, start, location),)
        paths = _matches(start, pattern, location) if pattern else _below(start, location)
        files = _usable({str(path): path for path in paths}, spec, location=location, is_glob=bool(pattern))
        return tuple(_found(path, given, root=str(start)) for path, given in files)


def _split(uri: str) -> tuple[str, Sequence[str]]:
    """Part a URI into the folder before its first wildcard, and the rest."""
    parts = uri.split("/")
    first = next((number for number, part in enumerate(parts) if _MAGIC.intersection(part)), len(parts))
    if first == len(parts):
        return uri, ()
    return "/".join(parts[:first]) or ("/" if first else "."), [part for part in parts[first:] if part]


def _matches(folder: StoragePath, pattern: Sequence[str], location: SourceLocation) -> Iterator[StoragePath]:
    if pattern[0] == "**":
        yield from _matches_at_any_depth(folder, pattern, location)
        return
    for path in _children(folder, pattern[0], location):
        is_folder = _is_folder(path)
        if is_folder and pattern[1:]:
            yield from _matches(path, pattern[1:], location)
        elif not (pattern[1:] or is_folder or _leads_back(path)):
            yield path


def _matches_at_any_depth(
    folder: StoragePath, pattern: Sequence[str], location: SourceLocation
) -> Iterator[StoragePath]:
    yield from _matches(folder, pattern[1:] or ["*"], location)
    for path in _children(folder, "*", location):
        if _is_folder(path) and not _leads_back(path):
            yield from _matches(path, pattern, location)


def _is_folder(path: Any) -> bool:
    """Whether a path is a folder, or an empty object that some storages have in the place of one."""
    if path.is_dir():
        return True
    if _format_of(path) is not None:
        return False
    with suppress(Exception):  # most storages do not list what is a file to them
        return path.stat().st_size == 0 and any(str(child) != str(path) for child in path.iterdir())
    return False


def _leads_back(path: Any) -> bool:
    """Whether a link leads to itself or a folder above it: what is there was read, and would be again and again."""
    local = local_path(path)
    if local is None or not os.path.islink(local):
        return False
    target = os.path.realpath(local)
    is_loop = os.path.islink(target)
    return is_loop or target in {os.path.realpath(above) for above in local.absolute().parents}


def local_path(path: Any) -> Path | None:
    """Return a path of this machine's disks as one of the standard library; ``None`` for one of other storage."""
    return Path(str(getattr(path, "path", path))) if getattr(path, "protocol", "") in _LOCAL else None


_LOCAL: Final = ("", "file", "local")


def _below(folder: StoragePath, location: SourceLocation) -> Iterator[StoragePath]:
    return _matches(folder, ["**"], location)


def _children(folder: StoragePath, glob: str, location: SourceLocation) -> Iterator[StoragePath]:
    # pathlib's own globbing passes over folders that it may not list, and half a segment would be read.
    children = list(children_of(folder))
    check_no_table_among(folder, children, location)
    for path in children:
        if not path.name or str(path).rstrip("/") == str(folder).rstrip("/"):
            if path.is_dir():
                raise location.error(
                    f"below {str(folder)!r} there are keys with '//', which no folder has: rename them."
                )
            continue  # the folder's own marker in an object storage
        hidden = path.name.startswith(_HIDDEN) and "=" not in path.name and not glob.startswith(_HIDDEN)
        if not hidden and fnmatchcase(path.name, glob):
            yield path


def _single(spec: FileSpec, path: StoragePath, location: SourceLocation) -> FoundFile:
    if not path.is_file():
        raise location.error(
            f"there is no file or folder {spec.uri!r}; beside it there are {_neighbours(path)}."
        )
    given = spec.format or _format_of(path)
    if given is None:
        raise location.error(f"the name of {spec.uri!r} does not tell the format: {_remedy_for(path.name)}.")
    return _found(path, given, root=str(path.parent))


def _neighbours(path: StoragePath) -> str:
    with suppress(Exception):  # storages fail in their own ways, and the missing file is what matters
        return listed(sorted(child.name for child in _children(path.parent, "*", SourceLocation(""))))
    return "no readable files"


def _usable(
    paths: Mapping[str, StoragePath], spec: FileSpec, *, location: SourceLocation, is_glob: bool
) -> list[tuple[StoragePath, FileFormat]]:
    found = [
        (paths[key], _format_of(paths[key])) for key in sorted(paths) if not _is_marker(paths[key], paths)
    ]
    if not found:
        raise location.error(
            f"no {spec.format or 'Parquet or CSV'} file is in {spec.uri!r}; there is nothing but what is "
            "hidden. A glob must match files, not folders."
        )
    if spec.format:
        return [(path, spec.format) for path, _ in _of_format(found, spec, location, is_glob=is_glob)]
    if unknown := [path.name for path, given in found if given is None]:
        raise location.error(
            f"{spec.uri!r} has files whose names do not tell the format ({listed(unknown)}): "
            f"{_remedy_for(unknown[0])}, remove them, or let a glob leave them out."
        )
    formats = sorted({given for _, given in found if given})
    if len(formats) > 1:
        raise location.error(
            f"{spec.uri!r} has files of several formats, {' and '.join(formats)} "
            f"({listed(path.name for path, _ in found)}): let a glob choose, such as '*.{formats[0]}'."
        )
    return [(path, given) for path, given in found if given]


def _of_format(
    found: list[tuple[StoragePath, FileFormat | None]],
    spec: FileSpec,
    location: SourceLocation,
    *,
    is_glob: bool,
) -> list[tuple[StoragePath, FileFormat | None]]:
    """Everything there is of the format; a glob has chosen, but a folder may hold what is surely of another one."""
    others = [path.name for path, given in found if given not in {None, spec.format}]
    others += [path.name for path, given in found if given is None and path.name.lower().endswith(_NO_TEXT)]
    if others and not is_glob:
        raise location.error(
            f"{spec.uri!r} has files that are not {spec.format} ({listed(others)}): "
            "remove them, or let a glob leave them out."
        )
    return found


def _is_marker(path: StoragePath, paths: Mapping[str, StoragePath]) -> bool:
    """Whether a file is an empty one that stands for the folder of its name, as some object storages have them."""
    below = f"{str(path).rstrip('/')}/"
    return any(other.startswith(below) for other in paths)


_NO_TEXT: Final = (".xlsx", ".xls", ".ods", ".avro", ".orc", ".feather", ".arrow", ".pdf")


def _remedy_for(name: str) -> str:
    if name.lower().endswith(_NO_TEXT[:3]):
        return "save workbooks as CSV ('CSV UTF-8')"
    if name.lower().endswith(_NO_TEXT):
        return "write Parquet or CSV"
    return f"add 'format' to the segment, {' or '.join(_OF_FILES)}"


_OF_FILES: Final = (FileFormat.PARQUET, FileFormat.CSV, FileFormat.JSONL)


def _format_of(path: StoragePath) -> FileFormat | None:
    name = path.name.lower()
    plain = without_packing(name)
    found = next((given for extension, given in _EXTENSIONS.items() if plain.endswith(extension)), None)
    return None if found is FileFormat.PARQUET and plain != name else found


def _found(path: StoragePath, given: FileFormat, *, root: str) -> FoundFile:
    label = str(path).removeprefix(root).lstrip("/")
    folders = [folder.partition("=") for folder in str(path).split("/")[:-1]]
    partitions = {
        unquote(key): None if value == _HIVE_NULL else unquote(value)
        for key, equals, value in folders
        if equals
    }
    return FoundFile(path, label, given, partitions)
