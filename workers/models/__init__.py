from workers.models.catalog import ChatModel
from workers.models.fleet import Worker

__all__ = ["ChatModel", "Worker"]
