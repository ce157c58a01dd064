"""Queries in files: where a value in a template field ends with ``.sql``, Airflow puts the file in its place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator
from jinja2 import TemplateNotFound

from airflow_mailchimp_export.errors import ConfigError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from jinja2 import Environment


class QueryFiles(BaseOperator):
    """A task whose template fields may name files of SQL, which are templates themselves.

    Airflow tells of a file that is missing no more than its name, with a traceback.
    """

    template_ext: Sequence[str] = (".sql",)
    _missing_file: ConfigError | None = None

    def render_template(
        self,
        content: Any,
        context: Context,
        jinja_env: Environment | None = None,
        seen_oids: set[int] | None = None,
    ) -> Any:
        """Render a template, or a file that holds one; of a missing file is told when the task begins."""
        try:
            return super().render_template(content, context, jinja_env, seen_oids)
        except TemplateNotFound as error:
            folders = getattr(jinja_env and jinja_env.loader, "searchpath", ())
            self._missing_file = _not_found(str(error.name or content), folders)
            return content

    def check_files(self) -> None:
        """Make sure that all files were there.

        :raises ConfigError: names a file that is not, and where it was looked for.
        """
        if self._missing_file:
            raise self._missing_file


def _not_found(name: str, folders: Sequence[str]) -> ConfigError:
    return ConfigError(
        f"there is no file {name!r}; it was looked for in {', '.join(folders) or 'no folder at all'}",
        "Name it from one of these on, add its folder to the DAG's template_searchpath, or end a query that is no "
        "file's name with a semicolon",
    )
