"""Settings that describe themselves: each is a command-line option and a key of a control call."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import Enum, StrEnum
from typing import Any, get_args, get_type_hints


@dataclass(frozen=True, slots=True)
class Option:
    """One setting, described."""

    name: str
    kind: Any
    default: Any
    explained: str


def describe(settings: type) -> Mapping[str, Option]:
    """Every setting of a dataclass whose fields are ``Annotated[type, "what it does"]``, with a default each."""
    hints = get_type_hints(settings, include_extras=True)
    return {
        one.name: Option(one.name, get_args(hints[one.name])[0], one.default, get_args(hints[one.name])[1])
        for one in fields(settings)
    }


def to_value(options: Mapping[str, Option], name: str, value: Any) -> Any:
    """The value in the setting's own type, from JSON or from the command line.

    :raises ValueError: there is no such setting, or it cannot be this.
    """
    if name not in options:
        raise ValueError(f"There is no setting {name!r}.")
    try:
        return _coerce(options[name].kind, value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"The setting {name!r} cannot be {value!r}.") from error


def change(settings: object, options: Mapping[str, Option], values: Mapping[str, Any]) -> None:
    """Set what is named, all or nothing.

    :raises ValueError: a name is unknown, or a value does not fit; nothing is changed then.
    """
    changes = {name: to_value(options, name, value) for name, value in values.items()}
    for name, value in changes.items():
        setattr(settings, name, value)


def add_options(parser: argparse.ArgumentParser, options: Mapping[str, Option]) -> None:
    """One option of the command line for each setting."""
    for option in options.values():
        name = f"--{option.name.replace('_', '-')}"
        if option.kind is bool:
            switch = argparse.BooleanOptionalAction
            parser.add_argument(name, action=switch, default=option.default, help=option.explained)
        else:
            parser.add_argument(name, default=option.default, help=_explained(option))


def given_values(options: Mapping[str, Option], given: argparse.Namespace) -> dict[str, Any]:
    """The settings of the command line.

    :raises ValueError: a value does not fit.
    """
    return {name: to_value(options, name, getattr(given, name)) for name in options}


def to_truth(value: Any) -> bool:
    """True or false, from JSON or from the command line.

    :raises ValueError: it is neither.
    """
    words = {"true": True, "1": True, "false": False, "0": False}
    if isinstance(value, bool):
        return value
    if str(value).lower() in words:
        return words[str(value).lower()]
    raise ValueError("true or false is needed")


def _explained(option: Option) -> str:
    choices = f" ({', '.join(option.kind)})" if issubclass(_class(option), StrEnum) else ""
    default = ",".join(option.default) if isinstance(option.default, tuple) else option.default
    return f"{option.explained}{choices}; default: {default}"


def _class(option: Option) -> type:
    return option.kind if isinstance(option.kind, type) else tuple


def _coerce(kind: Any, value: Any) -> Any:
    if kind is bool:
        return to_truth(value)
    if getattr(kind, "__origin__", None) is tuple:
        items = value.split(",") if isinstance(value, str) else value
        return tuple(kind.__args__[0](item.strip()) for item in items if item.strip())
    if kind in (int, float) and isinstance(value, bool):
        raise ValueError("a number is needed")
    if isinstance(kind, type) and issubclass(kind, (str, Enum)) and not isinstance(value, str):
        raise ValueError("a string is needed")
    return kind(value)
