"""What all parts of a configuration have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, model_validator

from airflow_mailchimp_export.settings.coercion import is_blank


class Entry(BaseModel):
    """A part of the configuration: keys that it does not know are refused, and blank ones count as unset.

    :cvar may_be_blank: the keys of which a blank value says something.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    may_be_blank: ClassVar[frozenset[str]] = frozenset()

    @model_validator(mode="before")
    @classmethod
    def _leave_out_blanks(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        return {key: value for key, value in given.items() if not cls._is_unset(key, value)}

    @classmethod
    def _is_unset(cls, key: str, value: Any) -> bool:
        return key in cls.model_fields and (
            value is None or (is_blank(value) and key not in cls.may_be_blank)
        )
