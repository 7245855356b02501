"""Commands of ``nemo mm``."""
