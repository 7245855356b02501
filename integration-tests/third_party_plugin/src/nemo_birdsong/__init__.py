"""Tell birds by their songs."""

__version__ = "0.3.0"
