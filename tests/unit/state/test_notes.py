"""What a run notes on its way."""

from __future__ import annotations

import threading
from pathlib import Path
from uuid import uuid4

import pytest
from upath import UPath

from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.state.folder import Folder
from airflow_mailchimp_export.state.notes import BEGUN, WATCH, BegunMark, WatchNote
from tests.kit.waiting import PATIENCE


class Counting(Folder):
    """A folder that counts what is written to it."""

    writes = 0

    def put(self, name: str, content: bytes) -> None:
        """Write a file, whole."""
        self.writes += 1
        super().put(name, content)


@pytest.fixture(params=["local", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Counting:
    """The folder of a run, on the local disk and on another storage."""
    places = {"local": tmp_path / "run", "memory": UPath(f"memory://{uuid4().hex}/run")}
    return Counting(places[request.param])


def started(folder: Folder) -> BegunMark:
    """The mark of a run of which nothing was sent yet."""
    mark = BegunMark(folder)
    mark.start()
    return mark


class TestBegun:
    """Which chunks may have been sent."""

    def test_it_is_there_for_whoever_comes_after(self, folder: Counting) -> None:
        """Whatever ends the process, another one finds every chunk that was begun, and no others."""
        mark = started(folder)
        assert BegunMark(folder).chunks == 0
        for number in (0, 1, 2):
            mark.reach(number)
            assert BegunMark(folder).chunks == number + 1

    def test_what_is_noted_is_not_noted_again(self, folder: Counting) -> None:
        """A chunk below the mark costs nothing, and the mark never goes back."""
        mark = started(folder)
        mark.reach(16, ahead=1)
        before = folder.writes
        for number in (17, 3, 0, 16):
            mark.reach(number)
        assert (folder.writes, mark.chunks) == (before, 18)

    def test_a_million_profiles_cost_few_notes(self, folder: Counting) -> None:
        """Two thousand chunks in a row, each an eighth ahead, are written down some seventy times."""
        mark = started(folder)
        for number in range(2000):
            mark.reach(number, ahead=number // 8)
            assert number < (mark.chunks or 0) <= number + 1 + number / 8
        assert folder.writes < 80

    def test_threads_note_side_by_side(self, folder: Counting) -> None:
        """Whoever comes back from noting a chunk finds it noted, whatever others note meanwhile."""
        mark = started(folder)
        missing: list[int] = []

        def note(numbers: range) -> None:
            for number in numbers:
                mark.reach(number)
                if (BegunMark(folder).chunks or 0) <= number:
                    missing.append(number)

        threads = [threading.Thread(target=note, args=(range(first, 40, 4),)) for first in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert missing == []
        assert mark.chunks == 40

    def test_nobody_waits_who_is_noted(self, folder: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
        """While one thread writes the next note, before it is needed, others begin what the last one covers."""
        mark = started(folder)
        mark.reach(0, ahead=7)
        others: list[int | None] = []
        put = folder.put

        def other() -> None:
            mark.reach(7, ahead=7)
            others.append(mark.chunks)

        def slow(name: str, content: bytes) -> None:
            thread = threading.Thread(target=other)
            thread.start()
            thread.join(PATIENCE)
            put(name, content)

        monkeypatch.setattr(folder, "put", slow)
        mark.reach(5, ahead=7)
        assert (others, mark.chunks) == ([8], 13)

    def test_threads_that_read_it_first(self, folder: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of threads that come upon the mark together none goes back to what it was when another has moved it."""
        started(folder)
        mark = BegunMark(folder)
        read, others = folder.read, []

        def slow(name: str) -> bytes:
            content = read(name)
            if not others:
                others.append(threading.Thread(target=lambda: mark.reach(3)))
                others[0].start()
                others[0].join(0.2)
            return content

        monkeypatch.setattr(folder, "read", slow)
        mark.reach(1)
        others[0].join(PATIENCE)
        assert mark.chunks == BegunMark(folder).chunks == 4

    @pytest.mark.parametrize("content", [None, b"", b"[]", b'{"chunks": "x"}', b'{"format": 9, "chunks": 1}'])
    def test_where_it_is_not_known_it_stays_so(self, folder: Counting, content: bytes | None) -> None:
        """Without a note that can be read any chunk may have been sent, and none is written that says otherwise."""
        if content is not None:
            folder.put(BEGUN, content)
        mark = BegunMark(folder)
        before = folder.writes
        mark.reach(5)
        assert mark.chunks is None
        assert folder.writes == before

    def test_a_place_that_cannot_be_written_to(self, tmp_path: Path) -> None:
        """What cannot be noted is an error, and is not taken for noted."""
        folder = Folder(tmp_path / "run")
        mark = started(folder)
        folder.remove(BEGUN)
        (tmp_path / "run" / BEGUN).mkdir()
        with pytest.raises(ConfigError, match=f"Cannot write {BEGUN} under exports_root"):
            mark.reach(0)
        assert mark.chunks == 0


class TestWatch:
    """What was seen of batches."""

    def test_it_is_there_for_whoever_looks_next(self, folder: Counting) -> None:
        """The record of a look is read as it was written."""
        record = {"moved_at": 5.5, "seen": {"one": ["started", 9, 3, 1]}}
        WatchNote(folder).put(record)
        assert WatchNote(folder).read() == {"moved_at": 5.5, "seen": {"one": ("started", 9, 3, 1)}}

    @pytest.mark.parametrize(
        "content", [None, b"", b"[]", b'{"moved_at": 1}', b'{"moved_at": 1, "seen": {"one": ["started"]}}']
    )
    def test_nobody_has_looked(self, folder: Counting, content: bytes | None) -> None:
        """Where there is no record that can be read, nobody has looked."""
        if content is not None:
            folder.put(WATCH, content)
        assert WatchNote(folder).read() is None
