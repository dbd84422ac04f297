"""Votes in files: read what others publish, write what others read. Pure but for the files: no Django, no database."""
