"""A file of text as a stream of UTF-8, however it is packed and encoded."""

from __future__ import annotations

import codecs
import io
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO, Final, Protocol, cast

import pyarrow as pa

from airflow_mailchimp_export.settings.file_options import Compression, FileOptions
from airflow_mailchimp_export.sources.finding import FoundFile
from airflow_mailchimp_export.sources.location import SourceLocation, reading
from airflow_mailchimp_export.sources.magic import HEAD_BYTES, strange_kind
from airflow_mailchimp_export.sources.packing import compression_of


class Readable(Protocol):
    """What pyarrow and the standard library read bytes from."""

    def read(self, size: int, /) -> bytes:
        """Read at most so many bytes; none at the end."""
        ...


class Stream:
    """A stream that pyarrow reads; whoever opened what is beneath closes that."""

    closed = False

    def readable(self) -> bool:
        """Say so to pyarrow, which asks."""
        return True

    def read(self, size: int) -> bytes:
        """Read on."""
        raise NotImplementedError

    def close(self) -> None:
        """Be closed."""
        self.closed = True


@contextmanager
def opened_text(
    found: FoundFile, location: SourceLocation, options: FileOptions, *, as_json: bool = False
) -> Iterator[Readable]:
    """Open a file of text as UTF-8, without a byte order mark.

    :param as_json: whether it should be JSON lines.

    :raises SourceError: it cannot be read, or it is something else; the message says what.
    """
    with reading(location), found.path.open("rb") as stored:
        packed = compression_of(found.path.name, options)
        with _unpacked(stored, packed, location) as stream:
            head = _head(stream)
            if strange := _strange(head, options, as_json=as_json):
                kind, remedy = strange
                raise location.error(f"is not what the segment says: it is {kind}; {remedy}.")
            yield _as_utf8(_Prefixed(head, stream), options.encoding, location)


def first_bytes(found: FoundFile, location: SourceLocation, options: FileOptions, count: int) -> bytes:
    """Return how a file begins, unpacked and otherwise as it is stored; nothing where it cannot be read."""
    packed = compression_of(found.path.name, options)
    with (
        suppress(Exception),
        found.path.open("rb") as stored,
        _unpacked(stored, packed, location) as stream,
    ):
        return bytes(stream.read(count))
    return b""


def _head(stream: Readable) -> bytes:
    head = b""
    while len(head) < HEAD_BYTES and (data := stream.read(HEAD_BYTES - len(head))):
        head += bytes(data)
    return head


def _strange(head: bytes, options: FileOptions, *, as_json: bool) -> tuple[str, str] | None:
    if as_json and head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        return None
    is_wide = options.encoding.startswith(("utf-16", "utf-32", "utf_16", "utf_32"))
    return None if is_wide else strange_kind(head)


@contextmanager
def _unpacked(stored: BinaryIO, packed: Compression, location: SourceLocation) -> Iterator[Readable]:
    if packed is Compression.NONE:
        yield stored
    elif packed is Compression.ZIP:
        with _only_member(stored, location) as member:
            yield member
    else:
        with _OPENERS[packed](stored) as unpacked:
            yield unpacked


def _gzip(stored: BinaryIO) -> Any:
    import gzip

    return gzip.open(stored)


def _bzip2(stored: BinaryIO) -> Any:
    import bz2

    return bz2.open(stored)


def _zstd(stored: BinaryIO) -> Any:
    return pa.CompressedInputStream(pa.PythonFile(stored, mode="r"), "zstd")


_OPENERS: Final[dict[Compression, Callable[[BinaryIO], Any]]] = {
    Compression.GZIP: _gzip,
    Compression.BZIP2: _bzip2,
    Compression.ZSTD: _zstd,
}


@contextmanager
def _only_member(stored: BinaryIO, location: SourceLocation) -> Iterator[BinaryIO]:
    with zipfile.ZipFile(stored) as archive:
        names = [one.filename for one in archive.infolist() if not one.is_dir()]
        wanted = [name for name in names if not name.startswith("__MACOSX/")]
        if len(wanted) != 1:
            raise location.error(f"holds {len(wanted)} files: a zip archive must hold one.")
        with archive.open(wanted[0]) as member:
            yield cast("BinaryIO", member)


class _Prefixed(Stream):
    """Bytes that were read already, and what comes behind them."""

    def __init__(self, head: bytes, stream: Readable) -> None:
        self._head, self._stream = head, stream

    def read(self, size: int) -> bytes:
        if not self._head:
            return self._stream.read(size)
        head, self._head = self._head[:size], self._head[size:]
        return head if len(head) == size else head + bytes(self._stream.read(size - len(head)))


def _as_utf8(stream: Readable, encoding: str, location: SourceLocation) -> Readable:
    if codecs.lookup(encoding).name in {"utf-8", "utf-8-sig"}:
        return _WithoutMark(stream)
    return _Transcoded(stream, encoding, location)


class _WithoutMark(Stream):
    """UTF-8 without the mark that some writers put in front."""

    def __init__(self, stream: Readable) -> None:
        self._stream, self._begins = stream, True

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        if self._begins and data:
            self._begins = False
            return bytes(data).removeprefix(codecs.BOM_UTF8) or self._stream.read(size)
        return data


class _Transcoded(Stream):
    """Text of another encoding, as UTF-8."""

    def __init__(self, stream: Readable, encoding: str, location: SourceLocation) -> None:
        self._stream, self._encoding, self._location = stream, encoding, location
        self._decoder = codecs.getincrementaldecoder(encoding)("strict")
        self._waiting = io.BytesIO()

    def read(self, size: int) -> bytes:
        while not (data := self._waiting.read(size)):
            raw = bytes(self._stream.read(size))
            self._waiting = io.BytesIO(self._decoded(raw).removeprefix("\ufeff").encode())
            if not raw and not self._waiting.getbuffer().nbytes:
                return b""
        return data

    def _decoded(self, raw: bytes) -> str:
        try:
            return self._decoder.decode(raw, final=not raw)
        except UnicodeError:
            # What the codec says quotes what stands there.
            raise self._location.error(
                f"is not in the encoding {self._encoding}: set 'encoding' to the one in which it was saved."
            ) from None
