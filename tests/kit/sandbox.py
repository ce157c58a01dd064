"""The sandbox inside this process, called without HTTP."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import IO, Any
from urllib.parse import quote, unquote, urlencode, urlsplit

import orjson

from airflow_mailchimp_export.errors import RetryableError
from airflow_mailchimp_export.mailchimp.client import MailchimpClient
from airflow_mailchimp_export.mailchimp.pace import Pace
from airflow_mailchimp_export.mailchimp.protocol import Request, Response, basic_authorization, headers
from airflow_mailchimp_export.sandbox.account import AUDIENCE_ID, Account
from airflow_mailchimp_export.sandbox.app import to_app
from airflow_mailchimp_export.sandbox.serving import HANG_UP
from airflow_mailchimp_export.sandbox.settings import Settings
from tests.kit.http import to_response

NO_WAITING = {"batch_pending": 0.0, "batch_preprocessing": 0.0, "batch_finalizing": 0.0, "fault_delay": 0.01}
ONCE_MORE = Pace(attempts=3)

Scripted = Callable[[Request], Any]


class InProcessSandbox:
    """A sandbox on an event loop in a thread of its own; use it in ``with``, from any number of threads."""

    def __init__(self) -> None:
        self.account = Account()
        self._app = to_app(self.account)
        self._running: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._live()), name="sandbox")

    def __enter__(self) -> InProcessSandbox:
        """Begin to run batches, and to answer."""
        self._thread.start()
        self._running.result()
        return self

    def __exit__(self, *exc_info: object) -> None:
        """End."""
        loop, over = self._running.result()
        loop.call_soon_threadsafe(over.set)
        self._thread.join()

    def answer(self, method: str, url: str, *, headers: Mapping[str, str], body: bytes) -> Response | None:
        """Answer a request; ``None`` where a server would have cut the connection."""
        loop, _ = self._running.result()
        return asyncio.run_coroutine_threadsafe(self._answer(method, url, headers, body), loop).result()

    def reset(self) -> None:
        """An empty audience, the default settings with batches that do not dawdle, and nothing counted."""
        self.account.settings.change({**asdict(Settings()), **NO_WAITING})
        self.control("reset", {})

    def change(self, **settings: Any) -> None:
        """Change settings."""
        self.account.settings.change(settings)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON of a call of the API that succeeds."""
        headers = {"Authorization": basic_authorization(self.account.settings.key)}
        return self._succeed(method, f"/3.0{path}", headers, body)

    def control(self, path: str, body: Any = None) -> Any:
        """The JSON of a control endpoint; with a body it is a POST."""
        return self._succeed("GET" if body is None else "POST", f"/sandbox/{path}", {}, body)

    def put(self, rows: Iterable[Mapping[str, Any]], **more: Any) -> None:
        """Put people into the audience as they are to be, past every rule."""
        self.control("members", {"audience": AUDIENCE_ID, "members": list(rows), **more})

    def members(self) -> dict[str, dict[str, Any]]:
        """Everybody in the audience, by address."""
        return {str(member["email"]): member for member in self.control("members")["members"]}

    def _succeed(self, method: str, url: str, headers: Mapping[str, str], body: Any) -> Any:
        content = b"" if body is None else orjson.dumps(body)
        answer = self.answer(method, url, headers=headers, body=content)
        assert answer, url
        assert answer.status in {200, 204}, answer.body
        return orjson.loads(answer.body or b"null")

    async def _live(self) -> None:
        over = asyncio.Event()
        async with self._app.router.lifespan_context(self._app):
            self._running.set_result((asyncio.get_running_loop(), over))
            await over.wait()

    async def _answer(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> Response | None:
        parts = urlsplit(url)
        exchange = _Exchange(body)
        scope = {
            "type": "http",
            "method": method,
            "path": unquote(parts.path),
            "raw_path": parts.path.encode(),
            "root_path": "",
            "query_string": parts.query.encode(),
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
            "client": ("127.0.0.1", 0),
            "state": {HANG_UP: exchange.hang_up},
        }
        await self._app(scope, exchange.receive, exchange.send)
        return exchange.response()


class _Exchange:
    """One request and its answer, as an ASGI application sees them."""

    def __init__(self, body: bytes) -> None:
        self._incoming = iter([{"type": "http.request", "body": body}])
        self._sent: list[Mapping[str, Any]] = []
        self._cut = False

    async def receive(self) -> Mapping[str, Any]:
        """Give the body, and then wait for ever."""
        return next(self._incoming, None) or await asyncio.Future()

    async def send(self, message: Mapping[str, Any]) -> None:
        """Take a part of the answer."""
        self._sent.append(message)

    def hang_up(self) -> None:
        """Cut the connection."""
        self._cut = True

    def response(self) -> Response | None:
        """What the caller gets."""
        if self._cut or not self._sent:
            return None
        head, *parts = self._sent
        named = {name.decode("latin-1"): value.decode("latin-1") for name, value in head["headers"]}
        named.setdefault("date", format_datetime(datetime.now(UTC), usegmt=True))
        return Response(head["status"], named, b"".join(part.get("body", b"") for part in parts))


class InProcessClient(MailchimpClient):
    """The real client, but its requests reach the sandbox without HTTP.

    :param script: by method and path, such as ``POST /batches``: what becomes of a request in place of the
        sandbox's answer; an exception is raised, and with ``None`` the sandbox answers after all. The results of
        batches are ``GET /results``, and bytes.
    :param requests: where what is sent is noted, oldest first.
    """

    def __init__(
        self,
        sandbox: InProcessSandbox,
        *,
        script: Mapping[str, Scripted] | None = None,
        requests: list[Request] | None = None,
        max_connections: int = 4,
        pace: Pace = ONCE_MORE,
    ) -> None:
        super().__init__(
            f"{sandbox.account.url}/3.0",
            sandbox.account.settings.key,
            max_connections=max_connections,
            pace=pace,
            sleep=lambda seconds: None,
        )
        self.requests = [] if requests is None else requests
        self._sandbox = sandbox
        self._script = script or {}

    def _transmit(self, request: Request) -> Response | RetryableError:
        self.requests.append(request)
        scripted = self._script.get(f"{request.method} {request.path}")
        given = scripted(request) if scripted else None
        if given is not None:
            return given if isinstance(given, Response | RetryableError) else to_response(given)
        url = f"/3.0{quote(request.path)}?{urlencode(request.query)}"
        # An answer that is packed would only have to be unpacked again.
        sent = {**headers(basic_authorization(self._credentials.token)), "Accept-Encoding": "identity"}
        answer = self._sandbox.answer(request.method, url, headers=sent, body=request.body or b"")
        return answer or RetryableError(f"{request.method} request failed on the way: ConnectionError")

    @contextmanager
    def download(self, url: str) -> Iterator[IO[bytes]]:
        """Open the results of a batch."""
        scripted = self._script.get("GET /results")
        if scripted:
            yield io.BytesIO(scripted(Request("GET", "/results")))
            return
        answer = self._sandbox.answer("GET", url, headers={}, body=b"")
        if answer is None or answer.status != 200:
            raise RetryableError(f"The results of a batch were answered {answer.status if answer else 0}")
        yield io.BytesIO(answer.body)
