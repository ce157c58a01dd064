"""What people have agreed to in a browser: codes that one token is given for, and these tokens."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Grant:
    """What a code stands for.

    :param redirect_uri: where it was sent.
    :param until: the second after which it is worth nothing.
    """

    redirect_uri: str
    until: float


@dataclass(eq=False)
class Grants:
    """The codes and the tokens of an account."""

    tokens: set[str] = field(default_factory=set)
    _codes: dict[str, Grant] = field(default_factory=dict)

    def agree(self, redirect_uri: str, until: float) -> str:
        """Make a code."""
        code = secrets.token_hex(16)
        self._codes[code] = Grant(redirect_uri, until)
        return code

    def redeem(self, code: str, redirect_uri: str, now: float) -> str | None:
        """Make a token of a code, once; ``None`` where it is worth nothing."""
        grant = self._codes.pop(code, None)
        if grant is None or grant.redirect_uri != redirect_uri or now > grant.until:
            return None
        token = secrets.token_hex(16)
        self.tokens.add(token)
        return token

    def clear(self) -> None:
        """Take everything back."""
        self.tokens.clear()
        self._codes.clear()
