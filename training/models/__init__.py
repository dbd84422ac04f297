from training.models.jobs import Checkpoint, Job, JobEvent

__all__ = ["Checkpoint", "Job", "JobEvent"]
