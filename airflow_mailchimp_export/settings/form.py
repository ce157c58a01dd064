"""What the form of the shipped DAG calls the parameters that a message may tell its reader to set."""

from __future__ import annotations

from collections.abc import Mapping

FORM_LABELS: Mapping[str, str] = {
    "on_leave": "Who left a segment",
    "max_removal_ratio": "Stop when more would leave",
    "dry_run": "Dry run",
    "full": "Send everybody",
    "allow_older": "Put older data over newer",
    "withdraw": "Withdraw the export",
}


def in_form(parameter: str) -> str:
    """Return what stands behind a parameter in a message, for whoever starts the export by the form."""
    return f' (in the form: "{FORM_LABELS[parameter]}")'
