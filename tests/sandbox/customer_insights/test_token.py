"""Microsoft Entra's token endpoint."""

from __future__ import annotations

import pytest
import requests

from tests.kit.waiting import PATIENCE
from tests.sandbox.customer_insights.driver import STATED, Insights


def test_a_form_gets_a_token(insights: Insights) -> None:
    """Client credentials in a form get a bearer token with its seconds, which the Web API takes."""
    answer = insights.ask_token()
    token = answer.json()
    assert answer.status_code == 200
    assert {**token, "access_token": ""} == {
        "token_type": "Bearer",
        "expires_in": 3599,
        "ext_expires_in": 3599,
        "access_token": "",
    }
    headers = {"Authorization": f"Bearer {token['access_token']}"}
    assert requests.get(f"{insights.root}/WhoAmI", headers=headers, timeout=PATIENCE).status_code == 200


def test_basic_authentication_gets_a_token(insights: Insights) -> None:
    """Id and secret may come as Basic authentication as well."""
    url = f"{insights.url}/{STATED.tenant_id}/oauth2/v2.0/token"
    form = {"grant_type": "client_credentials", "scope": f"{insights.url}/.default"}
    answer = requests.post(url, data=form, auth=(STATED.client_id, "sandbox%7Esecret"), timeout=PATIENCE)
    assert answer.status_code == 200


def test_basic_authentication_that_is_none(insights: Insights) -> None:
    """What is no Base64 counts as nothing."""
    url = f"{insights.url}/{STATED.tenant_id}/oauth2/v2.0/token"
    form = {"grant_type": "client_credentials", "scope": f"{insights.url}/.default"}
    answer = requests.post(url, data=form, headers={"Authorization": "Basic ?"}, timeout=PATIENCE)
    assert answer.json()["error_codes"] == [900144]


def test_json_is_no_form(insights: Insights) -> None:
    """The same values as JSON are as good as none."""
    url = f"{insights.url}/{STATED.tenant_id}/oauth2/v2.0/token"
    answer = requests.post(url, json={"grant_type": "client_credentials"}, timeout=PATIENCE)
    assert (answer.status_code, answer.json()["error_codes"]) == (400, [900144])


@pytest.mark.parametrize(
    ("changed", "status", "error", "code"),
    [
        ({"client_secret": "wrong"}, 401, "invalid_client", 7000215),
        ({"client_secret": None}, 401, "invalid_client", 7000218),
        ({"client_id": "99999999-bbbb-cccc-dddd-eeeeeeeeeeee"}, 400, "unauthorized_client", 700016),
        ({"tenant": "contoso.example"}, 400, "invalid_request", 90002),
        ({"grant_type": "password"}, 400, "unsupported_grant_type", 70003),
        ({"scope": None}, 400, "invalid_request", 900144),
        ({"scope": "https://other.crm.dynamics.com/.default"}, 400, "invalid_resource", 500011),
        ({"scope": "https://other.crm.dynamics.com/user_impersonation"}, 400, "invalid_scope", 70011),
    ],
)
def test_denied(
    insights: Insights, changed: dict[str, str | None], status: int, error: str, code: int
) -> None:
    """What is wrong is named by an error and by a code, which the description begins with."""
    answer = insights.ask_token(**changed)
    told = answer.json()
    assert (answer.status_code, told["error"], told["error_codes"]) == (status, error, [code])
    assert told["error_description"].startswith(f"AADSTS{code}: ")
    assert told["error_uri"].endswith(f"?code={code}")
    assert {"timestamp", "trace_id", "correlation_id"} <= told.keys()


def test_scope_of_a_path_in_the_organisation_is_refused(insights: Insights) -> None:
    """The scope is the organisation's URL and /.default, with nothing between them."""
    answer = insights.ask_token(scope=f"{insights.url}/api/data/v9.2/.default")
    assert (answer.status_code, answer.json()["error_codes"]) == (400, [500011])


def test_expired_secret(insights: Insights) -> None:
    """A secret that has expired is told from one that is wrong."""
    insights.set(secret_expired=True)
    assert insights.ask_token().json()["error_codes"] == [7000222]


def test_expired_token(insights: Insights) -> None:
    """A token works until its time is over, and then a new one does."""
    insights.set(token_lifetime=60)
    assert insights.ask_token().json()["expires_in"] == 60
    insights.log_in()
    assert insights.call("WhoAmI").status_code == 200
    insights.set(clock_shift=61)
    answer = insights.call("WhoAmI")
    assert (answer.status_code, answer.content) == (401, b"")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer authorization_uri=")
    insights.log_in()
    assert insights.call("WhoAmI").status_code == 200


def test_revoked_token(insights: Insights) -> None:
    """Tokens can be revoked while they would be valid."""
    assert insights.control("tokens/revoke", {}) == {"revoked": 1}
    assert insights.call("WhoAmI").status_code == 401


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer nonsense", "Basic YTpi"])
def test_no_token(insights: Insights, header: str) -> None:
    """Whoever comes without a token, or with something else, is not let in."""
    answer = requests.get(f"{insights.root}/WhoAmI", headers={"Authorization": header}, timeout=PATIENCE)
    assert answer.status_code == 401
