"""Commands of nemo mm."""
