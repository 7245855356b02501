"""The command line, ``nemo``: commands are components of kind ``cli`` and are imported when they are run."""
