"""What is in a folder of a segment, also where the folder has a marker of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def children_of(folder: Any) -> Sequence[Any]:
    """List what is in a folder.

    Some tools write an empty object for a folder itself. It is listed as a child of the folder's own name, and Azure's
    file system then lists nothing else, so that people would be lost; a search for all that is below finds the rest.
    """
    children = list(folder.iterdir())
    if hasattr(folder, "fs") and any(child.name in {"", folder.name} for child in children):
        return [folder / name for name in _names_below(folder)]
    return children


def _names_below(folder: Any) -> Sequence[str]:
    own = folder.path.strip("/")
    found = [path.strip("/") for path in folder.fs.find(folder.path)]
    # It would not find the files that its listing lacked.
    folder.fs.invalidate_cache()
    return sorted({path.removeprefix(f"{own}/").partition("/")[0] for path in found if path != own})
