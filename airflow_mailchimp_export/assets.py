"""The audience as an asset of Airflow: ``mailchimp://<data center>/<audience id>``.

An export publishes it once its people are in place, so the asset graph ends in the audience, and a campaign's DAG
waits for it. Airflow calls :func:`sanitize_uri` for every URI with this scheme.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Asset, AssetAlias

SCHEME: Final = "mailchimp"

_AUDIENCE: Final = re.compile(r"/[A-Za-z0-9_-]{1,64}", re.ASCII)


def audience_asset(*, data_center: str, audience_id: str) -> Asset:
    """Return the asset of an audience, for the schedule of a DAG.

    :param data_center: such as ``us21``, as the end of the API key says it.
    :param audience_id: Mailchimp's audience id.
    """
    from airflow.providers.common.compat.sdk import Asset

    return Asset(f"{SCHEME}://{data_center}/{audience_id}")


def audience_alias(task: str) -> AssetAlias:
    """Return what stands for the audience of a task's exports until a run knows which that is.

    :param task: the task's name, with that of its DAG.
    """
    from airflow.providers.common.compat.sdk import AssetAlias

    return AssetAlias(f"{SCHEME}:{task}")


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """Return the URI of an audience in its one form, so that an export and whoever waits for it mean the same.

    :raises ValueError: when it is none.
    """
    if not uri.netloc or not _AUDIENCE.fullmatch(uri.path) or uri.query:
        raise ValueError(
            f"{uri.geturl()!r} is no audience: write {SCHEME}://<data center>/<audience id>, such as "
            f"{SCHEME}://us21/a1b2c3d4e5"
        )
    return uri._replace(netloc=uri.netloc.lower())
