"""Engines turn a request into text deltas. Importing this package loads none of them; see `registry`."""
