"""Exports as configuration, ``exports.yaml``; and the old home of the options and the segments.

:mod:`~airflow_mailchimp_export.config.loading` reads the file, :mod:`~airflow_mailchimp_export.config.models` says what
may be in it, and ``python -m airflow_mailchimp_export.config`` checks and shows it.
For options and segments use :mod:`airflow_mailchimp_export.options` instead.
"""

from __future__ import annotations

import warnings
from typing import Any

from airflow_mailchimp_export import options
from airflow_mailchimp_export.settings import segments


def __getattr__(name: str) -> Any:
    """Find what has moved, and say where to.

    :raises AttributeError: when it never was here.
    """
    home = next((module for module in (options, segments) if name in vars(module)), None)
    if home is None or name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn(
        f"{__name__}.{name} has moved: import it from {home.__name__}", DeprecationWarning, stacklevel=2
    )
    return getattr(home, name)
