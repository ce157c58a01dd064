"""The audiences of an account, of which one is chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import HTTPException, status

from airflow_mailchimp_export.connection_check import failed_point
from airflow_mailchimp_export.errors import ExportError, sentences
from airflow_mailchimp_export.hooks import to_prompt_client
from airflow_mailchimp_export.mailchimp import calls

if TYPE_CHECKING:
    from airflow_mailchimp_export.model import Audience
    from airflow_mailchimp_export.settings.connection import ConnectionSettings


def audiences_of(settings: ConnectionSettings) -> tuple[list[Audience], int]:
    """Return the audiences of the account, as many as a page has, and how many it has in all.

    :raises HTTPException: says why Mailchimp has not answered.
    """
    try:
        with to_prompt_client(settings) as client:
            return client.send(calls.audiences(calls.PAGE_SIZE))
    except ExportError as error:
        point = failed_point(error, settings)
        raise HTTPException(status.HTTP_424_FAILED_DEPENDENCY, sentences(point.says, point.remedy)) from error
