"""Processes that die in the middle of their work."""

from __future__ import annotations

import itertools

from airflow_mailchimp_export.errors import RetryableError
from airflow_mailchimp_export.mailchimp.pace import Pace
from airflow_mailchimp_export.mailchimp.protocol import Request, Response
from tests.kit.sandbox import InProcessClient, InProcessSandbox


class Killed(BaseException):
    """The process is dead: nothing that catches errors may catch it."""


def kill(*_: object) -> None:
    """Die."""
    raise Killed


class MortalClient(InProcessClient):
    """A patient client whose process dies at a certain request, before it is sent or before its answer is seen.

    :param dies_at: how many requests go well before; with ``None`` it lives.
    :param applied: whether Mailchimp does what the last request asks for.
    """

    def __init__(self, sandbox: InProcessSandbox, *, dies_at: int | None, applied: bool) -> None:
        super().__init__(sandbox, pace=Pace(attempts=12))
        self._numbers = itertools.count()
        self._dies_at = dies_at
        self._applied = applied

    def _transmit(self, request: Request) -> Response | RetryableError:
        number = next(self._numbers)
        if self._dies_at is None or number < self._dies_at:
            return super()._transmit(request)
        if number == self._dies_at and self._applied:
            super()._transmit(request)
        raise Killed
