"""What is published is small, however much there is to tell: the least important goes first, and its number stays."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from airflow_mailchimp_export.published.models import PublishedReport

MAX_BYTES = 32 * 1024
"""Most bytes of what is published, with every letter written as Airflow's database may: in ASCII."""

MAX_TEXT = 1_000
"""Most characters of one text."""

_STEPS = (
    {"sample_rejects": 25},
    {"sample_rejects": 10},
    {"sample_rejects": 5},
    {"segments": 100, "warnings": 50, "batch_ids": 100},
    {"segments": 50, "warnings": 20, "batch_ids": 20},
    {"segments": 30, "warnings": 10, "batch_ids": 10, "sample_rejects": 3},
    {"segments": 20, "warnings": 5, "batch_ids": 5, "sample_rejects": 0},
    {"texts": 200},
    {"segments": 5, "warnings": 0, "batch_ids": 0},
    {"segments": 0, "examples": 0, "texts": 100},
)
"""What is kept of what, in steps: the next is taken where the one before does not make it small enough."""


def size(value: Any) -> int:
    """Return how many bytes something takes as JSON."""
    return len(json.dumps(value))


def fitted(report: PublishedReport, *, limit: int = MAX_BYTES) -> dict[str, Any]:
    """Return a report as JSON that is small enough; the same report always becomes the same.

    :param limit: most bytes; where nothing is left to leave out, it may be a few more than a very small one.
    """
    whole = report.model_dump(mode="json", by_alias=True)
    content = _cut(whole, {"texts": MAX_TEXT})
    kept: dict[str, int] = {"texts": MAX_TEXT}
    for step in _STEPS:
        if size(content) <= limit:
            return content
        kept |= step
        content = _cut(whole, kept)
    return content


def _cut(whole: Mapping[str, Any], kept: Mapping[str, int]) -> dict[str, Any]:
    content: dict[str, Any] = {**whole}
    left_out = {}
    for name in kept.keys() & whole.keys():
        entries, most = whole[name], kept[name]
        content[name] = dict([*entries.items()][:most]) if isinstance(entries, dict) else entries[:most]
        if len(entries) > most:
            left_out[name] = len(entries) - most
    content["truncated"] = dict(sorted(left_out.items()))
    shortened: dict[str, Any] = _shortened(content, kept["texts"])
    return shortened


def _shortened(value: Any, most: int) -> Any:
    """Cut each text in a value; a mark says that there was more."""
    if isinstance(value, str):
        return value if len(value) <= most else f"{value[: most - 1]}…"
    if isinstance(value, dict):
        return {_shortened(key, most): _shortened(entry, most) for key, entry in value.items()}
    if isinstance(value, list):
        return [_shortened(entry, most) for entry in value]
    return value
