"""Speed and memory, measured against a named peer or limit in one run. Used by `manage.py benchmark` only."""
