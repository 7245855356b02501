"""Configuration of the documentation site; builds with warnings as errors (``nox -s docs``)."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

project = "nemo"
author = "The nemo authors"
project_copyright = "2026, the nemo authors"
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "generate",
]
exclude_patterns = ["_build", "reference/generated"]  # what is generated there is included by other pages
html_theme = "furo"
html_title = "nemo"
html_static_path = ["_static"]
html_css_files = ["nemo.css"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
autodoc_typehints = "description"
autodoc_member_order = "bysource"
autodoc_mock_imports: list[str] = []
napoleon_google_docstring = True
napoleon_numpy_docstring = False
copybutton_exclude = ".linenos, .gp"
nitpicky = False
# ref.python: a type hint such as "MelSpectrogram" names both an element type and a module; both are linked elsewhere.
suppress_warnings = ["ref.python", "myst.header"]
