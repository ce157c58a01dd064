"""What stands in the way of an export by a connection, and whose account it leads to: what the Test button shows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from airflow_mailchimp_export.errors import (
    ExportError,
    NotFound,
    RetryableError,
    Throttled,
    sentences,
)
from airflow_mailchimp_export.mailchimp import calls
from airflow_mailchimp_export.mailchimp.protocol import Sender
from airflow_mailchimp_export.model import Audience
from airflow_mailchimp_export.settings.connection import ConnectionSettings, labelled
from airflow_mailchimp_export.settings.endpoint import prefix_of

READ_ONLY_ROLES = frozenset({"viewer", "author"})
"""Roles whose writes Mailchimp refuses: https://mailchimp.com/help/manage-user-levels-in-your-account/"""

SHOWN_AUDIENCES = 5


@dataclass(slots=True)
class Findings:
    """What was found, a line each: obstacles come first, because a toast is gone after some seconds.

    Airflow's page shows all of it as one paragraph, hence the full stops, and a mark before each obstacle.
    """

    obstacles: list[str] = field(default_factory=list)
    facts: list[str] = field(default_factory=list)

    def stop(self, happened: str, remedy: str) -> None:
        """Note what an export would be stopped by, and what to do about it."""
        self.obstacles.append(sentences(happened, remedy))

    def result(self) -> tuple[bool, str]:
        """Return whether an export could run, and all that was found."""
        lines = [*(f"• {obstacle}" for obstacle in self.obstacles), *self.facts]
        return not self.obstacles, "\n".join(f"{line.rstrip('.')}." for line in lines)


def check_connection(client: Sender, settings: ConnectionSettings) -> tuple[bool, str]:
    """Say whether an export could run, what stands in its way, and whose key it is.

    :raises ExportError: when Mailchimp refuses the key, or is out of reach.
    """
    found = Findings()
    account = client.send(calls.account())
    if account.role.lower() in READ_ONLY_ROLES:
        found.stop(f"The role {account.role} may not write", "Use a key of a manager, an admin or the owner")
    _check_consent(settings, found)
    _check_server(settings, found)
    found.facts.append(
        f"Account {account.name}, role {account.role or 'unknown'}, plan {account.plan or 'unknown'}, "
        f"{account.contacts:,} contacts"
    )
    audience = _check_audience(client, settings.audience_id, found)
    _check_limit(settings.contact_limit, account.contacts, audience, found)
    if settings.unknown_extra:
        found.facts.append(f"Unknown extra fields, perhaps mistyped: {', '.join(settings.unknown_extra)}")
    return found.result()


def failed_check(error: ExportError, settings: ConnectionSettings | None) -> tuple[bool, str]:
    """Say why a connection could not be tried out.

    :param settings: the connection's; ``None`` where they are what is wrong.
    """
    if settings and isinstance(error, RetryableError) and not isinstance(error, Throttled):
        host = urlsplit(settings.base_url or settings.metadata_url).netloc
        return False, sentences(
            f"Mailchimp was not reached at {host}: {error.happened}",
            error.remedy
            or f"Check that {host} is the right name, and on the machine of Airflow's API server that a proxy or "
            "firewall lets calls through to it, and that its certificate is trusted",
        )
    return False, sentences(error.happened, error.remedy or error.usual_remedy)


def _check_consent(settings: ConnectionSettings, found: Findings) -> None:
    if not settings.data_privacy_consent:
        found.stop(
            f"{labelled('data_privacy_consent')} is off, so no profile may leave",
            "Whoever is responsible switches it on, under Data privacy",
        )


def _check_server(settings: ConnectionSettings, found: Findings) -> None:
    """Let a form not say two things of where the account is."""
    actual = prefix_of(settings.base_url or "")
    if actual and settings.server_prefix and actual != settings.server_prefix:
        found.stop(
            f"{labelled('server_prefix')} says {settings.server_prefix}, but Base URL (host) leads to {actual}",
            "Leave both empty: the end of the API key says it; or correct one of them",
        )


def _check_audience(client: Sender, audience_id: str | None, found: Findings) -> Audience | None:
    if not audience_id:
        found.facts.append(f"No {labelled('audience_id')}: each export has to name its own")
        found.facts += _audiences(client)
        return None
    try:
        audience = client.send(calls.audience(audience_id))
    except NotFound:
        found.stop(
            f"The account has no audience {audience_id}",
            f"Correct {labelled('audience_id')}: the account's audiences are below",
        )
        found.facts += _audiences(client)
        return None
    opt_in = (
        "double opt-in, which an export with status subscribed skips"
        if audience.double_optin
        else "single opt-in"
    )
    found.facts.append(
        f"Audience {audience.name} ({audience.id}): {audience.member_count:,} members, {opt_in}"
    )
    return audience


def _audiences(client: Sender) -> Iterator[str]:
    audiences, total = client.send(calls.audiences(SHOWN_AUDIENCES))
    yield from (f"Audience {audience.name}: {audience.id}" for audience in audiences)
    if total > len(audiences):
        yield f"There are {total - len(audiences):,} more audiences"
    if not total:
        yield "The account has no audience yet"


def _check_limit(limit: int | None, contacts: int, audience: Audience | None, found: Findings) -> None:
    """Compare the contract with the account; an export itself compares it with its audience."""
    if limit is None:
        return
    label = labelled("contact_limit")
    if audience and audience.member_count >= limit:
        found.stop(
            f"{label} is {limit:,}, and audience {audience.name} has {audience.member_count:,} members already, so an "
            "export with anybody new would be stopped",
            "Extend the contract and raise it, or archive contacts in Mailchimp",
        )
    elif contacts >= limit:
        found.facts.append(f"{label} is {limit:,}, but the account has {contacts:,} contacts already")
    else:
        found.facts.append(f"{label} is {limit:,}: {limit - contacts:,} more contacts fit")
