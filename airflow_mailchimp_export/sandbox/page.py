"""The page at ``/``: one frame, and a script for what each sandbox shows in it."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Awaitable, Callable
from hashlib import sha256
from html import escape
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

_FRAME = Path(__file__).with_name("page.html").read_text(encoding="utf-8")

# Nothing from outside, and no script but the page's own: what members are called can never run.
_POLICY = (
    "default-src 'none'; connect-src 'self'; style-src 'unsafe-inline'; "
    "script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def to_page(title: str, subtitle: str, script: str) -> Callable[[Request], Awaitable[Response]]:
    """A page that keeps itself up to date.

    :param script: JavaScript that makes ``sections(data)`` of what ``/sandbox/overview`` answers.
    """
    parts = {"title": escape(title), "subtitle": escape(subtitle), "script": script.rstrip()}
    content = _FRAME
    for name, part in parts.items():
        content = content.replace(f"@{name}@", part)
    ran = content.partition("<script>")[2].partition("</script>")[0]
    policy = _POLICY.format(digest=b64encode(sha256(ran.encode()).digest()).decode())
    headers = {"Content-Security-Policy": policy, "Cache-Control": "no-store"}

    async def page(request: Request) -> Response:
        return Response(content, headers=headers, media_type="text/html; charset=utf-8")

    return page
