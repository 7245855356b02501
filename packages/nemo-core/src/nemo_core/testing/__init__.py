"""The conformance kit for plugins, and the harness of the benchmarks."""
