"""What a file is, by its first bytes, where its name or the segment says something else."""

from __future__ import annotations

from typing import Final

HEAD_BYTES: Final = 4096

_CSV: Final = "save it as CSV (of spreadsheets: 'CSV UTF-8')"

_KINDS: Final = (
    (b"PAR1", "a Parquet file", "set 'format' to parquet, or name it .parquet"),
    (
        b"PARE",
        "an encrypted Parquet file",
        "write it without encryption to a place that only the export may read",
    ),
    (b"\x1f\x8b", "packed by gzip", "name it .csv.gz, or set 'compression' to gz"),
    (b"\x28\xb5\x2f\xfd", "packed by zstd", "name it .csv.zst, or set 'compression' to zst"),
    (b"BZh", "packed by bzip2", "name it .csv.bz2, or set 'compression' to bz2"),
    (b"\xff\xfe\0\0", "in UTF-32", "set 'encoding' to utf-32"),
    (b"\0\0\xfe\xff", "in UTF-32", "set 'encoding' to utf-32"),
    (b"\xff\xfe", "in UTF-16", "set 'encoding' to utf-16"),
    (b"\xfe\xff", "in UTF-16", "set 'encoding' to utf-16"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook (.xls)", _CSV),
    (b"%PDF", "a PDF", _CSV),
    (b"Obj\x01", "an Avro file", "write Parquet"),
    (b"ORC", "an ORC file", "write Parquet"),
    (b"SQLite format 3", "an SQLite database", "export its table as CSV"),
    (b"ARROW1", "an Arrow file", "write Parquet"),
    (b"<", "HTML or XML, as of a download that failed", _CSV),
)


def strange_kind(head: bytes) -> tuple[str, str] | None:
    """Name what a file is that should be plain text, and the remedy; ``None`` where it may be text.

    :param head: its first bytes, at most :data:`HEAD_BYTES`.
    """
    if head.startswith(b"PK\x03\x04"):
        return _packed(head)
    for magic, kind, remedy in _KINDS:
        if head.startswith(magic):
            return kind, remedy
    begin = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if begin.startswith(b"{"):
        return "JSON lines, or other JSON", "set 'format' to jsonl if each line is an object"
    if begin.startswith((b"[{", b"[\n", b"[\r\n")):
        return "a JSON array", "write JSON lines, one object a line, and set 'format' to jsonl"
    if head[1:2] == b"\0" or head[:1] == b"\0":
        return "in UTF-16 or binary", "set 'encoding' to utf-16-le or utf-16-be if it is text"
    return None


def _packed(head: bytes) -> tuple[str, str]:
    if b"[Content_Types].xml" in head or b"xl/" in head or b"_rels/" in head:
        return "an Excel workbook (.xlsx)", _CSV
    return "a zip archive", "name it .csv.zip if it has one file, or set 'compression' to zip"
