"""Commands of nemo-llm, one module per group."""
