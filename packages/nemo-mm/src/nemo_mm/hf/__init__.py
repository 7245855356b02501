"""Models of Hugging Face, taken over and written."""
