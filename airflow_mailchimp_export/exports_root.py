"""Where exports are kept: Airflow's configuration and its paths, for whoever has to find them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from upath import UPath


def default_exports_root() -> str:
    """Return ``[mailchimp] exports_root``, however Airflow is configured, or a folder of AIRFLOW_HOME."""
    from airflow.providers.common.compat.sdk import conf

    return conf.get("mailchimp", "exports_root", fallback="") or _folder_of_airflow_home()


def storage_path(uri: str, conn_id: str | None = None) -> UPath:
    """Return the path of a folder, or of a URL whose credentials are in an Airflow connection."""
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    # Airflow 3.1 takes a connection that is given as None for the answer, and never looks for one in the URL.
    credentials = {"conn_id": conn_id} if conn_id else {}
    # Airflow's path offers what UPath offers, but is not derived from it.
    return cast("UPath", ObjectStoragePath(uri, **credentials))


def _folder_of_airflow_home() -> str:
    home = os.environ.get("AIRFLOW_HOME") or "~/airflow"
    return str(Path(os.path.expandvars(home)).expanduser() / "mailchimp_exports")
