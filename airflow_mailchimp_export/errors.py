"""What can stop a run, sorted by what the reader has to do.

::

    ExportError
    ├── ConfigError          the set-up is wrong: fix it, then run again; never retried
    │   ├── NoConsent        the connection does not agree to the transfer
    │   └── UnreadableFile   a file under exports_root is damaged
    │       └── NewerFormat  a newer release wrote it
    ├── SourceError          a segment could not be read: fix the source, or retry when it is back
    ├── RemovalLimitExceeded more would be removed than the export allows; nothing was sent
    ├── TooManyRejects       too many profiles cannot be sent
    ├── ExportFailed         the run is accounted for, and its verdict is FAILED
    ├── ExportBusy           another run of the same export is at work
    └── MailchimpError
        ├── RetryableError   the client repeats it by itself; raised when it gave up
        │   ├── Throttled    Mailchimp pushed back (429, or 403 without JSON)
        │   └── TimedOut     no answer in time; the call may have been applied anyway
        ├── PermanentError   Mailchimp said no; the same call would be refused again
        │   └── NotFound     Mailchimp does not know what the call is about
        └── AccessDenied     the key, the role or the plan does not allow it; no member can be to blame

A problem of one person is never an exception: it is a :class:`~airflow_mailchimp_export.model.Reject`.
Each error has two parts, what happened and what to do about it, so that whoever shows it can show them one by one.
No message holds an address or a key.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AllowedRemoval:
    """How many people would lose a tag, of how many who have it by the export; without a tag, of all."""

    tag: str
    removed: int
    owned: int


@dataclass(frozen=True, slots=True)
class Allowance:
    """What would let a run through that a limit has stopped.

    :param param: the option that is the limit.
    :param value: the least that it has to be.
    :param removals: what it would let through: first over all tags, then of each tag that loses somebody.
    """

    param: str
    value: float
    removals: tuple[AllowedRemoval, ...] = ()


class ExportError(Exception):
    """Anything that stops a run.

    :param happened: what happened.
    :param remedy: what the reader can do about it; what is always true of this kind of error, unless given.
    :param nothing_sent: whether it is known that no profile had left by then; who learns it later sets it.
    """

    usual_remedy = "Do what the message says, then run the export again"

    def __init__(self, happened: str, remedy: str = "", *, nothing_sent: bool = False) -> None:
        super().__init__(happened, remedy)
        self.happened = happened
        self.remedy = remedy
        self.nothing_sent = nothing_sent

    def __str__(self) -> str:
        """Return all of it as one text."""
        return sentences(self.happened, "Nothing was sent" if self.nothing_sent else "", self.remedy)


def sentences(*parts: str) -> str:
    """Return texts one after the other, with one full stop between two of them; empty ones are left out."""
    *first, last = [part for part in parts if part] or [""]
    return ". ".join([*(part.rstrip(".") for part in first), last])


@contextmanager
def before_anything_is_sent() -> Iterator[None]:
    """Say of each error that nothing was sent by then."""
    try:
        yield
    except ExportError as error:
        error.nothing_sent = True
        raise


class ConfigError(ExportError):
    """The connection, the export or the audience is set up wrongly; retrying cannot help."""

    usual_remedy = "Correct what the message names, then run the export again"


class NoConsent(ConfigError):
    """Whoever is responsible has not agreed to the transfer of personal data, or does not any more."""


class UnreadableFile(ConfigError):
    """A file under ``exports_root`` is damaged.

    :param file: where it is.
    :param problem: what is wrong, as the rest of a sentence that begins with the file.
    :param remedy: what the reader can do about it.
    """

    def __init__(self, file: str, problem: str, remedy: str) -> None:
        super().__init__(f"{file} {problem}", remedy)
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

    usual_remedy = "Correct the source, or wait until it is back: a retry reads it again"


class RemovalLimitExceeded(ExportError):
    """More people would be removed than the export allows.

    :param allow: what would let the run through.
    """

    def __init__(
        self,
        happened: str,
        remedy: str = "",
        *,
        nothing_sent: bool = False,
        allow: Allowance | None = None,
    ) -> None:
        super().__init__(happened, remedy, nothing_sent=nothing_sent)
        self.allow = allow


class TooManyRejects(ExportError):
    """More profiles were refused than the export allows."""


class ExportFailed(ExportError):
    """A run is accounted for, and its verdict is FAILED."""


class ExportBusy(ExportError):
    """Another run of the same export is at work."""

    usual_remedy = "Wait for the other run: a retry comes after it"


class MailchimpError(ExportError):
    """Mailchimp did not do what was asked."""


class RetryableError(MailchimpError):
    """A passing failure.

    :param retry_after: seconds that Mailchimp asked to wait; ``None`` where it did not say.
    """

    usual_remedy = "Wait: a retry goes on where this try stopped, once Mailchimp is in reach again"

    def __init__(self, happened: str, remedy: str = "", *, retry_after: float | None = None) -> None:
        super().__init__(happened, remedy)
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
        self,
        happened: str,
        remedy: str = "",
        *,
        status: int,
        words: str = "",
        problems: Sequence[FieldProblem] = (),
    ) -> None:
        super().__init__(happened, remedy)
        self.status = status
        self.words = words
        self.problems = tuple(problems)


class NotFound(PermanentError):
    """Mailchimp does not know the audience, member, tag or batch that the call is about."""

    def __init__(
        self, happened: str, remedy: str = "", *, words: str = "", problems: Sequence[FieldProblem] = ()
    ) -> None:
        super().__init__(happened, remedy, status=404, words=words, problems=problems)


class AccessDenied(MailchimpError):
    """The key, the user's role or the plan does not allow the call, whomever it is about.

    :param status: the HTTP status.
    """

    def __init__(self, happened: str, remedy: str = "", *, status: int) -> None:
        super().__init__(happened, remedy)
        self.status = status


StopLoss = RemovalLimitExceeded
"""The name of :class:`RemovalLimitExceeded` in release 0.1.0."""
