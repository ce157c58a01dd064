"""Who is calling."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Mapping

from airflow_mailchimp_export.sandbox.account import Account
from airflow_mailchimp_export.sandbox.problems import KEY_INVALID, KEY_MISSING, WRONG_DATACENTER, Problem

_KEY = re.compile(r"[0-9a-f]{32}-([a-z]{2,}\d+)")


def token_of(headers: Mapping[str, str]) -> str | None:
    """The key or token, in any of the forms that Mailchimp takes; empty if it cannot be read."""
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if not scheme:
        return None
    if scheme.lower() in {"bearer", "oauth", "apikey"}:
        return value.strip()
    if scheme.lower() != "basic":
        return ""
    try:
        return b64decode(value.strip(), validate=True).decode().partition(":")[2]
    except ValueError:
        return ""


def valid_tokens(account: Account) -> set[str]:
    """Every key and token that gets in."""
    return {account.settings.key, account.settings.oauth_token, *account.grants.tokens} - {""}


def check_credentials(headers: Mapping[str, str], account: Account) -> Problem | None:
    """What is wrong with the caller's key."""
    token = token_of(headers)
    if token is None:
        return KEY_MISSING
    if token in valid_tokens(account):
        return None
    form = _KEY.fullmatch(token)
    return WRONG_DATACENTER if form and form[1] != account.settings.datacenter else KEY_INVALID
