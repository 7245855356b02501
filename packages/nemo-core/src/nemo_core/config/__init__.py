"""Recipes: composed by Hydra, typed by dataclasses, checked as a whole, and built without trusting what they name."""

from typing import TYPE_CHECKING

from nemo_core._lazy import attach

if TYPE_CHECKING:
    from nemo_core.config.build import check as check
    from nemo_core.config.build import instantiate as instantiate
    from nemo_core.config.composition import compose as compose
    from nemo_core.config.configured import Configured as Configured
    from nemo_core.config.configured import ConfiguredMeta as ConfiguredMeta
    from nemo_core.config.configured import import_path as import_path
    from nemo_core.config.problems import Problem as Problem
    from nemo_core.config.recipes import Recipe as Recipe
    from nemo_core.config.recipes import find_recipe as find_recipe
    from nemo_core.config.recipes import list_recipes as list_recipes
    from nemo_core.config.shape import section as section
    from nemo_core.config.sweeps import multirun as multirun
    from nemo_core.config.trust import Trust as Trust
    from nemo_core.config.validation import trust_of as trust_of
    from nemo_core.config.validation import validate as validate

__getattr__, __dir__ = attach(__name__)
