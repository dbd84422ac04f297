"""chatsite: a self-hosted platform to train, serve and evaluate chat language models."""

__version__ = "0.1.0"
