from workers.models.aliases import Alias
from workers.models.batches import Batch, BatchLine
from workers.models.catalog import ChatModel
from workers.models.files import ApiFile
from workers.models.fleet import Worker

__all__ = ["Alias", "ApiFile", "Batch", "BatchLine", "ChatModel", "Worker"]
