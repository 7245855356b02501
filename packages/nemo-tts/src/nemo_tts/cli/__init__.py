"""Commands of speech synthesis."""
