"""Whether a connection's consent is what it was when a sign-in for it began.

Who signs in agrees before Mailchimp's page, and the agreement is saved after it, up to ten minutes later. What somebody
else has decided in the meantime came later, so it counts, and is not written over. No clocks are compared: the sign-in
remembers what it began from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256

from airflow_mailchimp_export.pages.sign_in.stopped import Stopped
from airflow_mailchimp_export.settings.consent import CONSENT, EVIDENCE


def consent_mark(extra: Mapping[str, object]) -> str:
    """Return what is another text once somebody has agreed, has withdrawn that, or has changed the switch."""
    kept = [extra.get(key) for key in (CONSENT, *EVIDENCE)]
    return sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def check_unchanged(now: str, begun: str, conn_id: str) -> None:
    """Let a sign-in go on to save its agreement.

    :param now: the mark of the connection's consent as it is.
    :param begun: the mark of what it was when the user agreed.
    :raises Stopped: somebody has decided since.
    """
    if now != begun:
        raise Stopped(
            "Consent was changed meanwhile",
            f"Since you agreed, somebody has agreed for the connection {conn_id}, or has withdrawn consent, so nothing "
            "was saved",
            "See on the page of connections how it is now, and begin again only if you still agree",
            status=409,
        )
