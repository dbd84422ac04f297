"""Talking to chat models in a terminal. Knows the workers' client and no database; the commands bring the catalog."""
