"""What ends a sign-in before its end."""

from __future__ import annotations

from airflow_mailchimp_export.errors import ExportError


class Stopped(Exception):
    """A sign-in cannot go on, and nothing was saved by this step.

    :param heading: what happened, in a few words.
    :param happened: the same in a sentence.
    :param remedy: what the reader can do about it.
    :param status: of the answer.
    """

    def __init__(self, heading: str, happened: str, remedy: str, *, status: int = 400) -> None:
        super().__init__(heading, happened, remedy)
        self.heading = heading
        self.happened = happened
        self.remedy = remedy
        self.status = status

    @classmethod
    def by(cls, error: ExportError, heading: str) -> Stopped:
        """Say what Mailchimp, or the configuration, has against it."""
        return cls(heading, error.happened, error.remedy, status=502)


def not_allowed(what: str) -> Stopped:
    """Say that somebody's role does not allow something.

    :param what: it is, as the end of a sentence.
    """
    return Stopped(
        "You may not do this",
        f"Your role in Airflow does not let you {what}",
        "Ask somebody who may change connections in Airflow, or an admin for the right",
        status=403,
    )
