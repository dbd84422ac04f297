from workers.models.aliases import Alias
from workers.models.batches import Batch, BatchLine
from workers.models.catalog import ChatModel
from workers.models.files import ApiFile
from workers.models.fleet import Worker
from workers.models.responses import StoredCompletion, StoredResponse

__all__ = [
    "Alias",
    "ApiFile",
    "Batch",
    "BatchLine",
    "ChatModel",
    "StoredCompletion",
    "StoredResponse",
    "Worker",
]
