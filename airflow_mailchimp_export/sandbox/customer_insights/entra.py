"""Microsoft Entra's token endpoint, version 2.0, for client credentials."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import parse_qs, unquote_plus
from uuid import uuid4

import orjson

from airflow_mailchimp_export.sandbox.customer_insights.organisation import Organisation
from airflow_mailchimp_export.sandbox.customer_insights.replies import JSON, Reply

FORM = "application/x-www-form-urlencoded"
ROUTE = "POST /oauth2/v2.0/token"
PATH = re.compile(r"/(?P<tenant>[^/]+)/oauth2/v2\.0/token")


@dataclass(frozen=True, slots=True)
class Denial:
    """Why there is no token.

    :param code: of the message that begins with ``AADSTS``.
    """

    status: int
    error: str
    code: int
    message: str


def answer_token(organisation: Organisation, tenant: str, headers: Mapping[str, str], body: bytes) -> Reply:
    """The answer to a call for a token."""
    is_form = headers.get("content-type", "").partition(";")[0].strip().lower() == FORM
    given = {name: values[0] for name, values in parse_qs(body.decode("latin-1")).items()} if is_form else {}
    given |= _basic(headers)
    denial = _denial(organisation, tenant, given)
    if denial:
        return _denied(organisation, denial)
    seconds = int(organisation.settings.token_lifetime)
    content = {
        "token_type": "Bearer",
        "expires_in": seconds,
        "ext_expires_in": seconds,
        "access_token": organisation.grant(),
    }
    return Reply(200, orjson.dumps(content), JSON, _headers(), ROUTE)


def _denial(organisation: Organisation, tenant: str, given: Mapping[str, str]) -> Denial | None:
    settings = organisation.settings
    if tenant.lower() != settings.tenant_id.lower():
        words = f"Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID."
        return Denial(400, "invalid_request", 90002, words)
    if missing := next((name for name in ("grant_type", "client_id") if name not in given), None):
        words = f"The request body must contain the following parameter: '{missing}'."
        return Denial(400, "invalid_request", 900144, words)
    if given["grant_type"] != "client_credentials":
        words = f"The app requested an unsupported grant type '{given['grant_type']}'."
        return Denial(400, "unsupported_grant_type", 70003, words)
    if given["client_id"].lower() != settings.client_id.lower():
        words = (
            f"Application with identifier '{given['client_id']}' was not found in the directory 'Sandbox'."
        )
        return Denial(400, "unauthorized_client", 700016, words)
    return _secret_denial(organisation, given) or _scope_denial(organisation, given)


def _secret_denial(organisation: Organisation, given: Mapping[str, str]) -> Denial | None:
    settings = organisation.settings
    if "client_secret" not in given:
        words = (
            "The request body must contain the following parameter: 'client_assertion' or 'client_secret'."
        )
        return Denial(401, "invalid_client", 7000218, words)
    if given["client_secret"] != settings.client_secret:
        words = (
            "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, "
            f"not the client secret ID, for a secret added to app '{settings.client_id}'."
        )
        return Denial(401, "invalid_client", 7000215, words)
    if settings.secret_expired:
        words = f"The provided client secret keys for app '{settings.client_id}' are expired."
        return Denial(401, "invalid_client", 7000222, words)
    return None


def _scope_denial(organisation: Organisation, given: Mapping[str, str]) -> Denial | None:
    if "scope" not in given:
        words = "The request body must contain the following parameter: 'scope'."
        return Denial(400, "invalid_request", 900144, words)
    resource, found, rest = given["scope"].rpartition("/.default")
    if not found or rest or " " in resource:
        words = (
            f"The provided request must include a 'scope' input parameter. The provided value for the input parameter "
            f"'scope' is not valid. The scope {given['scope']} is not valid."
        )
        return Denial(400, "invalid_scope", 70011 if not found else 1002012, words)
    if resource.rstrip("/") != organisation.url:
        words = f"The resource principal named {resource} was not found in the tenant named Sandbox."
        return Denial(400, "invalid_resource", 500011, words)
    return None


def _denied(organisation: Organisation, denial: Denial) -> Reply:
    trace, correlation = str(uuid4()), str(uuid4())
    moment = datetime.fromtimestamp(organisation.now(), UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    told = f"AADSTS{denial.code}: {denial.message}"
    content = {
        "error": denial.error,
        "error_description": f"{told} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {moment}",
        "error_codes": [denial.code],
        "timestamp": moment,
        "trace_id": trace,
        "correlation_id": correlation,
        "error_uri": f"https://login.microsoftonline.com/error?code={denial.code}",
    }
    return Reply(denial.status, orjson.dumps(content), JSON, _headers(), ROUTE)


def _basic(headers: Mapping[str, str]) -> dict[str, str]:
    """The id and the secret, where they come as Basic authentication."""
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return {}
    try:
        client_id, _, secret = b64decode(value, validate=True).decode().partition(":")
    except ValueError:
        return {}
    return {"client_id": unquote_plus(client_id), "client_secret": unquote_plus(secret)}


def _headers() -> dict[str, str]:
    return {"Cache-Control": "no-store, no-cache", "Pragma": "no-cache"}
