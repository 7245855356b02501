"""Commands of multimodal models."""
