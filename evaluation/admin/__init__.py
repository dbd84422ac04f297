from evaluation.admin import judges, runs

__all__ = ["judges", "runs"]
