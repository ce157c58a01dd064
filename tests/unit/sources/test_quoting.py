"""Quotes and escapes of CSV."""

from __future__ import annotations

import io
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_mailchimp_export.sources.quoting import MAX_ROW_BYTES, Misquoted, StrictQuotes, Unescaped
from airflow_mailchimp_export.sources.unpacking import Stream

WELL_QUOTED = re.compile(rb'(?:[^"]|(?<=[,\r\n])"(?:[^"]|"")*+"(?=[,\r\n]))*')
BLOCKS = st.integers(1, 9)


def read(stream: Stream, block: int) -> bytes:
    """Read to the end, so many bytes at a time."""
    parts = []
    while part := stream.read(block):
        parts.append(part)
    return b"".join(parts)


def problem(text: bytes, block: int = 1 << 20) -> tuple[int, int | None] | None:
    """Say where a value begins whose quotes are wrong, and where they are."""
    try:
        assert read(StrictQuotes(io.BytesIO(text), delimiter=",", quote='"'), block) == text
    except Misquoted as error:
        return error.begins, error.offset
    return None


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (b'a,"b"\n', None),
        (b'"a""b","",""""\r\n', None),
        (b'"a\nb"', None),
        (b'a,"b"c\n', (2, 4)),
        (b'a,b"c\n', (3, 3)),
        (b'a,"b\n', (2, None)),
        (b'"a" ,b\n', (0, 2)),
        (b'a,"b\nc,"d\n', (2, 7)),
        (b'a,"b\\"",c\n', (2, None)),
    ],
)
def test_quotes(text: bytes, where: tuple[int, int | None] | None) -> None:
    """Only where a value begins may a quote open it, and only its end may follow the closing one."""
    assert problem(text) == where


@given(text=st.text('",\na', max_size=12).map(str.encode), block=BLOCKS)
def test_quotes_by_their_grammar(text: bytes, block: int) -> None:
    """What passes is what the grammar of RFC 4180 lets pass, however the text is cut into blocks."""
    wrapped = b"\n" + text + b"\n"
    found = WELL_QUOTED.match(wrapped, 1)
    assert found
    assert (problem(text, block) is None) == (found.end() == len(wrapped))
    assert problem(text, block) == problem(text)


def test_a_value_without_an_end() -> None:
    """A quote that is never closed is told before the whole file is read."""
    stream = StrictQuotes(io.BytesIO(b'"' + b"x" * (4 * MAX_ROW_BYTES)), delimiter=",", quote='"')
    with pytest.raises(Misquoted):
        read(stream, 1 << 20)
    assert stream.bytes < 4 * MAX_ROW_BYTES


def test_quotes_that_mean_nothing() -> None:
    """Without a quote character, quotes pass."""
    assert read(StrictQuotes(io.BytesIO(b'a"b'), delimiter=",", quote=""), 2) == b'a"b'


@pytest.mark.parametrize(
    ("quote", "text", "plain"),
    [
        ('"', b'"a \\"b\\"",c', b'"a ""b""",c'),
        ('"', b"C:\\new,\\\\x", b"C:\\new,\\x"),
        ('"', b"\\N,a\\N,\\N\n\\N", b",a\\N,\n"),
        ("", b"a\\tb,\\N,\\\\,x\\,y", b"a\\\tb,,\\\\,x\\,y"),
        ("", b"a\\nb\\\nc", b"a\\\nb\\\nc"),
    ],
)
def test_escapes(quote: str, text: bytes, plain: bytes) -> None:
    """Escapes become what RFC 4180, or else pyarrow, has for them."""
    for block in range(1, 9):
        assert read(Unescaped(io.BytesIO(text), delimiter=",", quote=quote, escape="\\"), block) == plain


@given(text=st.text('"\\,\naN', max_size=12).map(str.encode), quote=st.sampled_from(['"', ""]), block=BLOCKS)
def test_escapes_in_blocks(text: bytes, quote: str, block: int) -> None:
    """However the text is cut into blocks, the same comes of it."""
    unescaped: Callable[[], Unescaped] = lambda: Unescaped(  # noqa: E731
        io.BytesIO(text), delimiter=",", quote=quote, escape="\\"
    )
    assert read(unescaped(), block) == read(unescaped(), 1 << 20)
