"""Whether a value can be an account of a run: any DAG may push what it likes under the key of ours.

Only the kinds of the values are looked at that the pages show, so that an account of an earlier release, which lacks
some, is one, and so is that of a later one with words that this release does not know.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

Kind: TypeAlias = Callable[[Any], bool]


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _nullable(kind: Kind) -> Kind:
    return lambda value: value is None or kind(value)


def _each(kind: Kind) -> Kind:
    return lambda value: isinstance(value, list) and all(map(kind, value))


def _table(kind: Kind) -> Kind:
    return lambda value: isinstance(value, dict) and all(map(kind, value.values()))


def _parts(**kinds: Kind) -> Kind:
    """Make the test of a mapping in which each of these keys may be missing."""
    return lambda value: (
        isinstance(value, dict) and all(kind(value[key]) for key, kind in kinds.items() if key in value)
    )


_REMOVALS = _each(_parts(tag=_text, removed=_number, owned=_number))
_ALLOWANCE = _parts(param=_text, value=_number, removals=_REMOVALS)
_REJECT = {"source": _text, "field": _text, "reason": _text, "mailchimp_says": _text, "remedy": _text}
_WARNING = {"field": _text, "kind": _text, "count": _number, "examples": _each(_text), "remedy": _text}

KINDS: dict[str, Kind] = {
    "export": _text,
    "connection_id": _text,
    "audience": _parts(id=_text, name=_text, page=_text),
    "export_user": _text,
    "started_at": _text,
    "finished_at": _text,
    "delivery": _text,
    "dry_run": _flag,
    "preview": _flag,
    "full": _flag,
    "withdraw": _flag,
    "look_up": _text,
    "verdict": _text,
    "refused": _flag,
    "problem": _nullable(_parts(kind=_text, message=_text, remedy=_text, allow=_nullable(_ALLOWANCE))),
    "counts": _nullable(_table(_number)),
    "rejects_by_reason": _table(_number),
    "suppressed_by_reason": _table(_number),
    "rejects_new": _number,
    "sample_rejects": _each(_parts(segments=_each(_text), **_REJECT)),
    "segments": _each(_parts(name=_text, rows=_number, members=_number, joined=_number, left=_number)),
    "batch_ids": _each(_text),
    "warnings": _each(_parts(**_WARNING)),
    "versions": _table(_text),
    "run_uri": _text,
    "truncated": _table(_number),
}
"""What the pages show of an account; web/src/foreign.ts has the same."""

_ACCOUNT = _parts(**KINDS)


def is_account(value: Any) -> bool:
    """Return whether a value has the form of an account, as far as the pages show it."""
    return _ACCOUNT(value) and _number(value.get("schema")) and value["schema"] == 1
