"""Models of synthesis in the words of others."""
