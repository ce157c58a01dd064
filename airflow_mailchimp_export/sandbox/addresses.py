"""Which addresses Mailchimp takes at all."""

from __future__ import annotations

import re

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_SYNTAX = re.compile(
    r"[^\s@,;:<>()\[\]\\\"\x00-\x1f]{1,64}@(?:" + _LABEL + r"\.)+[a-z0-9][a-z0-9-]{0,61}[a-z0-9]",
    re.IGNORECASE,
)

ROLES = frozenset(
    [
        "abuse",
        "admin",
        "billing",
        "compliance",
        "devnull",
        "dns",
        "ftp",
        "hostmaster",
        "inoc",
        "ispfeedback",
        "ispsupport",
        "list-request",
        "list",
        "maildaemon",
        "noc",
        "no-reply",
        "noreply",
        "null",
        "phish",
        "phishing",
        "postmaster",
        "privacy",
        "registrar",
        "root",
        "security",
        "spam",
        "support",
        "sysadmin",
        "tech",
        "undisclosed-recipients",
        "unsubscribe",
        "usenet",
        "uucp",
        "webmaster",
        "www",
    ]
)
"""https://mailchimp.com/help/limits-on-role-based-addresses/"""


def is_address(email: str) -> bool:
    """Whether this can be an address."""
    local = email.partition("@")[0]
    dotted = local.startswith(".") or local.endswith(".") or ".." in local
    return not dotted and len(email) <= 254 and _SYNTAX.fullmatch(email) is not None


def domain_of(email: str) -> str:
    """What stands after the at sign, in lower case."""
    return email.rpartition("@")[2].lower()


def is_role(email: str) -> bool:
    """Whether the address belongs to a role, not to a person."""
    return email.partition("@")[0].lower() in ROLES
