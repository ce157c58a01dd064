"""Exports run again and again, from beginning to end."""
