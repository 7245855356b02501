"""What training of language models adds to that of nemo-core."""
