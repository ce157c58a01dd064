"""Segments in PostgreSQL and MariaDB."""
