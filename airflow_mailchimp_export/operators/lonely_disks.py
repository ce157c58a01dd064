"""Where exports are kept on a disk that other workers do not see."""

from __future__ import annotations

import logging
import os
import re

from airflow.providers.common.compat.sdk import conf

log = logging.getLogger(__name__)

_EXECUTORS_ON_ONE_DISK = frozenset({"LocalExecutor", "SequentialExecutor"})


def warn_of_lonely_disk(root: str) -> None:
    """Say where the next run, on another worker, would not find what this one keeps."""
    if executors := _executors_with_other_disks():
        log.warning(
            "exports_root is not set, so ledger and runs are kept on this worker's own disk (%s), where other "
            "workers of the %s do not find them and where they may be lost: set [mailchimp] exports_root in "
            "Airflow's configuration to a place that all workers share, such as an object storage",
            root,
            " and the ".join(executors),
        )


def _executors_with_other_disks() -> list[str]:
    """Return the executors whose workers need not share a disk, as far as Airflow's configuration names them."""
    configured = re.split(r"[,;]", conf.get("core", "executor", fallback=""))
    names = [re.split(r"[.:=]", executor.strip())[-1] for executor in configured]
    if "AIRFLOW_IS_K8S_EXECUTOR_POD" in os.environ:
        # The templates of such pods say LocalExecutor: what runs there is a single task.
        names.append("KubernetesExecutor")
    return sorted({name for name in names if name} - _EXECUTORS_ON_ONE_DISK)
