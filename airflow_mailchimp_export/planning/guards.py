"""What is checked before the first profile leaves. Each check raises, or lets pass."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_mailchimp_export.errors import ConfigError, RemovalLimitExceeded, TooManyRejects


def check_volume(rows: int, *, max_profiles: int) -> None:
    """Stop an export that is larger than its owner expects.

    :raises ConfigError: says how many there are and what to do.
    """
    if rows > max_profiles:
        raise ConfigError(
            f"The segments hold {rows:,} profiles, but max_profiles is {max_profiles:,}. Nothing was sent. "
            "Raise max_profiles in options if all of them are meant, or narrow the segments"
        )


def check_contract(present: int, new: int, *, contact_limit: int | None) -> None:
    """Stop an export that would go past the contract's number of contacts.

    :raises ConfigError: says how many there would be and what to do.
    """
    if contact_limit is not None and present + new > contact_limit:
        raise ConfigError(
            f"The audience holds {present:,} contacts and {new:,} would be new, which is more than the "
            f"contact_limit of {contact_limit:,}. Nothing was sent. Extend the contract and raise "
            "contact_limit in the connection, archive contacts in Mailchimp, or narrow the segments"
        )


def check_rejects(rejected: int, people: int, *, max_reject_ratio: float) -> None:
    """Stop an export most of which cannot be sent: its field map or its source is likely wrong.

    :raises TooManyRejects: says how many there are and where they are listed.
    """
    if rejected > max_reject_ratio * people:
        raise TooManyRejects(
            f"{rejected:,} of {people:,} profiles cannot be sent, which is more than max_reject_ratio allows "
            f"({max_reject_ratio:.0%}). Nothing was sent. The run's rejects.csv lists them with reason and "
            "remedy; correct the source or the field map, or raise max_reject_ratio in options"
        )


def check_removals(
    removed: int, owned: int, emptied: Sequence[tuple[str, int]], *, max_removal_ratio: float
) -> None:
    """Stop a run by which suspiciously many would leave: a source is likely broken.

    :param removed: how many people would lose a tag or be archived.
    :param owned: how many people were added by this export.
    :param emptied: segments that have nobody now, and how many they would lose.
    :raises RemovalLimitExceeded: says how many and how to allow it once.
    """
    allowed = "If that is meant, allow it once with max_removal_ratio"
    if emptied and max_removal_ratio < 1:
        named = ", ".join(f"{name!r} ({people:,} people)" for name, people in emptied)
        raise RemovalLimitExceeded(
            f"These segments are empty now but had people before: {named}. Nothing was sent. {allowed}=1"
        )
    if removed > max_removal_ratio * owned:
        raise RemovalLimitExceeded(
            f"{removed:,} of {owned:,} people would lose a tag or be archived, which is more than max_removal_ratio "
            f"allows ({max_removal_ratio:.0%}). Nothing was sent. {allowed}={removed / owned:.2f} or more"
        )
