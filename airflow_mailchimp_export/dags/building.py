"""From a configuration to its DAGs.

Airflow holds an import error against all DAGs of a file: it runs none of them. So the DAGs of what is right and the
errors of what is wrong come from two files: one calls :func:`exports`, the other :func:`check`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

from airflow.sdk import DAG, get_parsing_context

from airflow_mailchimp_export.config.loading import Loaded, load
from airflow_mailchimp_export.config.models import Configuration
from airflow_mailchimp_export.dags.export_all_dag import export_all_dag
from airflow_mailchimp_export.dags.export_dag import export_dag
from airflow_mailchimp_export.dags.refresh_dag import refresh_dag
from airflow_mailchimp_export.failures import wrapped

log = logging.getLogger(__name__)


def exports(source: Path | str | Configuration, *, refresh: bool = True) -> dict[str, DAG]:
    """Build a DAG for each export that is enabled, the one that refreshes the segments, and the one that does all.

    Nothing is read but the file, and the environment variables that it names. An export with mistakes is left out;
    :func:`check`, in a DAG file of its own, shows them. Where a task asks, only its own DAG is built.

    :param source: the file, or the configuration itself, for whoever keeps it elsewhere.
    :param refresh: whether to build the DAG that refreshes the segments; where not, exports read them where they are.
    :returns: the DAGs by their ids; Airflow finds them in whatever file this is called from.
    :raises ConfigError: when a mistake concerns the file as a whole, or a segment needs a refresh that is not built.
    """
    loaded = Loaded(Path(), source, ()) if isinstance(source, Configuration) else load(source)
    configuration = _healthy(loaded)
    asked = get_parsing_context().dag_id
    builders: dict[str, Callable[[], DAG]] = {
        name: partial(export_dag, configuration, name, refresh=refresh) for name in configuration.enabled
    }
    if refresh:
        builders[configuration.refresh.name] = partial(refresh_dag, configuration)
        builders[configuration.refresh.export_all_name] = partial(export_all_dag, configuration)
    dags = {name: build() for name, build in builders.items() if asked in {None, name}}
    if asked and not dags:
        log.error("%s", wrapped(_why_there_is_none(asked, loaded, configuration)))
    return dags


def _why_there_is_none(asked: str, loaded: Loaded, configuration: Configuration) -> str:
    """Say to a task that was to run why its DAG is not built: Airflow says only that it is not found."""
    where = f"in {loaded.file}" if loaded.file.name else "in the configuration"
    if asked in configuration.exports:
        why = f"Export {asked!r} is switched off (enabled: false) {where}"
        remedy = "switch it on to run it"
    elif asked in loaded.broken:
        why = f"Export {asked!r} has mistakes {where}"
        remedy = "correct them, as python -m airflow_mailchimp_export.config check tells them"
    else:
        why = f"There is no export {asked!r} {where} (any more)"
        remedy = "add the entry again to run it"
    return (
        f"{why}, so this task does not run, and sends nothing. Remedy: {remedy}. What Mailchimp has of an earlier "
        "task, it works off; the next run, or python -m airflow_mailchimp_export.withdraw, accounts for it"
    )


def check(source: Path | str) -> None:
    """Tell all mistakes of a configuration; in a DAG file, as an import error that takes no DAG down.

    :raises ConfigError: names the line, the key and the remedy of each.
    """
    if (loaded := load(source)).mistakes:
        raise loaded.error()


def _healthy(loaded: Loaded) -> Configuration:
    if loaded.configuration is None:
        raise loaded.error()
    if loaded.mistakes:
        log.error("%s", loaded.error())
    return loaded.configuration
