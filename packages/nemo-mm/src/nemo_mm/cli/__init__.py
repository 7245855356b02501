"""Commands of nemo-mm; heavy imports are inside the functions."""
