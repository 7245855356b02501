"""Neural modules with typed inputs and outputs, and what it takes to configure, train, archive and extend them.

Importing this package is instant: each public name is imported when it is first used.

>>> import nemo_core
>>> nemo_core.NemoError("what happened", hint="what to do").exit_code
2
"""

from nemo_core._lazy import attach

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "Loss": ".modules",
        "Model": ".models",
        "NemoError": ".errors",
        "NeuralGraph": ".graph",
        "NeuralModule": ".modules",
        "NeuralType": ".types",
        "compose": ".config",
        "instantiate": ".config",
        "registry": ".plugins",
        "restore": ".models",
        "typed": ".types",
    },
)
