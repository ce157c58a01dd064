"""The page's answers: HTML without any script, that nothing else may be put into, and that nobody keeps."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.exceptions import HTTPException

from airflow_mailchimp_export.pages.sign_in.place import PAGE, base_url, path_of
from airflow_mailchimp_export.pages.sign_in.stopped import Stopped

_FOLDER = Path(__file__).with_name("templates")
_STYLE = (_FOLDER / "style.css").read_text(encoding="utf-8")
_TEMPLATES = Environment(
    loader=FileSystemLoader(_FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)

_POLICY = "default-src 'none'; style-src 'sha256-{style}'; form-action {to}; base-uri 'none'; frame-ancestors 'none'"

_ALWAYS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def page(name: str, *, status: int = 200, form_to: str = "'none'", **told: Any) -> Response:
    """Return a page.

    :param form_to: where its form may lead, as the policy names it; browsers hold it against redirects, too.
    :param told: what the template needs; all of it is text.
    """
    content = _TEMPLATES.get_template(f"{name}.html").render(style=_STYLE, page_path=path_of(), **told)
    digest = b64encode(sha256(_STYLE.encode()).digest()).decode()
    policy = _POLICY.format(style=digest, to=form_to)
    return HTMLResponse(content, status, headers={**_ALWAYS, "Content-Security-Policy": policy})


def stopped_page(stopped: Stopped) -> Response:
    """Return the page that says why a sign-in cannot go on."""
    return page("stopped", status=stopped.status, stopped=stopped)


def refused_page(error: HTTPException) -> Response:
    """Return the page for whom Airflow does not let in."""
    if error.status_code == 401:
        home = f"{base_url()}{PAGE}"
        log_in = f"{urlsplit(home).path.removesuffix(PAGE)}/api/v2/auth/login?next={quote(home, safe='')}"
        return page("logged_out", status=401, log_in=log_in)
    return stopped_page(
        Stopped(
            "Airflow does not let you in",
            f"Airflow answered {error.status_code}, so nothing was saved",
            "Log in to Airflow again, and begin again",
            status=error.status_code,
        )
    )


def elsewhere(url: str) -> Response:
    """Send the browser on, by GET."""
    return RedirectResponse(url, 303, headers=_ALWAYS)
