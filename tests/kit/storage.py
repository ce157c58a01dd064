"""An object storage in memory that counts what it is asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, TypeVar

import fsspec
from fsspec.implementations.memory import MemoryFileSystem
from upath import UPath
from upath.registry import register_implementation

T = TypeVar("T")


class CountedFileSystem(MemoryFileSystem):
    """Notes each request, as its kind and the last two names of its path; what a request does inside is not one.

    Folders cost nothing: an object storage has none.
    """

    protocol = "counted"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    requests: ClassVar[list[tuple[str, str]]] = []
    _inside = threading.local()

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        return super()._strip_protocol(
            path.replace("counted://", "memory://") if isinstance(path, str) else path
        )

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **how: Any) -> Any:
        """Write an object."""
        return self._counted(
            "write", path, lambda: super(CountedFileSystem, self).pipe_file(path, value, mode, **how)
        )

    def cat_file(self, path: str, start: Any = None, end: Any = None, **how: Any) -> Any:
        """Read an object."""
        return self._counted(
            "read", path, lambda: super(CountedFileSystem, self).cat_file(path, start, end, **how)
        )

    def get_file(self, rpath: str, lpath: str, *args: Any, **how: Any) -> Any:
        """Fetch an object."""
        return self._counted(
            "read", rpath, lambda: super(CountedFileSystem, self).get_file(rpath, lpath, *args, **how)
        )

    def exists(self, path: str, **how: Any) -> Any:
        """Ask for an object."""
        return self._counted("look", path, lambda: super(CountedFileSystem, self).exists(path, **how))

    def ls(self, path: str, detail: bool = True, **how: Any) -> Any:
        """List a folder."""
        return self._counted("list", path, lambda: super(CountedFileSystem, self).ls(path, detail, **how))

    def find(self, path: str, *args: Any, **how: Any) -> Any:
        """List all that is below a folder."""
        return self._counted("list", path, lambda: super(CountedFileSystem, self).find(path, *args, **how))

    def modified(self, path: str) -> Any:
        """Ask when an object was written."""
        return self._counted("look", path, lambda: super(CountedFileSystem, self).modified(path))

    def rm_file(self, path: str) -> Any:
        """Remove an object."""
        return self._counted("remove", path, lambda: super(CountedFileSystem, self).rm_file(path))

    def _counted(self, kind: str, path: str, work: Callable[[], T]) -> T:
        if getattr(self._inside, "one", False):
            return work()
        self.requests.append((kind, "/".join(path.strip("/").split("/")[-2:])))
        self._inside.one = True
        try:
            return work()
        finally:
            self._inside.one = False


class CountedPath(UPath):
    """A path there."""


fsspec.register_implementation("counted", CountedFileSystem, clobber=True)
register_implementation("counted", CountedPath, clobber=True)


@contextmanager
def counted() -> Iterator[list[tuple[str, str]]]:
    """Lend the requests that are made meanwhile."""
    before = len(CountedFileSystem.requests)
    seen: list[tuple[str, str]] = []
    yield seen
    seen += CountedFileSystem.requests[before:]
