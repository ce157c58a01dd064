"""Sign-ins that have begun: what each is for, whose it is, and that it comes back once.

``state`` is what OAuth 2 has against forged answers: https://www.rfc-editor.org/rfc/rfc6749#section-10.12
It is random and says nothing by itself. What it stands for lies in Airflow's metadata database, as a Variable, because
the browser may come back to another process or machine than it left from, and the database is what all of them have.
A row that is deleted is deleted once, whoever else tries at the same moment; a cookie or a signed value alone could be
used again.

Whoever can read Variables gets no further with it, because only the hash of ``state`` is kept. Whoever can write them
can neither make up a sign-in for somebody else nor change one: the row is sealed with the cookie of the browser in
which it began, which no Variable holds.
"""

from __future__ import annotations

import hmac
import re
import secrets
from datetime import datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING

from airflow.models.variable import Variable
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from sqlalchemy import delete, select

from airflow_mailchimp_export.pages.sign_in.stopped import Stopped

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

LIFETIME = timedelta(minutes=10)

PREFIX = "mailchimp_sign_in_"
"""What the keys of the Variables begin with."""

_STRICT = ConfigDict(strict=True, frozen=True, extra="forbid")
_KEY = re.compile(PREFIX + "[0-9a-f]{64}")
_DESCRIPTION = "Somebody is signing in to Mailchimp. It is removed by itself."


class Purpose(BaseModel):
    """What a sign-in is for.

    :param is_new: whether the connection is to be created.
    :param consent: the mark of the connection's consent when the user agreed.
    """

    model_config = _STRICT

    conn_id: str
    is_new: bool
    consent: str


class Pending(BaseModel):
    """A sign-in that has begun.

    :param user_id: whose it is.
    :param agreed_at: when the user agreed to the transfer of personal data.
    :param until: when it is too late.
    :param seal: what only the browser in which it began can make of all the others and of ``state``.
    """

    model_config = _STRICT

    user_id: str
    purpose: Purpose
    agreed_at: AwareDatetime
    until: AwareDatetime
    seal: str = Field(default="", pattern=r"^[0-9a-f]*$")

    def sealed(self, browser: str, state: str) -> Pending:
        """Return the same with the seal that the browser gives it."""
        # Begins with another word than what the token of a form is made of, which has the same key.
        text = f"sign-in {_key(state)} {self.model_dump_json(exclude={'seal'})}"
        seal = hmac.new(browser.encode(), text.encode(), sha256).hexdigest()
        return self.model_copy(update={"seal": seal})


def begin(session: Session, purpose: Purpose, *, user_id: str, browser: str, now: datetime) -> str:
    """Note a sign-in; returned is its ``state``.

    :param now: with its zone.
    """
    _sweep(session, now)
    state = secrets.token_urlsafe(32)
    begun = Pending(user_id=user_id, purpose=purpose, agreed_at=now, until=now + LIFETIME)
    kept = begun.sealed(browser, state).model_dump_json()
    session.add(Variable(_key(state), kept, _DESCRIPTION))  # type: ignore[no-untyped-call]  # Airflow's
    session.commit()
    return state


def take(session: Session, state: str, *, user_id: str, browser: str, now: datetime) -> Pending:
    """Return what a sign-in was for, and end it, whatever comes of it.

    :raises Stopped: it is none, not any more, or somebody else's.
    """
    if not state:
        raise _stopped("This is no way in", "Mailchimp's answer says not which sign-in it belongs to")
    found = session.scalar(select(Variable).where(Variable.key == _key(state)))
    pending = _read(found) if found else None
    if pending is None:
        raise _over()
    # Of several who come with it at the same moment, one deletes the row.
    ended = session.execute(delete(Variable).where(Variable.key == _key(state)))
    session.commit()
    if ended.rowcount != 1:  # type: ignore[attr-defined]
        raise _over()
    if pending.until <= now:
        raise _stopped("This sign-in is too old", "Mailchimp's answer took longer than ten minutes")
    if pending.user_id != user_id:
        raise _stopped("This sign-in is somebody else's", "Another user of Airflow began it")
    # A seal that is made with no cookie at all, anybody can make.
    if not browser or not hmac.compare_digest(pending.seal, pending.sealed(browser, state).seal):
        raise _stopped(
            "This sign-in began in another browser", "This browser has not begun it, or not in this form"
        )
    return pending


def _sweep(session: Session, now: datetime) -> None:
    """Forget what nobody came back for; what is no sign-in, or cannot be read, is left to whoever wrote it."""
    for found in session.scalars(select(Variable).where(Variable.key.startswith(PREFIX, autoescape=True))):
        pending = _read(found)
        if pending and pending.until <= now:
            session.delete(found)


def _read(found: Variable) -> Pending | None:
    """Read a row; what is no sign-in, such as one that cannot be decrypted any more, is none."""
    if not _KEY.fullmatch(found.key):
        return None
    try:
        return Pending.model_validate_json(found.get_val())  # type: ignore[no-untyped-call]  # Airflow's
    except (TypeError, ValueError):
        return None


def _stopped(heading: str, happened: str) -> Stopped:
    return Stopped(
        heading, happened, "Nothing was saved. Begin again; a sign-in is good once, and for ten minutes"
    )


def _over() -> Stopped:
    return _stopped(
        "This sign-in is over", "It has come to its end already, was given up, or never began here"
    )


def _key(state: str) -> str:
    return PREFIX + sha256(state.encode()).hexdigest()
