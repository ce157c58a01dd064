"""The async client, for the trigger: it drives the same exchange as the blocking one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TypeVar, cast

import aiohttp
from requests.utils import get_environ_proxies, select_proxy

from airflow_mailchimp_export.errors import RetryableError, TimedOut
from airflow_mailchimp_export.mailchimp.pace import Pace, Pause, exchange
from airflow_mailchimp_export.mailchimp.protocol import (
    Call,
    Request,
    Response,
    basic_authorization,
    headers,
    oauth_authorization,
)

T = TypeVar("T")


class AsyncMailchimpClient:
    """Carries one call after the other without blocking the event loop; use it in ``async with``.

    :param base_url: ending in ``/3.0``.
    :param token: API key or OAuth token.
    :param timeout: seconds without an answer before a call counts as timed out.
    :param oauth: send the token as the OAuth metadata call takes it.
    :param pace: how often and how fast calls are repeated.
    :param sleep: waits that many seconds.
    """

    def __init__(
        self,
        base_url: str,
        token: str,
        *,
        timeout: float = 120.0,
        oauth: bool = False,
        pace: Pace | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._authorization = oauth_authorization(token) if oauth else basic_authorization(token)
        self._timeout = timeout
        self._pace = pace or Pace()
        self._sleep = sleep
        self._proxy = _proxy_of(self._base_url)

    async def __aenter__(self) -> AsyncMailchimpClient:
        """Open the session."""
        self._session = aiohttp.ClientSession(
            headers=headers(self._authorization),
            timeout=aiohttp.ClientTimeout(total=self._timeout),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the session."""
        await self._session.close()

    async def send(self, call: Call[T]) -> T:
        """Carry one call, repeating it where that can help.

        :raises RetryableError: once attempts or time are used up.
        :raises PermanentError: as soon as Mailchimp refuses.
        """
        flow = exchange(call, self._pace, clock=time.monotonic)
        result: Response | RetryableError | None = None
        try:
            while True:
                result = await self._act(flow.send(result))
        except StopIteration as answered:
            return cast(T, answered.value)

    async def _act(self, step: Request | Pause) -> Response | RetryableError | None:
        if isinstance(step, Request):
            return await self._transmit(step)
        await self._sleep(step.seconds)
        return None

    async def _transmit(self, request: Request) -> Response | RetryableError:
        try:
            async with self._session.request(
                request.method,
                self._base_url + request.path,
                params=dict(request.query),
                data=request.body,
                allow_redirects=False,
                proxy=self._proxy,
            ) as answer:
                body = await answer.read()
        except TimeoutError:
            return TimedOut(f"{request.method} request had no answer in {self._timeout:g} s")
        except aiohttp.ClientError as error:
            return RetryableError(f"{request.method} request failed on the way: {type(error).__name__}")
        return Response(answer.status, {name.lower(): value for name, value in answer.headers.items()}, body)


def _proxy_of(url: str) -> str | None:
    """Return the proxy that the environment names, found as the blocking client finds it.

    aiohttp's own ``trust_env`` fails as soon as a .netrc entry for the host competes with the key.
    """
    proxy = select_proxy(url, get_environ_proxies(url))
    return f"http://{proxy}" if proxy and "://" not in proxy else proxy
