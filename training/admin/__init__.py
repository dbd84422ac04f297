from training.admin.jobs import JobAdmin

__all__ = ["JobAdmin"]
