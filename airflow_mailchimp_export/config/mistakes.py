"""What is wrong in a configuration: where, which key, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, cast, get_args

from pydantic import BaseModel

from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.settings.coercion import InvalidValue, describe_type
from airflow_mailchimp_export.settings.names import did_you_mean

KeyPath: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where something stands; lines and columns count from 1."""

    file: str
    line: int = 1
    column: int = 1


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that is wrong in a file.

    :param path: of the key; empty for the file as a whole.
    :param message: what is wrong there, and the remedy.
    """

    place: Place
    path: KeyPath
    message: str

    def __str__(self) -> str:
        """Write it as compilers do, so that editors find the place."""
        words = f"{dotted(self.path)}: {self.message}" if self.path else self.message
        return f"{self.place.file}:{self.place.line}:{self.place.column}: {words}"

    def is_under(self, path: KeyPath) -> bool:
        """Whether it is of this key, or of one below."""
        return self.path[: len(path)] == path


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a value, before it is known where it stands.

    :param path: from the value down to what is wrong in it.
    """

    path: KeyPath
    message: str


class Problems(ValueError):
    """Several things that are wrong with one value."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(f"{dotted(one.path)}: {one.message}" for one in self.problems))


def dotted(path: KeyPath) -> str:
    """Write the path of a key, as in ``exports.newsletter.segments[0]``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def problem_of(
    path: KeyPath, check: Callable[[], object], *, plain: Callable[[ConfigError], str] = str
) -> Iterator[Problem]:
    """Run a check of the package's own, and make a problem of what it says.

    :param plain: what is shown of an error that it raises.
    """
    try:
        check()
    except InvalidValue as invalid:
        yield Problem(path, f"must be {invalid}")
    except ConfigError as error:
        yield Problem(path, plain(error))


def problems_of(errors: Iterable[Mapping[str, Any]], model: type[BaseModel]) -> Iterator[Problem]:
    """Say in the words of this package what pydantic found.

    :param errors: as :meth:`pydantic.ValidationError.errors` lists them.
    :param model: what the value was to be.
    """
    for error in errors:
        path: KeyPath = error["loc"]
        cause = error.get("ctx", {}).get("error")
        if isinstance(cause, Problems):
            yield from (Problem((*path, *inner.path), inner.message) for inner in cause.problems)
        else:
            yield Problem(*_where_and_what(error, path, cause, model))


def unknown_key(name: str, known: Iterable[str], *, elsewhere: str = "") -> str:
    """Say that a key means nothing, what may have been meant, and what there is.

    :param elsewhere: where the key has a meaning.
    """
    known = list(known)
    if elsewhere:
        return f"is no key here, but {elsewhere}: move it there"
    if hint := did_you_mean(name, known):
        return f"is an unknown key{hint}: correct or remove it"
    return f"is an unknown key: remove it; there are {', '.join(known)}"


def _where_and_what(
    error: Mapping[str, Any], path: KeyPath, cause: object, model: type[BaseModel]
) -> tuple[KeyPath, str]:
    kind, given = error["type"], error["input"]
    if kind == "extra_forbidden":
        return path, unknown_key(str(path[-1]), _model_at(model, path[:-1]).model_fields)
    if kind == "missing":
        field = _model_at(model, path[:-1]).model_fields[str(path[-1])]
        return path, f"is missing: add it ({field.description})"
    if isinstance(cause, InvalidValue):
        return path, f"must be {cause}; given was {describe_type(given)}"
    wanted = {"model_type": "a mapping", "dict_type": "a mapping", "string_type": "text"}.get(kind)
    return path, f"must be {wanted}; given was {describe_type(given)}" if wanted else error["msg"]


def _model_at(model: type[BaseModel], path: KeyPath) -> type[BaseModel]:
    for part in path:
        annotation = model.model_fields[str(part)].annotation
        # One that may be unset is a union with None.
        model = cast("type[BaseModel]", next(iter(get_args(annotation)), annotation))
    return model
