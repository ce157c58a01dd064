"""What callers get when a call goes wrong: a problem document, a page, nothing, or half of the answer."""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus

from airflow_mailchimp_export.sandbox.account import Account
from airflow_mailchimp_export.sandbox.choices import FaultKind
from airflow_mailchimp_export.sandbox.dispatch import Reply, problem_reply
from airflow_mailchimp_export.sandbox.faults import Failure, Fault, Form
from airflow_mailchimp_export.sandbox.problems import BY_STATUS

HTML = "text/html"

DENIED_PAGE = b"""<HTML><HEAD><TITLE>Access Denied</TITLE></HEAD>
<BODY><H1>Access Denied</H1>You don't have permission to access this server.</BODY></HTML>
"""
GARBAGE_PAGE = b"<!DOCTYPE html><html><body><p>We'll be right back.</p></body></html>"
_PAGE = """<html>
<head><title>{title}</title></head>
<body><center><h1>{title}</h1></center><hr><center>openresty</center></body>
</html>
"""


def failure_reply(account: Account, failure: Failure) -> Reply:
    """An error, in the form in which it comes; a 429 says when to come back, if that is set."""
    seconds = account.settings.retry_after
    more = {"Retry-After": str(seconds)} if failure.status == HTTPStatus.TOO_MANY_REQUESTS and seconds else {}
    if failure.form is not Form.JSON:
        page = _page(failure.status) if failure.form is Form.HTML else b""
        return Reply(failure.status, page, HTML, more)
    problem = BY_STATUS[failure.status]
    detail = problem.detail.format(limit=account.settings.max_connections)
    reply = problem_reply(account, problem.saying(detail))
    return replace(reply, headers={**reply.headers, **more})


def faulty_reply(account: Account, fault: Fault, reply: Reply | None) -> Reply | None:
    """What a call with a fault gets; None: its connection is cut.

    :param reply: the right answer, if the work has been done.
    """
    route = reply.route if reply else ""
    if fault.failure:
        return replace(failure_reply(account, fault.failure), route=route)
    if fault.word in {FaultKind.RESET_BEFORE, FaultKind.RESET_AFTER}:
        return None
    if fault.word == FaultKind.GARBAGE:
        return Reply(200, GARBAGE_PAGE, HTML, route=route)
    if fault.word == FaultKind.TRUNCATED and reply and len(reply.body) > 1:
        return replace(reply, body=reply.body[: len(reply.body) // 2])
    return reply


def _page(status: int) -> bytes:
    if status in {HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS}:
        return DENIED_PAGE
    return _PAGE.format(title=f"{status} {HTTPStatus(status).phrase}").encode()
