"""The page at ``/``."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

_CONTENT = Path(__file__).with_name("page.html").read_bytes()
_SCRIPT = _CONTENT.partition(b"<script>")[2].partition(b"</script>")[0]

# Nothing from outside, and no script but the page's own: what members are called can never run.
POLICY = (
    "default-src 'none'; connect-src 'self'; style-src 'unsafe-inline'; "
    f"script-src 'sha256-{b64encode(sha256(_SCRIPT).digest()).decode()}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


async def page(request: Request) -> Response:
    """A page that keeps itself up to date."""
    headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-store"}
    return Response(_CONTENT, headers=headers, media_type="text/html; charset=utf-8")
