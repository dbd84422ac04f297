"""Sets of questions: what comes with the product, and what other people's files look like.

Knows files and addresses, neither the database nor chat models. One module for each shape of a file; `load` finds out
which one it is.
"""

from evaluation.suites.errors import SuiteError
from evaluation.suites.loading import load
from evaluation.suites.shipped import SHIPPED, Shipped
from evaluation.suites.suite import Suite

__all__ = ["SHIPPED", "Shipped", "Suite", "SuiteError", "load"]
