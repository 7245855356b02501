"""Language models out of typed neural modules."""

__version__ = "0.1.0"
