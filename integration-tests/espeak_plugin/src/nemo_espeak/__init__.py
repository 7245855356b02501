"""Sounds of many languages, by the program espeak-ng."""
