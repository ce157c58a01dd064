"""People who have logged in to Airflow, each with a role."""

from __future__ import annotations

from typing import Any


def session_of(role: str, manager: Any) -> dict[str, str]:
    """The header of somebody with a role who has logged in; the name is that of the role."""
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    return {
        "Authorization": f"Bearer {manager.generate_jwt(SimpleAuthManagerUser(username=role, role=role))}"
    }
