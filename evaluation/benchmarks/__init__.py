"""What `manage.py benchmark evaluate` measures."""
