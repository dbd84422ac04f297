"""What `manage.py benchmark train` measures."""
