"""Running other DAGs, of which one that is switched off would not begin, and be waited for in vain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class TriggerSwitchedOnOperator(TriggerDagRunOperator):
    """Runs another DAG and waits for it, in the triggerer, if that DAG is switched on.

    Airflow tells tasks whether a DAG is switched on from 3.2 on; before, the run waits until somebody switches it on.

    :param is_needed: whether the task fails where the DAG is switched off; otherwise it is skipped.
    """

    def __init__(self, *, is_needed: bool = False, **kwargs: Any) -> None:
        super().__init__(**{"wait_for_completion": True, "deferrable": True, "poke_interval": 10, **kwargs})
        self.is_needed = is_needed

    def execute(self, context: Context) -> Any:
        """Run it, unless it is switched off."""
        if self._is_switched_off(context):
            words = f"The DAG {self.trigger_dag_id} is switched off"
            if self.is_needed:
                raise AirflowFailException(f"{words}, so that its run would not begin: switch it on")
            raise AirflowSkipException(words)
        return super().execute(context)

    def _is_switched_off(self, context: Context) -> bool:
        ask = getattr(context["ti"], "get_dag", None)
        return bool(ask and ask(self.trigger_dag_id).is_paused)
