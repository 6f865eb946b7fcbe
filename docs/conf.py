"""Sphinx: pages in MyST Markdown, furo theme, no network while building."""

import tomllib
from pathlib import Path

import napari_xpcs

_project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]

project = _project["name"]
author = _project["authors"][0]["name"]
copyright = author
release = version = napari_xpcs.__version__

extensions = ["myst_parser", "sphinx.ext.mathjax"]
myst_enable_extensions = ["amsmath", "deflist", "dollarmath"]
myst_heading_anchors = 3
nitpicky = True

exclude_patterns = ["_build"]
html_theme = "furo"
html_title = project
