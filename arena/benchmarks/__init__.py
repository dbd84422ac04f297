"""Measurements of the arena; started by name from `manage.py benchmark`."""
