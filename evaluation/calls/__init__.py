"""Asking one chat model, here or elsewhere, and many of them at once. Knows no run, no judge and no database."""

from evaluation.calls.base import Call, Caller, CallFailed, Completion
from evaluation.calls.local import CatalogCaller, can_keep_to_schema
from evaluation.calls.pool import Outcome, Pool
from evaluation.calls.remote import RemoteCaller, models_at

__all__ = [
    "Call",
    "CallFailed",
    "Caller",
    "CatalogCaller",
    "Completion",
    "Outcome",
    "Pool",
    "RemoteCaller",
    "can_keep_to_schema",
    "models_at",
]
