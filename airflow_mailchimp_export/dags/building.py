"""From a configuration to its DAGs.

Airflow holds an import error against all DAGs of a file: it runs none of them. So the DAGs of what is right and the
errors of what is wrong come from two files: one calls :func:`exports`, the other :func:`check`.
"""

from __future__ import annotations

import logging
from pathlib import Path

from airflow.sdk import DAG, get_parsing_context

from airflow_mailchimp_export.config.loading import load
from airflow_mailchimp_export.config.models import Configuration
from airflow_mailchimp_export.dags.export_dag import export_dag
from airflow_mailchimp_export.dags.refresh_dag import refresh_dag

log = logging.getLogger(__name__)


def exports(source: Path | str | Configuration, *, refresh: bool = True) -> dict[str, DAG]:
    """Build the DAG that refreshes the segments, and a DAG for each export that is enabled.

    Nothing is read but the file, and the environment variables that it names. An export with mistakes is left out;
    :func:`check`, in a DAG file of its own, shows them. Where a task asks, only its own DAG is built.

    :param source: the file, or the configuration itself, for whoever keeps it elsewhere.
    :param refresh: whether to build the DAG that refreshes the segments; not where something else builds them.
    :returns: the DAGs by their ids; Airflow finds them in whatever file this is called from.
    :raises ConfigError: when a mistake concerns the file as a whole.
    """
    configuration = source if isinstance(source, Configuration) else _healthy(source)
    asked = get_parsing_context().dag_id
    dags = {name: export_dag(configuration, name) for name in configuration.enabled if asked in {None, name}}
    if refresh and asked in {None, configuration.refresh.name}:
        dags[configuration.refresh.name] = refresh_dag(configuration)
    return dags


def check(source: Path | str) -> None:
    """Tell all mistakes of a configuration; in a DAG file, as an import error that takes no DAG down.

    :raises ConfigError: names the line, the key and the remedy of each.
    """
    if (loaded := load(source)).mistakes:
        raise loaded.error()


def _healthy(file: Path | str) -> Configuration:
    loaded = load(file)
    if loaded.configuration is None:
        raise loaded.error()
    if loaded.mistakes:
        log.error("%s", loaded.error())
    return loaded.configuration
