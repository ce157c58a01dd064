"""What can stop a run, sorted by what the reader has to do.

::

    ExportError
    ├── ConfigError          the set-up is wrong: fix it, then run again; never retried
    │   └── UnreadableFile   a file under exports_root is damaged
    │       └── NewerFormat  a newer release wrote it
    ├── SourceError          a segment could not be read: fix the source, or retry when it is back
    ├── RemovalLimitExceeded more would be removed than the export allows; nothing was sent
    ├── TooManyRejects       the run ended, but too many profiles were refused
    ├── ExportBusy           another run of the same export is at work
    └── MailchimpError
        ├── RetryableError   the client repeats it by itself; raised when it gave up
        │   ├── Throttled    Mailchimp pushed back (429, or 403 without JSON)
        │   └── TimedOut     no answer in time; the call may have been applied anyway
        ├── PermanentError   Mailchimp said no; the same call would be refused again
        │   └── NotFound     Mailchimp does not know what the call is about
        └── AccessDenied     the key, the role or the plan does not allow it; no member can be to blame

A problem of one person is never an exception: it is a :class:`~airflow_mailchimp_export.model.Reject`.
No message holds an address or a key.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class ExportError(Exception):
    """Anything that stops a run."""


class ConfigError(ExportError):
    """The connection, the export or the audience is set up wrongly; retrying cannot help."""


class UnreadableFile(ConfigError):
    """A file under ``exports_root`` is damaged.

    :param file: where it is.
    :param problem: what is wrong, as the rest of a sentence that begins with the file.
    :param remedy: what the reader can do about it.
    """

    def __init__(self, file: str, problem: str, remedy: str) -> None:
        super().__init__(f"{file} {problem}. {remedy}")
        self.file = file
        self.problem = problem


class NewerFormat(UnreadableFile):
    """A file under ``exports_root`` is in a format that this release does not know yet.

    :param number: of the file's format.
    :param known: the newest format that this release reads.
    """

    def __init__(self, file: str, number: int, known: int) -> None:
        super().__init__(
            file,
            "was written by a newer release of airflow-mailchimp-export "
            f"(format {number}; this one reads up to {known})",
            "Install that release, or a later one, wherever this export runs",
        )


class SourceError(ExportError):
    """A segment could not be read to its end."""


class RemovalLimitExceeded(ExportError):
    """More people would be removed than the export allows."""


class TooManyRejects(ExportError):
    """More profiles were refused than the export allows."""


class ExportBusy(ExportError):
    """Another run of the same export is at work."""


class MailchimpError(ExportError):
    """Mailchimp did not do what was asked."""


class RetryableError(MailchimpError):
    """A passing failure.

    :param retry_after: seconds that Mailchimp asked to wait; ``None`` where it did not say.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Throttled(RetryableError):
    """Mailchimp pushed back: too many connections, or too much at once."""


class TimedOut(RetryableError):
    """No answer in time; the call may have been applied and may still hold a connection."""


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One entry of the ``errors`` array of a problem document."""

    field: str
    message: str


class PermanentError(MailchimpError):
    """Mailchimp refused the call for good.

    :param status: the HTTP status.
    :param words: Mailchimp's own words; they may hold an address and are only for the files of a run.
    :param problems: what Mailchimp said of single fields.
    """

    def __init__(
        self, message: str, *, status: int, words: str = "", problems: Sequence[FieldProblem] = ()
    ) -> None:
        super().__init__(message)
        self.status = status
        self.words = words
        self.problems = tuple(problems)


class NotFound(PermanentError):
    """Mailchimp does not know the audience, member, tag or batch that the call is about."""

    def __init__(self, message: str, *, words: str = "", problems: Sequence[FieldProblem] = ()) -> None:
        super().__init__(message, status=404, words=words, problems=problems)


class AccessDenied(MailchimpError):
    """The key, the user's role or the plan does not allow the call, whomever it is about.

    :param status: the HTTP status.
    """

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


StopLoss = RemovalLimitExceeded
"""The name of :class:`RemovalLimitExceeded` in release 0.1.0."""
