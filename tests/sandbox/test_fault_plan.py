"""Faults that are planned for the next calls of a kind."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from airflow_mailchimp_export.sandbox.__main__ import main
from airflow_mailchimp_export.sandbox.fault_plan import FaultPlan, PlannedFault
from airflow_mailchimp_export.sandbox.faults import to_fault
from tests.kit.waiting import PATIENCE
from tests.sandbox.driver import LIST, Sandbox, person

PROBLEM, PAGE = "application/problem+json; charset=utf-8", "text/html"


def add(sandbox: Sandbox, name: str) -> int:
    """Try to add a person: the status of the answer, 0 if the connection is cut."""
    try:
        return sandbox.call("POST", LIST, {"members": [person(f"{name}@people.example")]}).status_code
    except requests.ConnectionError:
        return 0


def names(sandbox: Sandbox) -> list[str]:
    """Who is on the list."""
    return [member["email"].partition("@")[0] for member in sandbox.control("/members")["members"]]


@pytest.mark.parametrize(("answer", "added"), [("reset-after", ["a", "b", "c"]), ("reset-before", ["c"])])
def test_lost_answers(sandbox: Sandbox, answer: str, added: list[str]) -> None:
    """The next answers are lost, after the work was done or before, and then all is well again."""
    sandbox.control("/faults", {"method": "POST", "path": "/lists/*", "answer": answer, "count": 2})
    assert [add(sandbox, name) for name in "abc"] == [0, 0, 200]
    assert names(sandbox) == added
    assert sandbox.control("/stats")["faults"] == {answer: 2}


@pytest.mark.parametrize(
    ("answer", "status", "content_type"),
    [
        ("400", 400, PROBLEM),
        ("401", 401, PROBLEM),
        ("403", 403, PROBLEM),
        ("403-html", 403, PAGE),
        ("403-empty", 403, PAGE),
        ("404", 404, PROBLEM),
        ("429", 429, PROBLEM),
        ("429-html", 429, PAGE),
        ("500", 500, PROBLEM),
        ("500-html", 500, PAGE),
        ("502", 502, PAGE),
        ("503", 503, PAGE),
        ("503-json", 503, PROBLEM),
        ("504", 504, PAGE),
        ("forbidden", 403, PAGE),
        ("garbage", 200, PAGE),
    ],
)
def test_answers(sandbox: Sandbox, answer: str, status: int, content_type: str) -> None:
    """Any status can be answered, as a problem document, as a page or without a body."""
    sandbox.control("/faults", {"answer": answer})
    found = sandbox.call("POST", LIST, {"members": [person("a@people.example")]})
    assert (found.status_code, found.headers["Content-Type"]) == (status, content_type)
    assert (found.content == b"") is answer.endswith("empty")
    assert content_type == PAGE or found.json()["status"] == status
    assert names(sandbox) == (["a"] if answer == "garbage" else [])
    assert add(sandbox, "b") == 200


@pytest.mark.parametrize("answer", ["500", "502", "504", "403-empty", "404"])
def test_applied(sandbox: Sandbox, answer: str) -> None:
    """A status can be answered although the work was done."""
    sandbox.control("/faults", {"answer": answer, "applied": True})
    assert add(sandbox, "a") == int(answer[:3])
    assert names(sandbox) == ["a"]
    assert sandbox.control("/stats")["requests"] == {"POST /lists/{list_id}": {answer[:3]: 1}}


@pytest.mark.parametrize(
    ("title", "answer"), [("API Key Invalid", "401"), ("Forbidden", "403"), ("Resource Not Found", "404")]
)
def test_documents(sandbox: Sandbox, title: str, answer: str) -> None:
    """A problem document has the title of its status."""
    sandbox.control("/faults", {"answer": answer})
    assert sandbox.problem("GET", "/ping")["title"] == title


def test_too_many(sandbox: Sandbox) -> None:
    """A planned 429 names the limit, and says when to come back if that is set."""
    sandbox.set(retry_after=7)
    sandbox.control("/faults", {"answer": "429"})
    answer = sandbox.call("GET", "/ping")
    assert answer.json()["detail"] == "You have exceeded the limit of 10 simultaneous connections."
    assert answer.headers["Retry-After"] == "7"


@pytest.mark.parametrize(
    ("method", "path", "matching"),
    [
        ("*", "/**", ["GET /ping", "GET /lists/x", "POST /lists/x", "GET /lists/x/members"]),
        ("get", "/**", ["GET /ping", "GET /lists/x", "GET /lists/x/members"]),
        ("*", "/lists/*", ["GET /lists/x", "POST /lists/x"]),
        ("POST", "/lists/*", ["POST /lists/x"]),
        ("*", "/lists/**", ["GET /lists/x", "POST /lists/x", "GET /lists/x/members"]),
        ("*", "/lists/*/members", ["GET /lists/x/members"]),
        ("*", "**/members", ["GET /lists/x/members"]),
        ("*", "/p.ng", []),
    ],
)
def test_patterns(method: str, path: str, matching: list[str]) -> None:
    """A fault waits for the calls that its method and its path match, as a whole."""
    planned = PlannedFault.from_json({"method": method, "path": path, "answer": "500"})
    calls = ["GET /ping", "GET /lists/x", "POST /lists/x", "GET /lists/x/members"]
    assert [call for call in calls if planned.matches(*call.split())] == matching


def test_skip(sandbox: Sandbox) -> None:
    """A fault can let some calls go well first: only those that match count."""
    sandbox.control("/faults", {"path": "/ping", "answer": "500", "skip": 2})
    paths = ["/ping", "/lists", "/ping", "/ping", "/ping"]
    assert [sandbox.call("GET", path).status_code for path in paths] == [200, 200, 200, 500, 200]


def test_in_their_order(sandbox: Sandbox) -> None:
    """Faults that wait for the same calls come one after the other, and others do not wait for them."""
    sandbox.control(
        "/faults", {"faults": [{"path": "/ping", "answer": "500"}, {"path": "/ping", "answer": "404"}]}
    )
    sandbox.control("/faults", {"path": "/lists", "answer": "502"})
    paths = ["/lists", "/ping", "/ping", "/ping", "/lists"]
    assert [sandbox.call("GET", path).status_code for path in paths] == [502, 500, 404, 200, 200]


def test_for_ever(sandbox: Sandbox) -> None:
    """A fault without an end goes on until the plan is cleared; a reset clears it as well."""
    for clear in ("/faults/clear", "/reset"):
        sandbox.control("/faults", {"answer": "500", "count": -1})
        assert [sandbox.call("GET", "/ping").status_code for _ in range(3)] == [500] * 3
        sandbox.control(clear, {})
        assert sandbox.call("GET", "/ping").status_code == 200


def test_what_is_left(sandbox: Sandbox) -> None:
    """The plan shows what is still to come."""
    sandbox.control(
        "/faults", {"method": "post", "path": "/lists/*", "answer": "reset-after", "count": 3, "skip": 1}
    )
    for name in "ab":
        add(sandbox, name)
    left = {
        "method": "POST",
        "path": "/lists/*",
        "answer": "reset-after",
        "count": 2,
        "skip": 0,
        "applied": True,
    }
    assert sandbox.control("/faults") == {"faults": [left]}
    for name in "cd":
        add(sandbox, name)
    assert sandbox.control("/faults") == {"faults": []}


def test_calls_that_do_not_count(sandbox: Sandbox) -> None:
    """A call with a wrong key does not use a fault up."""
    sandbox.control("/faults", {"path": "/ping", "answer": "500"})
    assert requests.get(f"{sandbox.url}/3.0/ping", timeout=PATIENCE).status_code == 401
    assert sandbox.call("GET", "/ping").status_code == 500


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({}, "A planned fault needs an answer, such as reset-after or 503."),
        ({"answer": "bad luck"}, "'bad luck' is no fault."),
        ({"answer": "200"}, "'200' is no fault."),
        ({"answer": "499"}, "'499' is no fault."),
        ({"answer": "504-json"}, "'504-json' is no fault: there is no problem document with this status."),
        ({"answer": "500", "method": "HEAD"}, "'HEAD' is no method."),
        (
            {"answer": "500", "times": 3},
            "A planned fault has no 'times'; it has method, path, answer, count, skip, applied.",
        ),
        ({"answer": "500", "count": None}, "The count of a planned fault cannot be None."),
        (
            {"answer": "500", "count": 0},
            "A planned fault has a count of 1 or more, or -1, and a skip of 0 or more.",
        ),
        (
            {"answer": "reset-before", "applied": True},
            "'reset-before' says by itself whether the work is done.",
        ),
    ],
)
def test_refused(sandbox: Sandbox, body: dict[str, Any], error: str) -> None:
    """A fault that cannot be planned says why, and none of those beside it is planned."""
    for sent in (body, {"faults": [{"answer": "500"}, body]}):
        answer = requests.post(f"{sandbox.url}/sandbox/faults", json=sent, timeout=PATIENCE)
        assert (answer.status_code, answer.json()) == (400, {"error": error})
    assert sandbox.control("/faults") == {"faults": []}


def test_text() -> None:
    """The command line names a fault in one line."""
    planned = PlannedFault.from_text("post /lists/* 502 count=2 skip=1 applied=true")
    plan = FaultPlan()
    plan.add(planned)
    drawn = [plan.take("POST", "/lists/x") for _ in range(4)]
    assert drawn == [None, *[to_fault("502", applied=True)] * 2, None]


@pytest.mark.parametrize("text", ["", "POST 500", "POST /lists/* 500 2", "POST /lists/* 200"])
def test_bad_text(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A line that names no fault ends the program with a message."""
    with pytest.raises(SystemExit) as ended:
        main(["--port", "0", "--next-fault", text])
    assert ended.value.code == 2
    assert "is no " in capsys.readouterr().err
