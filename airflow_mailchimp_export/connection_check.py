"""What stands in the way of an export by a connection, and whose account it leads to, point by point.

The Test button shows it in short, and the page of connections as a list.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from urllib.parse import urlsplit

from airflow_mailchimp_export.errors import (
    ExportError,
    NotFound,
    RetryableError,
    Throttled,
    sentences,
)
from airflow_mailchimp_export.findings import Findings, Mark, Point, Topic
from airflow_mailchimp_export.mailchimp import calls
from airflow_mailchimp_export.mailchimp.protocol import Sender
from airflow_mailchimp_export.model import Audience
from airflow_mailchimp_export.settings.connection import ConnectionSettings, labelled
from airflow_mailchimp_export.settings.endpoint import prefix_of

READ_ONLY_ROLES = frozenset({"viewer", "author"})
"""Roles whose writes Mailchimp refuses: https://mailchimp.com/help/manage-user-levels-in-your-account/"""

SHOWN_AUDIENCES = 5

_NOT_IN_SHORT = frozenset({Topic.ROLE, Topic.DATA_CENTER, Topic.OPT_IN})
"""What the Test button says along with the account and the audience, unless it stands in the way."""


def check_connection(client: Sender, settings: ConnectionSettings) -> tuple[bool, str]:
    """Say whether an export could run, what stands in its way, and whose key it is.

    :raises ExportError: when Mailchimp refuses the key, or is out of reach.
    """
    found, own = Findings(), [*settings_points(settings)]
    stops = [point for point in own if point.mark is Mark.STOP]
    facts = [point for point in own if point.mark is not Mark.STOP]
    for point in (*stops, *account_points(client, settings), *facts):
        if _is_short(point):
            found.take(point)
    return found.result()


def _is_short(point: Point) -> bool:
    return point.mark is Mark.STOP or not (point.topic in _NOT_IN_SHORT or point.mark is Mark.UNKNOWN)


def settings_points(settings: ConnectionSettings) -> Iterator[Point]:
    """Say what can be said of a connection without asking Mailchimp."""
    if not settings.data_privacy_consent:
        yield _NO_CONSENT
    yield from _evidence(settings)
    yield _data_center(settings)
    if settings.unknown_extra:
        mistyped = f"Unknown extra fields, perhaps mistyped: {', '.join(settings.unknown_extra)}"
        yield Point(Topic.OTHER_FIELDS, Mark.NOTE, mistyped)


def account_points(client: Sender, settings: ConnectionSettings) -> Iterator[Point]:
    """Say whose key it is, what it may do, and how the audience and the contract are.

    :raises ExportError: when Mailchimp refuses the key, or is out of reach.
    """
    account = client.send(calls.account())
    yield Point(
        Topic.KEY,
        Mark.OK,
        f"Account {account.name}, role {account.role or 'unknown'}, plan {account.plan or 'unknown'}, "
        f"{account.contacts:,} contacts",
    )
    yield _role(account)
    audience = yield from _audience(client, settings.audience_id)
    yield _limit(settings.contact_limit, account.contacts, audience)


def failed_check(error: ExportError, settings: ConnectionSettings | None) -> tuple[bool, str]:
    """Say why a connection could not be tried out.

    :param settings: the connection's; ``None`` where they are what is wrong.
    """
    point = failed_point(error, settings)
    return False, sentences(point.says, point.remedy)


def failed_point(error: ExportError, settings: ConnectionSettings | None) -> Point:
    """Say the same as a point."""
    if settings and isinstance(error, RetryableError) and not isinstance(error, Throttled):
        host = urlsplit(settings.base_url or settings.metadata_url).netloc
        return Point(
            Topic.KEY,
            Mark.STOP,
            f"Mailchimp was not reached at {host}: {error.happened}",
            error.remedy
            or f"Check that {host} is the right name, and on the machine of Airflow's API server that a proxy or "
            "firewall lets calls through to it, and that its certificate is trusted",
        )
    return Point(Topic.KEY, Mark.STOP, error.happened, error.remedy or error.usual_remedy)


def _evidence(settings: ConnectionSettings) -> Iterator[Point]:
    """Say what is known of who agreed to the transfer, or withdrew that."""
    evidence, is_given = settings.evidence, settings.data_privacy_consent
    if is_given or evidence.withdrawn:
        is_known = bool(evidence.withdrawn if not is_given else evidence.agreed)
        words = evidence.in_words(is_given=is_given)
        yield Point(Topic.CONSENT, Mark.OK if is_known else Mark.NOTE, words, "" if is_known else _WHO_AGREED)
    for flaw in evidence.flaws:
        yield Point(Topic.CONSENT, Mark.NOTE, f"{flaw}, so it is no evidence", _WHO_AGREED)


_NO_CONSENT = Point(
    Topic.CONSENT,
    Mark.STOP,
    f"{labelled('data_privacy_consent')} is off, so no profile may leave",
    "Whoever is responsible switches it on, under Data privacy",
)
_SET_A_LIMIT = "Fill it in, if the contract has a number of contacts"
_WHO_AGREED = (
    "If a name has to be shown, whoever is responsible agrees on the page of connections, which keeps it"
)


def _role(account: calls.Account) -> Point:
    if account.role.lower() in READ_ONLY_ROLES:
        remedy = "Use a key of a manager, an admin or the owner"
        return Point(Topic.ROLE, Mark.STOP, f"The role {account.role} may not write", remedy)
    if not account.role:
        return Point(Topic.ROLE, Mark.UNKNOWN, "Mailchimp does not say which role the key has")
    return Point(Topic.ROLE, Mark.OK, f"The role {account.role} may write")


def _data_center(settings: ConnectionSettings) -> Point:
    """Let a form not say two things of where the account is."""
    actual = prefix_of(settings.base_url or "")
    if actual and settings.server_prefix and actual != settings.server_prefix:
        return Point(
            Topic.DATA_CENTER,
            Mark.STOP,
            f"{labelled('server_prefix')} says {settings.server_prefix}, but Base URL (host) leads to {actual}",
            "Leave both empty: the end of the API key says it; or correct one of them",
        )
    host = urlsplit(settings.base_url or settings.metadata_url).netloc
    return Point(Topic.DATA_CENTER, Mark.OK, f"{settings.server_prefix or 'Found by the token'}, over {host}")


def _audience(client: Sender, audience_id: str | None) -> Generator[Point, None, Audience | None]:
    """Say which audience it is; returned is the audience, if there is one."""
    if not audience_id:
        yield Point(
            Topic.AUDIENCE,
            Mark.NOTE,
            f"No {labelled('audience_id')}: each export has to name its own",
            "Choose one, if exports that name none are to have a default",
        )
        yield from _audiences(client)
        return None
    try:
        audience = client.send(calls.audience(audience_id))
    except NotFound:
        yield Point(
            Topic.AUDIENCE,
            Mark.STOP,
            f"The account has no audience {audience_id}",
            f"Correct {labelled('audience_id')}: the account's audiences are below",
        )
        yield from _audiences(client)
        return None
    yield audience_point(audience)
    yield opt_in_point(audience)
    return audience


def audience_point(audience: Audience) -> Point:
    """Say which audience it is."""
    kind = "double opt-in, which an export with status subscribed skips" if audience.double_optin else ""
    return Point(
        Topic.AUDIENCE,
        Mark.OK,
        f"Audience {audience.name} ({audience.id}): {audience.member_count:,} members, {kind or 'single opt-in'}",
    )


def opt_in_point(audience: Audience) -> Point:
    """Say whether whoever is new to an audience is asked first."""
    if not audience.double_optin:
        return Point(Topic.OPT_IN, Mark.OK, f"{audience.name} has single opt-in: who is new is in it at once")
    return Point(
        Topic.OPT_IN,
        Mark.NOTE,
        f"{audience.name} has double opt-in, which an export skips that adds people as subscribed",
        "Set new_member_status to pending in the export's options, if Mailchimp is to ask who is new",
    )


def _audiences(client: Sender) -> Iterator[Point]:
    audiences, total = client.send(calls.audiences(SHOWN_AUDIENCES))
    lines = [f"Audience {audience.name}: {audience.id}" for audience in audiences]
    if total > len(audiences):
        lines.append(f"There are {total - len(audiences):,} more audiences")
    if not total:
        lines.append("The account has no audience yet")
    yield from (Point(Topic.AUDIENCE, Mark.NOTE, line) for line in lines)


def _limit(limit: int | None, contacts: int, audience: Audience | None) -> Point:
    """Compare the contract with the account; an export itself compares it with its audience."""
    label = labelled("contact_limit")
    if limit is None:
        return Point(
            Topic.CONTACT_LIMIT, Mark.UNKNOWN, f"No {label} is set, so none is watched", _SET_A_LIMIT
        )
    if audience and audience.member_count >= limit:
        return Point(
            Topic.CONTACT_LIMIT,
            Mark.STOP,
            f"{label} is {limit:,}, and audience {audience.name} has {audience.member_count:,} members already, so an "
            "export with anybody new would be stopped",
            "Extend the contract and raise it, or archive contacts in Mailchimp",
        )
    if contacts >= limit:
        words = f"{label} is {limit:,}, but the account has {contacts:,} contacts already"
        return Point(Topic.CONTACT_LIMIT, Mark.NOTE, words)
    fit = f"{label} is {limit:,}: {limit - contacts:,} more contacts fit"
    return Point(Topic.CONTACT_LIMIT, Mark.OK, fit)
