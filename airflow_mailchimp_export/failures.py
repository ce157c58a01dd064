"""How a task fails: in two short lines of its log, and by the exception that tells Airflow whether to try again."""

from __future__ import annotations

import copy
import logging
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_mailchimp_export.errors import (
    AccessDenied,
    ConfigError,
    ExportError,
    ExportFailed,
    PermanentError,
    RemovalLimitExceeded,
    TooManyRejects,
)
from airflow_mailchimp_export.masking import masked

log = logging.getLogger(__name__)

WIDTH = 88
"""Most characters of a line: Airflow's page does not wrap them, and puts time and level before the first."""

_FINAL = (AccessDenied, ConfigError, ExportFailed, PermanentError, RemovalLimitExceeded, TooManyRejects)


@contextmanager
def no_retry_on_permanent_errors() -> Iterator[None]:
    """Keep Airflow from retrying where the set-up is wrong or Mailchimp said no.

    :raises AirflowFailException: in the place of such an error, which is shown first.
    """
    try:
        yield
    except _FINAL as error:
        show_error(error)
        raise _without_history(error) from None


@contextmanager
def failing_in_short() -> Iterator[None]:
    """Show each error of ours before it fails the task, without the history of how it came about.

    :raises AirflowFailException: in the place of an error that a retry cannot help.
    """
    try:
        yield
    except ExportError as error:
        show_error(error)
        raise _without_history(error) from None


def is_final(error: Exception) -> bool:
    """Whether a retry cannot help."""
    return isinstance(error, (*_FINAL, AirflowFailException))


def show_error(error: Exception) -> None:
    """Write what happened and what to do about it into the log, each as an entry of its own."""
    if not isinstance(error, ExportError):
        log.error("%s", wrapped(str(error)))
        return
    happened = "Nothing was sent" if error.nothing_sent else "Failed"
    if error.__cause__:
        log.info("Caused by %s: %s", type(error.__cause__).__name__, masked(str(error.__cause__)))
    log.error("%s", wrapped(f"{happened}: {error.happened}"))
    log.error("%s", wrapped(f"Remedy: {error.remedy or error.usual_remedy}"))


def wrapped(text: str) -> str:
    """Break text into lines that a page shows whole; nothing that may have to be copied is broken."""
    return "\n".join(
        textwrap.fill(line, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
        for line in text.splitlines()
    )


def _without_history(error: ExportError) -> Exception:
    """Return an error to raise in the place of one, which would take its traceback along past the log's two lines."""
    return AirflowFailException(str(error)) if isinstance(error, _FINAL) else copy.copy(error)
