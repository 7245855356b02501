"""Commands of speech recognition."""
