"""JSON in and out of the control endpoints."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from typing import Any, TypeAlias

import orjson
from starlette.requests import Request
from starlette.responses import Response

Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]


class Missing(Exception):
    """What a control call names does not exist."""


def to_response(content: Any, status: int = 200) -> Response:
    """The content as JSON."""
    return Response(orjson.dumps(content), status, media_type="application/json")


async def read_object(request: Request) -> Mapping[str, Any]:
    """The body, which has to be an object; an empty body is an empty one.

    :raises ValueError: it is something else.
    """
    text = await request.body()
    body = orjson.loads(text) if text else {}
    if not isinstance(body, dict):
        raise ValueError("A JSON object is needed.")
    return body


def explained(endpoint: Endpoint) -> Endpoint:
    """The endpoint, which answers 404 to what is not there and 400 to what cannot be done, and says why."""

    @wraps(endpoint)
    async def serve(request: Request) -> Response:
        try:
            return await endpoint(request)
        except Missing as error:
            return to_response({"error": str(error)}, 404)
        except ValueError as error:
            return to_response({"error": str(error)}, 400)

    return serve
