"""Speech models in the words of other frameworks."""
