"""What is needed of a path on any storage."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, Self


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

    def __truediv__(self, name: str, /) -> Self:
        """What is in the folder under a name."""
        ...

    def open(self, mode: Any) -> Any:
        """Open the file."""
        ...
