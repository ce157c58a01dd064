"""What stopped a run, as one of few words, by which whoever reads its account can tell what to do."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from airflow_mailchimp_export import errors


class ProblemKind(StrEnum):
    """What stopped a run, or why too little came of it."""

    CONFIG = "config"
    """The connection, the export or the audience is set up wrongly."""
    CONSENT = "consent"
    """The connection does not agree to the transfer of personal data, or does not any more."""
    DAMAGED_FILE = "damaged_file"
    """A file under exports_root is damaged, or of a newer release."""
    SOURCE = "source"
    """A segment could not be read to its end."""
    REMOVAL_LIMIT = "removal_limit"
    """More people would be removed than the export allows."""
    TOO_MANY_REJECTS = "too_many_rejects"
    """More profiles cannot be sent than the export allows."""
    BUSY = "busy"
    """Another run of the same export is at work."""
    MAILCHIMP_UNREACHABLE = "mailchimp_unreachable"
    """Mailchimp gave no usable answer, however often it was asked."""
    MAILCHIMP_REFUSED = "mailchimp_refused"
    """Mailchimp said no, or does not know what was asked for."""
    ACCESS_DENIED = "access_denied"
    """The key, the role or the plan does not allow it."""
    OUTCOME = "outcome"
    """Nothing stopped the run: too many were rejected, or too few confirmed."""
    CANCELLED = "cancelled"
    """Somebody, or Airflow, ended the task."""
    TIMED_OUT = "timed_out"
    """The task took longer than its execution_timeout."""
    UNEXPECTED = "unexpected"
    """An error that this package does not know; the task's log has it."""


_KINDS: Mapping[type[BaseException], ProblemKind] = {
    errors.ConfigError: ProblemKind.CONFIG,
    errors.NoConsent: ProblemKind.CONSENT,
    errors.UnreadableFile: ProblemKind.DAMAGED_FILE,
    errors.SourceError: ProblemKind.SOURCE,
    errors.RemovalLimitExceeded: ProblemKind.REMOVAL_LIMIT,
    errors.TooManyRejects: ProblemKind.TOO_MANY_REJECTS,
    errors.ExportFailed: ProblemKind.OUTCOME,
    errors.ExportBusy: ProblemKind.BUSY,
    errors.RetryableError: ProblemKind.MAILCHIMP_UNREACHABLE,
    errors.PermanentError: ProblemKind.MAILCHIMP_REFUSED,
    errors.AccessDenied: ProblemKind.ACCESS_DENIED,
}
"""What a subclass is called like unless it has a row of its own."""


def kind_of(error: BaseException) -> ProblemKind:
    """Return what kind of problem an error is."""
    return next((_KINDS[kind] for kind in type(error).__mro__ if kind in _KINDS), ProblemKind.UNEXPECTED)
