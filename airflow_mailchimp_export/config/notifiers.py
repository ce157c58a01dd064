"""Whether the notifiers that alerts name are there, for whoever checks a file: they are imported for that."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

from airflow_mailchimp_export.config.entries import Export, Refresh
from airflow_mailchimp_export.config.mistakes import Problem
from airflow_mailchimp_export.settings.names import did_you_mean

_PROVIDERS = "airflow.providers."


def notifier_problems(entry: Export | Refresh) -> Iterator[Problem]:
    """Yield what is wrong with the notifiers of an export or the refresh, as this environment has them."""
    for number, alert in enumerate(entry.alerts):
        if message := problem_of_notifier(alert.notifier):
            yield Problem(("alerts", number, "notifier"), message)


def problem_of_notifier(path: str) -> str:
    """Say why a class cannot be used as a notifier; empty where it can."""
    module_name, _, name = path.rpartition(".")
    try:
        module = import_module(module_name)
    except ImportError as error:
        return f"{module_name!r} cannot be imported ({type(error).__name__}){_remedy(module_name)}"
    notifier = getattr(module, name, None)
    if notifier is None:
        classes = [found for found, value in vars(module).items() if isinstance(value, type)]
        return f"{module_name} has no {name!r}{did_you_mean(name, classes)}: correct the path"
    if not callable(getattr(notifier, "notify", None)):
        return f"{path} is no notifier: name a class that is derived from Airflow's BaseNotifier"
    return ""


def _remedy(module_name: str) -> str:
    if not module_name.startswith(_PROVIDERS):
        return ": correct the path, or install what has it where the DAGs run and where this is checked"
    provider = module_name.removeprefix(_PROVIDERS).partition(".notifications")[0].partition(".aws")[0]
    package = f"apache-airflow-providers-{provider.replace('.', '-').replace('_', '-')}"
    return f": install {package} where the DAGs run and where this is checked, or correct the path"
