from workers.models.aliases import Alias
from workers.models.catalog import ChatModel
from workers.models.files import ApiFile
from workers.models.fleet import Worker

__all__ = ["Alias", "ApiFile", "ChatModel", "Worker"]
