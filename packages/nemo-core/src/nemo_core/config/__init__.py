"""Recipes: composed by Hydra, typed by dataclasses, checked as a whole, and built without trusting what they name."""

from nemo_core._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "Configured": ".configured",
        "ConfiguredMeta": ".configured",
        "Problem": ".problems",
        "Recipe": ".recipes",
        "Trust": ".trust",
        "check": ".build",
        "compose": ".composition",
        "find_recipe": ".recipes",
        "import_path": ".configured",
        "instantiate": ".build",
        "list_recipes": ".recipes",
        "multirun": ".sweeps",
        "section": ".shape",
        "trust_of": ".validation",
        "validate": ".validation",
    },
)
