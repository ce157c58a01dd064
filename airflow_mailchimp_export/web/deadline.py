"""An end to each exchange: time-outs of sockets begin again with each byte, so that a slow enough sender outlasts them.

Whoever talks to another machine does so under a :class:`Deadline`; once it is over, the connections that were used
under it are shut down, which ends whatever waits for them.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

_present = threading.local()


class Deadline:
    """A time after which the exchanges of this thread are broken off; use it in ``with``.

    :param seconds: from the beginning of the ``with``.
    """

    def __init__(self, seconds: float) -> None:
        self._timer = threading.Timer(seconds, self._break_off)
        self._timer.daemon = True
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()
        self._is_over = False

    @property
    def is_over(self) -> bool:
        """Whether the time is over."""
        return self._is_over

    def __enter__(self) -> Deadline:
        """Begin to count."""
        _present.deadline = self
        self._timer.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Count no more."""
        self._timer.cancel()
        _present.deadline = None
        with self._lock:
            for each in self._sockets:
                each.close()
            self._sockets.clear()

    def watch(self, handle: int) -> None:
        """Break the connection of a socket off once the time is over."""
        with self._lock:
            # Another handle of the same connection: a socket may be wrapped, replaced or closed by its owner.
            self._sockets.append(socket.socket(fileno=os.dup(handle)))
        if self._is_over:
            self._break_off()

    def _break_off(self) -> None:
        with self._lock:
            self._is_over = True
            for each in self._sockets:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)


def _watch(connected: Any) -> None:
    deadline: Deadline | None = getattr(_present, "deadline", None)
    if deadline and connected is not None:
        with suppress(OSError):
            deadline.watch(connected.fileno())


class _Watched(HTTPConnection):
    """Puts each of its sockets under the deadline of the thread that uses it."""

    def _new_conn(self) -> socket.socket:
        connected: socket.socket = super()._new_conn()
        _watch(connected)
        return connected

    def putrequest(self, *args: Any, **kwargs: Any) -> Any:
        """Send on a connection, be it an old one."""
        _watch(self.sock)
        return super().putrequest(*args, **kwargs)


class _WatchedTLS(_Watched, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Watched


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _WatchedTLS


_POOLS: Mapping[str, type[HTTPConnectionPool]] = {"http": _Pool, "https": _TLSPool}


class WatchedAdapter(HTTPAdapter):
    """Makes connections that end with the :class:`Deadline` under which they are used."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the connections to servers."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """Make the connections to a proxy."""
        manager = super().proxy_manager_for(*args, **kwargs)
        if _is_plain(manager):
            manager.pool_classes_by_scheme = _POOLS
        return manager


def _is_plain(manager: Any) -> bool:
    """Whether a proxy's connections are of the usual classes; those to a SOCKS proxy have their own."""
    return manager.pool_classes_by_scheme.get("https") is HTTPSConnectionPool
