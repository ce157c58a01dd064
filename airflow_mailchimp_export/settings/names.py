"""Names that users write: which of them mean nothing, and what may have been meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from airflow_mailchimp_export.errors import ConfigError


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """Name the known name that is closest, for a message behind the unknown one; empty where none is close.

    Case and blanks at the ends make no difference, so that a name that differs by nothing else is found too.
    """
    by_plain = {_plain(candidate): str(candidate) for candidate in known}
    found = get_close_matches(_plain(str(name)), by_plain, n=1)
    return f" (did you mean {by_plain[found[0]]!r}?)" if found else ""


def unknown_names(given: Iterable[object], known: Iterable[str]) -> list[str]:
    """Describe the names that mean nothing, each with what may have been meant."""
    allowed = list(known)
    return [f"{name!r}{did_you_mean(name, allowed)}" for name in given if name not in allowed]


def check_keys(where: str, given: Iterable[object], *, allowed: Iterable[str]) -> None:
    """Let no key pass that means nothing.

    :raises ConfigError: names the unknown keys and the allowed ones.
    """
    known = list(allowed)
    if unknown := unknown_names(given, known):
        raise ConfigError(
            f"{where} has unknown keys: {', '.join(unknown)}", f"Allowed are {', '.join(known)}."
        )


def _plain(name: str) -> str:
    return name.strip().lower()
