"""The settings of an Airflow of its own; Airflow reads them from the environment when it is imported."""

from __future__ import annotations

import base64
import os
import secrets
from pathlib import Path

from scripts.services import LOOPBACK, free_port

USER = PASSWORD = "admin"


def airflow_environment(home: Path, dags: Path, port: int) -> dict[str, str]:
    """The environment of an Airflow that knows of no other: ours, with its settings in place of any."""
    url = f"http://{LOOPBACK}:{port}"
    worker_log_port = free_port(apart_from=[port])
    settings = {
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__DAGS_FOLDER": str(dags),
        "CORE__PLUGINS_FOLDER": str(home / "plugins"),
        "CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__PARALLELISM": "2",
        "CORE__TEST_CONNECTION": "Enabled",
        "CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
        "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
        "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "API__HOST": LOOPBACK,
        "API__PORT": str(port),
        "API__BASE_URL": url,
        "API__WORKERS": "1",
        "API_AUTH__JWT_SECRET": secrets.token_hex(32),
        "DAG_PROCESSOR__REFRESH_INTERVAL": "5",
        "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "5",
        "LOGGING__WORKER_LOG_SERVER_PORT": str(worker_log_port),
        "LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port(apart_from=[port, worker_log_port])),
        "SCHEDULER__TRIGGER_TIMEOUT_CHECK_INTERVAL": "2",
        "USAGE_DATA_COLLECTION__ENABLED": "False",
        "MAILCHIMP__EXPORTS_ROOT": str(home / "exports"),
    }
    ours = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    return {
        **ours,
        "AIRFLOW_HOME": str(home),
        "SEGMENT_SNAPSHOTS": str(home / "segments"),
        "SCARF_ANALYTICS": "false",
        **{f"AIRFLOW__{name}": value for name, value in settings.items()},
    }
