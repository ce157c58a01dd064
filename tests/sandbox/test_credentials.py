"""Who gets in, and what the others are told."""

from __future__ import annotations

from base64 import b64encode

import pytest
import requests

from tests.kit.waiting import PATIENCE
from tests.sandbox.driver import LIST, Sandbox, person

HEX = "0123456789abcdef0123456789abcdef"
TOKEN = "fedcba9876543210fedcba9876543210"


def ping(sandbox: Sandbox, **headers: str) -> requests.Response:
    """A ping with these headers and no others."""
    return requests.get(f"{sandbox.url}/3.0/ping", headers=headers, timeout=PATIENCE)


def basic(text: str) -> str:
    """The header of Basic authentication."""
    return f"Basic {b64encode(text.encode()).decode()}"


@pytest.mark.parametrize(
    "header",
    [
        basic(f"anybody:{HEX}-us0"),
        basic(f":{HEX}-us0"),
        f"Bearer {HEX}-us0",
        f"OAuth {HEX}-us0",
        f"apikey {HEX}-us0",
        f"Bearer {TOKEN}",
    ],
)
def test_good_key(sandbox: Sandbox, header: str) -> None:
    """Basic with any user, Bearer and OAuth all carry a key or a token."""
    assert ping(sandbox, Authorization=header).json() == {"health_status": "Everything's Chimpy!"}


@pytest.mark.parametrize(
    ("header", "status", "title"),
    [
        ("", 401, "API Key Missing"),
        (basic(f"anybody:{'f' * 32}-us0"), 401, "API Key Invalid"),
        (basic("anybody:"), 401, "API Key Invalid"),
        ("Basic !", 401, "API Key Invalid"),
        ("Digest x", 401, "API Key Invalid"),
        (f"Bearer {HEX}", 401, "API Key Invalid"),
        (f"Bearer {HEX}-us21", 403, "WrongDatacenter"),
    ],
)
def test_bad_key(sandbox: Sandbox, header: str, status: int, title: str) -> None:
    """A missing, wrong or garbled key is told apart from one of another data centre."""
    answer = ping(sandbox, **({"Authorization": header} if header else {}))
    assert (answer.status_code, answer.json()["title"]) == (status, title)
    assert answer.headers["Content-Type"] == "application/problem+json; charset=utf-8"
    assert answer.headers["Link"].endswith('ProblemDetailDocument.json>; rel="describedBy"')


def test_revoked_key(sandbox: Sandbox) -> None:
    """A key that is changed at run time no longer gets in."""
    sandbox.set(key="f" * 32 + "-us0")
    assert sandbox.problem("GET", "/ping")["status"] == 401


@pytest.mark.parametrize("given", [{}, {"key": "e" * 32 + "-us0"}])
def test_rotated_key(sandbox: Sandbox, given: dict[str, str]) -> None:
    """After a rotation the old key is invalid and the new one gets in, while OAuth tokens stay valid."""
    new = sandbox.control("/key/rotate", given)["key"]
    problem = sandbox.problem("GET", "/ping")
    assert (problem["status"], problem["title"]) == (401, "API Key Invalid")
    assert ping(sandbox, Authorization=f"Bearer {new}").status_code == 200
    assert new == given.get("key", new) == sandbox.control("/settings")["key"] != sandbox.key
    assert ping(sandbox, Authorization=f"Bearer {TOKEN}").status_code == 200


def test_rotated_to_nonsense(sandbox: Sandbox) -> None:
    """A key that is no text is refused, and the old one stays valid."""
    answer = requests.post(f"{sandbox.url}/sandbox/key/rotate", json={"key": 7}, timeout=PATIENCE)
    assert (answer.status_code, answer.json()) == (400, {"error": "The setting 'key' cannot be 7."})
    assert sandbox.get("/ping")


def test_metadata(sandbox: Sandbox) -> None:
    """A good token's metadata name the data centre and the sandbox's own address."""
    headers = {"Authorization": f"OAuth {TOKEN}"}
    found = requests.get(f"{sandbox.url}/oauth2/metadata", headers=headers, timeout=PATIENCE).json()
    assert (found["dc"], found["role"], found["api_endpoint"]) == ("us0", "admin", sandbox.url)


@pytest.mark.parametrize("headers", [{}, {"Authorization": "OAuth wrong"}])
def test_metadata_of_bad_token(sandbox: Sandbox, headers: dict[str, str]) -> None:
    """A bad token's metadata come with status 200 all the same, only without an address."""
    answer = requests.get(f"{sandbox.url}/oauth2/metadata", headers=headers, timeout=PATIENCE)
    assert (answer.status_code, "api_endpoint" in answer.json()) == (200, False)


@pytest.mark.parametrize("role", ["viewer", "author"])
def test_reader(sandbox: Sandbox, role: str) -> None:
    """Viewers and authors read, but do not write."""
    sandbox.set(role=role)
    assert sandbox.get("/", fields="role") == {"role": role}
    assert sandbox.problem("POST", LIST, {"members": []})["title"] == "Forbidden"


def test_disabled_account(sandbox: Sandbox) -> None:
    """A disabled account answers 403 even to a ping."""
    sandbox.set(account_disabled=True)
    assert sandbox.problem("GET", "/ping")["title"] == "User Disabled"


def test_account_in_review(sandbox: Sandbox) -> None:
    """An account in compliance review may read, but writes are answered 503."""
    sandbox.set(compliance_review=True)
    assert sandbox.get("/ping")
    assert sandbox.problem("POST", LIST, {"members": [person("a@people.example")]})["status"] == 503


@pytest.mark.parametrize(("name", "status"), [("APIKeyMissing", 401), ("UpgradeRequired", 426)])
def test_triggered_error(sandbox: Sandbox, name: str, status: int) -> None:
    """The header X-Trigger-Error brings about the error that it names."""
    assert sandbox.problem("GET", "/ping", headers={"X-Trigger-Error": name})["status"] == status


def test_method_override(sandbox: Sandbox) -> None:
    """A POST may stand for another method; any other method may not."""
    override = {"X-HTTP-Method-Override": "GET"}
    assert sandbox.call("POST", "/ping", headers=override).status_code == 200
    assert sandbox.problem("PUT", "/ping", headers=override)["title"] == "InvalidMethodOverride"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nothing", 404), ("GET", "/lists/0000000000", 404), ("GET", "/a/b/c/d/e/f/g/h/i", 414)],
)
def test_unknown_resource(sandbox: Sandbox, method: str, path: str, status: int) -> None:
    """What is not there is a 404, and what is nested too deeply a 414."""
    assert sandbox.problem(method, path)["status"] == status


def test_method_not_allowed(sandbox: Sandbox) -> None:
    """A method that the resource does not know is a 405 that lists those it knows."""
    answer = sandbox.call("DELETE", "/ping")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET")
