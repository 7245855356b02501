"""Data of multimodal models."""
