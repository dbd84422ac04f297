from workers.admin.catalog import ChatModelAdmin
from workers.admin.fleet import WorkerAdmin

__all__ = ["ChatModelAdmin", "WorkerAdmin"]
