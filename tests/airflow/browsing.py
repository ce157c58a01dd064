"""The pages of signing in over HTTP, and somebody who goes there without a real browser."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests

from tests.kit.waiting import PATIENCE, wait_until

PAGE = "/mailchimp/sign-in"


@contextmanager
def served(path: str = "") -> Iterator[str]:
    """The app as the API server has it, below a path; returned is Airflow's base URL."""
    import uvicorn
    from fastapi import FastAPI

    from airflow_mailchimp_export.pages.app import app

    outer = FastAPI()
    outer.mount(f"{path}/mailchimp", app)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(outer, log_level="critical", lifespan="off"))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        wait_until(lambda: server.started, "the server")
        yield f"http://127.0.0.1:{listener.getsockname()[1]}{path}"
        server.should_exit = True
        thread.join()


class Visitor:
    """Somebody with a browser.

    :param token: of the session in Airflow; empty for somebody who is not logged in.
    :ivar seen: all that the browser was sent, headers and addresses among it.
    """

    def __init__(self, airflow: str, token: str = "") -> None:
        self.airflow = airflow
        self.seen: list[str] = []
        self.session = requests.Session()
        if token:
            self.session.cookies.set("_token", token)

    def get(self, url: str) -> requests.Response:
        """Go to an address, or to one of the page's routes."""
        return self._noted("GET", url if "://" in url else f"{self.airflow}{PAGE}{url}")

    def send(self, route: str, **fields: str) -> requests.Response:
        """Send a form, as it is."""
        url = f"{self.airflow}{PAGE}{route}"
        return self._noted("POST", url, data=fields, headers={"Sec-Fetch-Site": "same-origin"})

    def fill_in(self, page: requests.Response, **fields: str) -> requests.Response:
        """Send the form of a page, with what is hidden in it."""
        action = re.search(r'<form method="post" action="([^"]*)">', page.text)
        assert action, page.text
        url = "{0.scheme}://{0.netloc}".format(urlsplit(page.url)) + unescape(action[1])
        hidden = dict(re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', page.text))
        form = {name: unescape(value) for name, value in hidden.items()} | fields
        return self._noted("POST", url, data=form, headers={"Sec-Fetch-Site": "same-origin"})

    def begin(self, **fields: str) -> requests.Response:
        """Fill in the page, and come to Mailchimp's."""
        sent = self.fill_in(self.get(""), **{"agreed": "yes", **fields})
        return self.get(where_to(sent))

    def answered(self, button: str = "allow", **fields: str) -> str:
        """Begin, press a button at Mailchimp's, and say where the browser is sent then."""
        return self.fill_in(self.begin(**fields), answer=button).headers["Location"]

    def _noted(self, method: str, url: str, **how: Any) -> requests.Response:
        answer = self.session.request(method, url, timeout=PATIENCE, allow_redirects=False, **how)
        self.seen += [url, answer.text, str(answer.headers)]
        return answer


def where_to(leaving: requests.Response) -> str:
    """Where the page leads that one leaves by."""
    found = re.search(r'<meta http-equiv="refresh" content="0; url=([^"]+)">', leaving.text)
    assert found, leaving.text
    return unescape(found[1])


def state_of(url: str) -> str:
    """The state in the address of a callback."""
    return parse_qs(urlsplit(url).query)["state"][0]
