"""Whether a segment grew or shrank so much since the refresh before that somebody should look at it."""

from __future__ import annotations


def warning_of(name: str, rows: int, before: int | None, *, ratio: float) -> str:
    """Say that a segment changed by more than a ratio; nothing where it did not, or where there was none before.

    :param before: how many profiles the refresh before had; ``None`` where it had no such segment.
    :param ratio: the part of these by which a segment may grow or shrink.
    """
    if before is None or abs(rows - before) <= ratio * before:
        return ""
    verb = "grew" if rows > before else "shrank"
    by = f" by {abs(rows - before) / before:.0%}" if before else ""
    return (
        f"Segment {name!r} {verb}{by}, from {before:,} to {rows:,} profiles (warn_ratio allows {ratio:.0%})"
    )
