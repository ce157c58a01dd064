"""Calls that go wrong, drawn so that the same call goes wrong again in the next run."""

from __future__ import annotations

from collections import Counter
from hashlib import blake2b
from random import Random

from airflow_mailchimp_export.sandbox.choices import FaultKind
from airflow_mailchimp_export.sandbox.settings import Settings

APPLIED = frozenset(
    {FaultKind.GATEWAY, FaultKind.RESET_AFTER, FaultKind.TRUNCATED, FaultKind.GARBAGE, FaultKind.DELAY}
)
"""The faults after which the work has been done all the same."""

BAD_GATEWAY_PAGE = b"""<html>
<head><title>502 Bad Gateway</title></head>
<body><center><h1>502 Bad Gateway</h1></center><hr><center>openresty</center></body>
</html>
"""
UNAVAILABLE_PAGE = b"""<html>
<head><title>503 Service Temporarily Unavailable</title></head>
<body><center><h1>503 Service Temporarily Unavailable</h1></center></body>
</html>
"""
DENIED_PAGE = b"""<HTML><HEAD><TITLE>Access Denied</TITLE></HEAD>
<BODY><H1>Access Denied</H1>You don't have permission to access this server.</BODY></HTML>
"""
GARBAGE_PAGE = b"<!DOCTYPE html><html><body><p>We'll be right back.</p></body></html>"


class Injector:
    """Draws from the seed, the call and how often it was made: the order of arrival plays no part."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._attempts: Counter[bytes] = Counter()

    def draw(self, method: str, target: str, body: bytes) -> FaultKind | None:
        """The fault of this call, if it has one."""
        rate, kinds = self._settings.fault_rate, self._settings.faults
        if rate <= 0 or not kinds:
            return None
        call = blake2b(f"{method} {target} ".encode() + body, digest_size=8).digest()
        self._attempts[call] += 1
        chance = Random(f"{self._settings.seed} {call.hex()} {self._attempts[call]}")
        return chance.choice(kinds) if chance.random() < rate else None
