"""Stores that run while the tests of this folder do, one after the other, and Airflow in the tests' own process."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_mailchimp_export.state.run import ExportFolder
from scripts.airflow_environment import airflow_environment
from scripts.sandbox_service import Sandbox
from tests.integration.stores.servers import BUCKET, KINDS, Kind, Store, start_store
from tests.kit.life import Life
from tests.kit.sandbox import InProcessSandbox

# The emulator speaks no gRPC, by which gcsfs would ask for the kind of the bucket.
os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"

if "AIRFLOW_HOME" not in os.environ:
    _HOME = Path(tempfile.mkdtemp(prefix="airflow-stores-"))
    atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
    os.environ.update(airflow_environment(_HOME, _HOME / "dags", port=0))
    os.environ["AIRFLOW__CORE__UNIT_TEST_MODE"] = "True"


@pytest.fixture(scope="package", params=KINDS, ids=lambda kind: kind.name)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store, with Airflow's connection to it and a bucket in it."""
    kind: Kind = request.param
    if missing := kind.missing():
        (pytest.fail if "MAILCHIMP_STORES" in os.environ else pytest.skip)(
            f"not installed: {missing}; `make stores` brings it"
        )
    running = start_store(kind, tmp_path_factory.mktemp(kind.name))
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(running.variable, running.connection)
            running.filesystem().mkdir(BUCKET)
            yield running
    finally:
        running.service.stop()


@pytest.fixture(scope="package")
def in_process() -> Iterator[InProcessSandbox]:
    """One sandbox for all tests of this folder."""
    with InProcessSandbox() as sandbox:
        yield sandbox


@pytest.fixture
def life(in_process: InProcessSandbox, store: Store) -> Life:
    """An export that has not run yet, kept on the store, and an empty audience."""
    from airflow_mailchimp_export.exports_root import storage_path

    in_process.reset()
    folder = ExportFolder(storage_path(store.fresh_uri()) / "life")
    return Life(in_process, folder, path_factory=storage_path)


@pytest.fixture
def mailchimp(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """The sandbox, with Airflow's connection ``mailchimp_default`` leading there."""
    monkeypatch.setenv("AIRFLOW_CONN_MAILCHIMP_DEFAULT", json.dumps(sandbox.connection()))
    return sandbox
