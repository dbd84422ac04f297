"""Starts and watches the child processes of `manage.py up`.

Knows commands, pipes and signals; no user, no chat model and no database. `stack` alone knows which children the
product has.
"""
