"""How good answers and captions are."""
