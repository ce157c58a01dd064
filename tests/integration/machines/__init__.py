"""The topology of docker-compose.yaml on this machine: Celery workers that share nothing but a storage."""

from __future__ import annotations
