"""How files of text are packed, as their names tell."""

from __future__ import annotations

from typing import Final

from airflow_mailchimp_export.settings.file_options import Compression, FileOptions

_PACKED_BY: Final = {
    ".gz": Compression.GZIP,
    ".gzip": Compression.GZIP,
    ".zst": Compression.ZSTD,
    ".bz2": Compression.BZIP2,
    ".zip": Compression.ZIP,
}


def without_packing(name: str) -> str:
    """Return a file's name without the extension that says how it is packed."""
    end = next((end for end in _PACKED_BY if name.lower().endswith(end)), "")
    return name[: len(name) - len(end)]


def compression_of(name: str, options: FileOptions) -> Compression:
    """Say how a file is packed: as the segment says, else as its extension does."""
    end = next((kind for end, kind in _PACKED_BY.items() if name.lower().endswith(end)), Compression.NONE)
    return options.compression or end
