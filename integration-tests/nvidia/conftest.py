"""No tests for pytest here: these scripts are run by ``nox -s nvidia``, some of them in NVIDIA NeMo's environment."""

collect_ignore_glob = ["*.py"]
