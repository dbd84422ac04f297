"""chatsite: a self-hosted platform to train, serve and evaluate chat language models."""

from chatsite.celery import app as celery_app

__all__ = ["__version__", "celery_app"]
__version__ = "0.1.0"
