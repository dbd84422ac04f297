from workers.models.catalog import ChatModel
from workers.models.files import ApiFile
from workers.models.fleet import Worker

__all__ = ["ApiFile", "ChatModel", "Worker"]
