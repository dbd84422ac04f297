from workers.admin.catalog import ChatModelAdmin
from workers.admin.fleet import WorkerAdmin
from workers.admin.jobs import ApiFileAdmin, BatchAdmin

__all__ = ["ApiFileAdmin", "BatchAdmin", "ChatModelAdmin", "WorkerAdmin"]
