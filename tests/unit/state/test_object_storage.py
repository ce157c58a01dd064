"""Objects: whole or not at all, created once, and looked at anew each time."""

from __future__ import annotations

import errno
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, ClassVar
from uuid import uuid4

import fsspec
import pytest
from fsspec.asyn import AsyncFileSystem
from upath import UPath
from upath.registry import register_implementation

from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.state.folder import Folder
from airflow_mailchimp_export.state.object_storage import ALONE, ObjectStorage
from tests.kit.clock import FakeClock
from tests.kit.mortal import Killed

SIZE = 44_166


class Bucket(AsyncFileSystem):
    """An object store: requests change it at once, an open file changes it at its end, listings are remembered."""

    protocol = "bucket"
    objects: ClassVar[dict[str, bytes]] = {}
    refusal: ClassVar[OSError | None] = None
    loses_answers: ClassVar[bool] = False

    async def _pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_: Any) -> None:
        if mode == "create" and self.refusal:
            raise self.refusal
        path = self._strip_protocol(path)
        if mode == "create" and path in self.objects:
            raise FileExistsError(path)
        self.objects[path] = bytes(value)
        if mode == "create" and self.loses_answers:
            raise FileExistsError(path)

    async def _put_file(self, lpath: str, rpath: str, mode: str = "overwrite", **_: Any) -> None:
        await self._pipe_file(rpath, Path(lpath).read_bytes(), mode)

    async def _cat_file(self, path: str, start: Any = None, end: Any = None, **_: Any) -> bytes:
        try:
            return self.objects[self._strip_protocol(path)]
        except KeyError:
            raise FileNotFoundError(path) from None

    async def _ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        path = self._strip_protocol(path).rstrip("/")
        if path not in self.dircache:
            self.dircache[path] = self._listed(path)
        listed = self.dircache[path]
        if not listed:
            raise FileNotFoundError(path)
        return listed if detail else [entry["name"] for entry in listed]

    async def _info(self, path: str, **_: Any) -> dict[str, Any]:
        path = self._strip_protocol(path)
        listed = await self._ls(self._parent(path))
        return next((entry for entry in listed if entry["name"] == path), None) or self._missing(path)

    async def _rm_file(self, path: str, **_: Any) -> None:
        if self.objects.pop(self._strip_protocol(path), None) is None:
            raise FileNotFoundError(path)

    async def _mkdir(self, path: str, *_: Any, **__: Any) -> None:
        pass

    def _open(self, path: str, mode: str = "rb", **_: Any) -> Any:
        return _Draft(self, path) if mode == "wb" else super()._open(path, mode)

    def invalidate_cache(self, path: str | None = None) -> None:
        """Forget what was listed."""
        self.dircache.clear()

    def _listed(self, folder: str) -> list[dict[str, Any]]:
        below = [
            key.removeprefix(f"{folder}/").split("/")
            for key in list(self.objects)
            if key.startswith(f"{folder}/")
        ]
        kinds = {parts[0]: "file" if parts[1:] == [] else "directory" for parts in below}
        return [
            {"name": f"{folder}/{name}".rstrip("/"), "size": 0, "type": kind} for name, kind in kinds.items()
        ]

    def _missing(self, path: str) -> Any:
        raise FileNotFoundError(path)


class _Draft:
    """What an open file of object stores does: it puts in place what it was given, whatever ended it."""

    def __init__(self, bucket: Bucket, path: str) -> None:
        self._bucket, self._path, self._content = bucket, path, b""

    def __enter__(self) -> _Draft:
        return self

    def write(self, content: bytes) -> int:
        self._content += content
        return len(content)

    def __exit__(self, *_: object) -> None:
        self._bucket.pipe_file(self._path, self._content)


class BucketPath(UPath):
    """A path in it."""


fsspec.register_implementation("bucket", Bucket, clobber=True)
register_implementation("bucket", BucketPath, clobber=True)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> type[Bucket]:
    """An empty bucket."""
    monkeypatch.setattr(Bucket, "objects", {})
    monkeypatch.setattr(Bucket, "refusal", None)
    return Bucket


@pytest.fixture
def folder(bucket: type[Bucket]) -> Folder:
    """A folder in it whose name is odd, and means others as a pattern."""
    return Folder(UPath("bucket://lake/exports/a[bc] +*?é%20/run"))


def killed_at(line: int, work: Callable[[], object]) -> bool:
    """Do something, and die before a certain line of what writes files; return whether it came so far."""
    left = line

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal left
        if not frame.f_code.co_filename.endswith(("/state/folder.py", "storage.py")):
            return None
        if event == "line":
            left -= 1
            if left == 0:
                raise Killed
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    except Killed:
        return True
    finally:
        sys.settrace(before)
    return False


class TestWholeOrNotAtAll:
    """A process that dies while it writes."""

    @pytest.mark.parametrize("how", ["put", "append"])
    def test_at_no_line_is_half_a_file_put_in_place(self, folder: Folder, how: str) -> None:
        """Wherever the thread is interrupted, the object is the former one or the new one, each with all its bytes."""
        folder.put("ledger", b"0" * SIZE)

        def write() -> None:
            content = b"%d" % (line % 10) * SIZE
            if how == "put":
                folder.put("ledger", content)
            else:
                appender = folder.appender("ledger")
                appender.append(content)
                appender.close()

        line = 1
        while killed_at(line, write):
            found = folder.read("ledger")
            assert (len(found), len(set(found))) == (SIZE, 1), f"killed at line {line}"
            line += 1
        assert line > 15
        assert folder.read("ledger") == b"%d" % (line % 10) * SIZE


class TestCreating:
    """Names that may be given once."""

    def test_a_name_that_is_taken_stays_the_first_ones(self, folder: Folder) -> None:
        """The second is told, and changes nothing, even where a listing from before says that the name is free."""
        assert folder.names() == []
        Bucket.objects["lake/exports/a[bc] +*?é%20/run/lock"] = b"first"
        assert folder.create("lock", b"second") is False
        assert folder.read("lock") == b"first"

    def test_a_lost_answer_is_no_other_owner(self, folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
        """A request that was sent again, since its answer was lost, created the object all the same."""
        monkeypatch.setattr(Bucket, "loses_answers", True)
        assert folder.create("lock", b"mine") is True

    def test_a_store_that_refuses_conditions(self, folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where a store does not implement exclusive creation, an object is created unless it is seen."""
        monkeypatch.setattr(Bucket, "refusal", OSError(errno.ENOSYS, "A header is not implemented"))
        assert [folder.create("lock", b"first"), folder.create("lock", b"second")] == [True, False]
        assert folder.read("lock") == b"first"

    def test_a_conflict_is_another_owner(self, folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where S3 saw another request for the same name, the object counts as another's."""
        refusal = OSError(errno.EIO, "Conflict")
        refusal.__cause__ = RuntimeError("An error occurred (ConditionalRequestConflict)")
        monkeypatch.setattr(Bucket, "refusal", refusal)
        assert folder.create("lock", b"mine") is False

    def test_any_other_refusal_is_an_error(self, folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
        """What keeps the object from being written is told."""
        monkeypatch.setattr(Bucket, "refusal", PermissionError(errno.EACCES, "Access Denied"))
        with pytest.raises(ConfigError, match=r"Cannot write lock under exports_root .*: Access Denied\."):
            folder.create("lock", b"mine")


class TestLooking:
    """What is there now, whatever was there before."""

    def test_what_others_write_is_seen(self, folder: Folder) -> None:
        """An object that another process put there or removed since the last look counts."""
        folder.put("a", b"")
        assert folder.names() == ["a"]
        Bucket.objects["lake/exports/a[bc] +*?é%20/run/b"] = b""
        assert folder.exists("b")
        del Bucket.objects["lake/exports/a[bc] +*?é%20/run/a"]
        assert folder.names() == ["b"]
        assert not folder.exists("a")

    def test_the_marker_of_a_folder_is_no_file(self, folder: Folder) -> None:
        """Some tools put an empty object where a folder is to be."""
        folder.put("a", b"")
        Bucket.objects["lake/exports/a[bc] +*?é%20/run/"] = b""
        assert folder.names() == ["a"]

    def test_a_store_that_does_not_say_when(self, folder: Folder) -> None:
        """Where a store keeps no times, a file is as old as can be."""
        folder.put("a", b"")
        assert folder.written_at("a") == "1970-01-01T00:00:00+00:00"


class TestRemoving:
    """What is gone, and what stays."""

    def test_a_name_is_no_pattern(self, folder: Folder) -> None:
        """An object with wildcards in its path is removed, and none that they would match."""
        beside = Folder(UPath("bucket://lake/exports/ab +xyé%20/run"))
        for each in (folder, beside):
            each.put("a", b"")
        folder.remove("a")
        folder.remove("a")
        assert (folder.names(), beside.names()) == ([], ["a"])

    def test_a_folder_is_no_pattern(self, folder: Folder) -> None:
        """So is a whole folder."""
        beside = Folder(UPath("bucket://lake/exports/ab +xyé%20/run"))
        for each in (folder, beside):
            each.put("a", b"")
            each.put("answers/b", b"")
        ObjectStorage().remove_folder(UPath(folder.uri))
        assert (folder.names(), beside.names()) == ([], ["a", "answers"])


class TestAlone:
    """Who is alone in a folder."""

    @pytest.fixture
    def path(self, bucket: type[Bucket]) -> UPath:
        """A folder."""
        return UPath("bucket://lake/exports/export")

    def test_the_second_waits_for_the_first(self, path: UPath) -> None:
        """Whoever comes while another is alone goes ahead once the other is done."""
        events: list[str] = []
        waits = threading.Event()

        def sleep(_: float) -> None:
            waits.set()

        def second() -> None:
            with ObjectStorage(sleep=sleep).exclusive(path):
                events.append("second")

        thread = threading.Thread(target=second)
        with ObjectStorage().exclusive(path):
            thread.start()
            assert waits.wait(120)
            events.append("first")
        thread.join()
        assert events == ["first", "second"]
        assert Bucket.objects == {}

    def test_a_dead_one_is_waited_for_no_longer(self, path: UPath) -> None:
        """What a killed process left is removed once nobody alive would need it any more."""
        clock = FakeClock()
        Bucket.objects[f"lake/exports/export/{ALONE}"] = b"dead"
        with ObjectStorage(clock=clock, sleep=clock.sleep).exclusive(path):
            assert 60 < sum(clock.pauses) < 61
        assert f"lake/exports/export/{ALONE}" not in Bucket.objects

    def test_whoever_took_over_is_waited_for_anew(self, path: UPath) -> None:
        """Time that another waited does not count against the next one."""
        clock = FakeClock()
        name = f"lake/exports/export/{ALONE}"
        Bucket.objects[name] = b"one"
        holders: Iterator[bytes] = iter([b"two", b"three"])

        def sleep(seconds: float) -> None:
            clock.now += 50
            if (holder := next(holders, None)) is not None:
                Bucket.objects[name] = holder

        with ObjectStorage(clock=clock, sleep=sleep).exclusive(path):
            assert clock.now - 1000 > 100

    def test_of_two_only_one_removes_what_the_dead_left(self, path: UPath) -> None:
        """Where another had begun to remove it and was killed too, a person has to."""
        clock = FakeClock()
        Bucket.objects[f"lake/exports/export/{ALONE}"] = b"dead"
        Bucket.objects[f"lake/exports/export/{ALONE}-dead"] = b"another's"
        with (
            pytest.raises(ConfigError, match=r"alone was left by a process that was killed\."),
            ObjectStorage(clock=clock, sleep=clock.sleep).exclusive(path),
        ):
            pytest.fail("alone beside another")


def test_storages_without_requests_at_once() -> None:
    """Other storages of fsspec keep what they are given."""
    folder = Folder(UPath(f"memory://{uuid4().hex}/run"))
    folder.put("a", b"content")
    assert (folder.read("a"), folder.names()) == (b"content", ["a"])
