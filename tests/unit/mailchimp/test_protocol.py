"""What each answer of Mailchimp means, decided by its status first."""

from __future__ import annotations

import base64
import re
import traceback
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_mailchimp_export import __version__
from airflow_mailchimp_export.errors import (
    AccessDenied,
    FieldProblem,
    MailchimpError,
    NotFound,
    PermanentError,
    RetryableError,
    Throttled,
    TimedOut,
)
from airflow_mailchimp_export.mailchimp.protocol import (
    Call,
    Request,
    Response,
    basic_authorization,
    decipher,
    finish,
    headers,
    oauth_authorization,
)
from airflow_mailchimp_export.masking import masked
from tests.kit.http import KEY, to_page, to_problem, to_response

ASK = Request("GET", "/lists/a1b2c3d4e5/members/62eeb292278cc15f5817cb78f7790b08")
NAMED = "GET /lists/a1b2c3d4e5/members/<member>"
ADDRESS = "urist.mcvankab@freddiesjokes.com"
EMPTY = b""


def failure(response: Response) -> MailchimpError:
    """The error that an answer is made into."""
    with pytest.raises(MailchimpError) as caught:
        decipher(ASK, response)
    return caught.value


REFUSALS = [
    (400, "Bad Request", PermanentError),
    (400, "BadRequest", PermanentError),
    (400, "Invalid Resource", PermanentError),
    (400, "Invalid Action", PermanentError),
    (400, "JSONParseError", PermanentError),
    (400, "Member Exists", PermanentError),
    (400, "Member In Compliance State", PermanentError),
    (400, "Forgotten Email Not Subscribed", PermanentError),
    (401, "API Key Missing", AccessDenied),
    (401, "APIKeyInvalid", AccessDenied),
    (403, "Forbidden", AccessDenied),
    (403, "User action not permitted", AccessDenied),
    (403, "User Disabled", AccessDenied),
    (403, "WrongDatacenter", AccessDenied),
    (404, "Resource Not Found", NotFound),
    (405, "Method Not Allowed", PermanentError),
    (413, "Request Entity Too Large", PermanentError),
    (414, "Resource Nesting Too Deep", PermanentError),
    (422, "InvalidMethodOverride", PermanentError),
    (422, "RequestedFieldsInvalid", PermanentError),
    (426, "Upgrade Required", PermanentError),
    (503, "ComplianceRelated", AccessDenied),
    (503, "Compliance Related", AccessDenied),
]


@pytest.mark.parametrize(("status", "title", "kind"), REFUSALS)
def test_refusals(status: int, title: str, kind: type[PermanentError | AccessDenied]) -> None:
    """A refusal is permanent, and says which request, which status and in which words."""
    error = failure(to_problem(status, title, "Because."))
    assert type(error) is kind
    assert isinstance(error, PermanentError | AccessDenied)
    assert error.status == status
    assert str(error).startswith(f"{NAMED} was answered {status}: {title} - Because.")


PASSING = [
    (to_problem(429, "Too Many Requests"), Throttled),
    (to_problem(429, "TooManyRequests"), Throttled),
    (to_problem(429, "Something Else"), Throttled),
    (to_page(429), Throttled),
    (Response(429, {}, EMPTY), Throttled),
    (to_page(403), Throttled),
    (Response(403, {}, EMPTY), Throttled),
    (to_response(["no", "document"], 403), Throttled),
    (to_problem(500, "Internal Server Error"), RetryableError),
    (to_page(500), RetryableError),
    (to_page(503), RetryableError),
    (to_problem(503, "Service Unavailable"), RetryableError),
    (to_response({}, 503), RetryableError),
    (to_page(520), RetryableError),
    (to_page(502), TimedOut),
    (to_problem(502, "Bad Gateway"), TimedOut),
    (to_page(504), TimedOut),
    (to_page(408), TimedOut),
]


@pytest.mark.parametrize(("response", "kind"), PASSING, ids=lambda value: getattr(value, "status", ""))
def test_passing_failures(response: Response, kind: type[RetryableError]) -> None:
    """Push-back, time-outs and server errors pass, each as its own kind, whatever the body holds."""
    error = failure(response)
    assert type(error) is kind
    assert str(error).startswith(f"{NAMED} was answered {response.status}")


@pytest.mark.parametrize(
    ("status", "remedy"),
    [
        (401, "Put a valid API key or OAuth token into the connection"),
        (403, "Use a key of a user whose role and plan allow it"),
        (404, "Check the audience id"),
        (426, "Use https in the connection's base URL"),
        (503, "write to its support"),
    ],
)
def test_remedies(status: int, remedy: str) -> None:
    """A refusal that the reader can fix names the remedy."""
    assert remedy in str(failure(to_problem(status, "ComplianceRelated")))


def test_a_refusal_without_a_remedy() -> None:
    """A refusal of the content ends with Mailchimp's words."""
    assert (
        str(failure(to_problem(400, "Bad Request", "No."))) == f"{NAMED} was answered 400: Bad Request - No."
    )


@pytest.mark.parametrize("response", [to_page(404), to_response({}, 404), to_response({"title": None}, 404)])
def test_a_refusal_without_words(response: Response) -> None:
    """Where there is no problem document, or nothing in it, the message says so and keeps its remedy."""
    error = failure(response)
    assert str(error).startswith(
        f"{NAMED} was answered 404 without a problem document. Check the audience id"
    )
    assert isinstance(error, PermanentError)
    assert error.words == ""


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects(status: int) -> None:
    """A redirect is a refusal: no API call is redirected."""
    assert type(failure(to_page(status, location="https://elsewhere.invalid/"))) is PermanentError


def test_field_problems() -> None:
    """What a refusal says of single fields is kept, and what is no such entry is passed over."""
    entries = [{"field": "FNAME", "message": "Please enter a value"}, "?", {"field": None}, {}]
    error = failure(to_problem(400, "Invalid Resource", errors=entries))
    assert isinstance(error, PermanentError)
    assert error.problems == (
        FieldProblem("FNAME", "Please enter a value"),
        FieldProblem("", ""),
        FieldProblem("", ""),
    )


@pytest.mark.parametrize("entries", [None, "words", {"field": "FNAME"}])
def test_no_field_problems(entries: object) -> None:
    """A refusal whose errors are no list has no field problems."""
    error = failure(to_problem(400, errors=entries))
    assert isinstance(error, PermanentError)
    assert error.problems == ()


def test_words_without_a_detail() -> None:
    """Mailchimp's words are the title where there is no detail."""
    error = failure(to_problem(400, "Invalid Action"))
    assert isinstance(error, PermanentError)
    assert error.words == "Invalid Action"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 120 ", 120.0),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
        ("\u00b2", None),
        ("\u0663", None),
        ("Mon, 01 Jan 99999999999 00:00:00 GMT", None),
        ("Mon, 01 Jan 2024 25:00:00 GMT", None),
        ("Mon, 01 Jan 2024 00:00:00 GMT", 0.0),
        ("Mon, 01 Jan 2024 00:00:00 -0000", 0.0),
    ],
)
@pytest.mark.parametrize("status", [403, 429, 500, 503, 504])
def test_retry_after(status: int, value: str, seconds: float | None) -> None:
    """Retry-After is read wherever it appears, a date gone by is now, and garbage counts as nothing."""
    error = failure(to_page(status, retry_after=value))
    assert isinstance(error, RetryableError)
    assert error.retry_after == seconds


@pytest.mark.parametrize(("offset", "zone"), [(0, "GMT"), (0, "-0000"), (2, "+0200"), (-5, "-0500")])
def test_retry_after_a_date(offset: int, zone: str) -> None:
    """A Retry-After date counts from now, in its own zone or, where it leaves that open, in UTC."""
    moment = datetime.now(UTC) + timedelta(hours=offset, seconds=90)
    error = failure(to_page(429, retry_after=f"{moment:%a, %d %b %Y %H:%M:%S} {zone}"))
    assert isinstance(error, RetryableError)
    assert error.retry_after == pytest.approx(90, abs=5)


def test_no_retry_after() -> None:
    """Without the header there is no wish."""
    error = failure(to_page(429))
    assert isinstance(error, RetryableError)
    assert error.retry_after is None


@pytest.mark.parametrize(
    "body", [b'{"id": "a', b"<html>We'll be right back.</html>", b"", b" \n", b"\xff\xfe"]
)
def test_spoilt_bodies(body: bytes) -> None:
    """A success whose body is cut off, empty or no JSON is worth a second attempt."""
    error = failure(Response(200, {}, body))
    assert type(error) is RetryableError
    assert str(error) == f"{NAMED} was answered 200 with a body that is cut off or is no JSON"


def test_no_content() -> None:
    """204 has no body, and no JSON is missed."""
    assert decipher(ASK, Response(204, {}, b"")) is None


@pytest.mark.parametrize("status", [200, 201, 299])
def test_success(status: int) -> None:
    """Every other 2xx answer is its JSON."""
    assert decipher(ASK, to_response({"id": 1}, status)) == {"id": 1}


def test_reading_an_answer() -> None:
    """A call's own reader makes its result."""
    assert finish(Call(ASK, lambda answer: answer["id"] + 1), to_response({"id": 1})) == 2


@pytest.mark.parametrize("payload", [{}, None, [], "text", 7, {"id": None}, {"id": "x"}, {"id": {}}])
def test_undocumented_shapes(payload: object) -> None:
    """An answer in a shape that is not documented is permanent and names the request and the status."""
    with pytest.raises(PermanentError) as caught:
        finish(Call(ASK, lambda answer: int(answer["id"])), to_response(payload, 201))
    assert re.fullmatch(
        re.escape(f"{NAMED} was answered in a shape that is not documented (")
        + r"(Key|Type|Value|Attribute)Error\)\. Check that Base URL \(host\) in the connection leads to Mailchimp",
        str(caught.value),
    )
    assert caught.value.status == 201


def test_a_reader_that_finds_no_method() -> None:
    """A list where an object belongs is an undocumented shape."""
    with pytest.raises(PermanentError, match=r"not documented \(AttributeError\)"):
        finish(Call(ASK, lambda answer: answer.get("id")), to_response([]))


QUOTING = [
    to_problem(400, ADDRESS, f"{ADDRESS} looks fake; see {ADDRESS}, '{ADDRESS}' or <{ADDRESS}>."),
    to_problem(401, f"APIKeyInvalid {KEY}", f"The key '{KEY}' of {ADDRESS} is bad."),
    to_problem(403, "Forbidden", f"Authorization of {KEY.upper()}_{ADDRESS}"),
    to_problem(429, "Too Many Requests", f"{ADDRESS}:{KEY}"),
    to_problem(500, "Internal Server Error", f"key_{KEY}x"),
    to_problem(502, ADDRESS, KEY),
    to_problem(503, "ComplianceRelated", f"{ADDRESS} {KEY}"),
    to_problem(400, "Invalid Resource", errors=[{"field": ADDRESS, "message": KEY}]),
    Response(200, {}, f"{ADDRESS} {KEY}".encode()),
    to_response({"id": f"{ADDRESS} {KEY}"}),
    to_response([ADDRESS, KEY]),
]


@pytest.mark.parametrize("response", QUOTING, ids=lambda response: str(response.status))
def test_what_mailchimp_quotes(response: Response) -> None:
    """No address and no key stands in an error's text or repr, though Mailchimp quotes them."""
    with pytest.raises(MailchimpError) as caught:
        finish(Call(ASK, lambda answer: answer["missing"]), response)
    for text in (*traceback.format_exception_only(caught.value), repr(caught.value)):
        assert ADDRESS not in text
        assert "freddiesjokes" not in text
        assert KEY[:32] not in text.lower()


# What plan.sql lets pass: no blanks, brackets, double quotes, commas, colons, semicolons or backslashes.
LOCAL_PART = st.text(
    st.characters(exclude_categories=["Cc", "Cs"], exclude_characters=' @"(),:;<>[]\\'),
    min_size=1,
    max_size=64,
)


@settings(deadline=None)
@given(
    before=st.text(),
    local=LOCAL_PART,
    domain=st.from_regex(r"[a-z0-9]+(-[a-z0-9]+)*\.[a-z]{2,10}", fullmatch=True),
    after=st.text(),
)
@example(before="The address '", local="o'brien", domain="example.org", after="' is bad.")
@example(before="", local="jo\u00a0hn", domain="example.org", after="")
@example(before="mailto:", local="a", domain="b.io", after="?x=1")
def test_masking_addresses(before: str, local: str, domain: str, after: str) -> None:
    """No part of an address is left, whatever stands around it."""
    words = masked(f"{before} {local}@{domain} {after}")
    assert "@" not in words
    assert "<address>" in words
    assert words == masked(f"{before} x@y.z {after}")


@settings(deadline=None)
@given(before=st.text(), hexadecimal=st.from_regex(r"[0-9a-f]{32}", fullmatch=True), after=st.text())
def test_masking_keys(before: str, hexadecimal: str, after: str) -> None:
    """No key is left, in whichever case and whatever it is glued to."""
    for key in (hexadecimal, f"{hexadecimal}-us21", hexadecimal.upper()):
        assert key not in masked(f"{before}{key}{after}")


def test_masking_members() -> None:
    """Whoever a path stands for is not told, in a request as in Mailchimp's words."""
    path = "/3.0/lists/a1b2c3d4e5/members"
    assert masked(f"POST {path}/0123456789abcdef/tags and {path}/x.") == (
        f"POST {path}/<member>/tags and {path}/<member>"
    )
    assert masked(f"GET {path}") == f"GET {path}"


@pytest.mark.parametrize(
    "spelled",
    [
        "a%40b.org",
        "a%2540b.org",
        "a\uff20b.org",
        "a\ufe6bb.org",
        "a&#64;b.org",
        "a&#x40;b.org",
        "a&commat;b.org",
    ],
)
def test_masking_addresses_in_other_spellings(spelled: str) -> None:
    """An address that stands in a link, in a page, or was typed on another keyboard is not told either."""
    assert masked(f"Bad value ({spelled}), sorry") == "Bad value <address> sorry"
    assert masked(f"see /x?email={spelled.upper()} there") == "see <address> there"


def test_masking_what_carries_the_key() -> None:
    """A header that is quoted, however it is introduced, tells no key."""
    told = basic_authorization(KEY)
    assert (
        masked(f"Header 'Authorization: {told}' is not right") == "Header 'Authorization: <key>' is not right"
    )
    assert masked(f"got {told.removeprefix('Basic ')}") == "got <key>"
    assert masked("Authorization=basic%20dXNlcjpwYXNzd29yZDE=") == "Authorization=<key>"
    assert masked("Bearer abcDEF123456.xyz") == "<key>"
    assert masked("Basic authentication is required") == "Basic authentication is required"


def test_masking_a_long_word() -> None:
    """Words without an end are masked in linear time."""
    assert masked("x" * 1_000_000) == "x" * 1_000_000
    assert masked("x" * 1_000_000 + "@") == "<address>"


def test_what_is_not_masked() -> None:
    """Words that quote nobody stay as they are."""
    words = "Please enter a value (FNAME); request 6f1d8a4e-11aa-4c52-9f53-0e9a0a6d3f0b"
    assert masked(words) == words


ODD_HEADERS = st.dictionaries(
    st.sampled_from(["retry-after", "content-type", "x"]),
    st.text() | st.integers().map(str) | st.datetimes().map(format_datetime),
)
ODD_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(["title", "detail", "status", "errors", "field", "message"]) | st.text(), inner
        )
    ),
).map(orjson.dumps)


@settings(deadline=None)
@given(
    status=st.integers(100, 599) | st.sampled_from([200, 204, 400, 403, 429, 502, 503]) | st.integers(),
    headers=ODD_HEADERS,
    body=st.binary() | ODD_JSON,
)
def test_nothing_else_is_raised(status: int, headers: dict[str, str], body: bytes) -> None:
    """Whatever arrives, it is deciphered or becomes one of our errors, and only 2xx is ever deciphered."""
    told = ""
    try:
        decipher(ASK, Response(status, headers, body))
    except MailchimpError as error:
        told = str(error)
    assert told or 200 <= status < 300
    assert "@" not in told


def test_authorization() -> None:
    """Key and token travel as the password of any user; the metadata call takes a token as it is."""
    scheme, _, encoded = basic_authorization(KEY).partition(" ")
    assert (scheme, base64.b64decode(encoded).decode().partition(":")[2]) == ("Basic", KEY)
    assert oauth_authorization("token") == "OAuth token"


def test_headers() -> None:
    """Every request says who sends it and what it takes."""
    assert headers("Basic x") == {
        "Authorization": "Basic x",
        "User-Agent": f"airflow-mailchimp-export/{__version__}",
        "Accept": "application/json",
        "Content-Type": "application/json",
    }


def test_representations() -> None:
    """Bodies, which hold addresses, stay out of the representation of requests and answers."""
    body = ADDRESS.encode()
    assert ADDRESS not in repr(Request("POST", "/", body=body)) + repr(Response(200, {}, body))
