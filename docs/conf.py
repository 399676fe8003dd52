"""Sphinx: plain Markdown pages, and a theme that needs no network."""

project = "ML Preflight"
author = "The ML Preflight authors"
extensions = ["myst_parser"]
html_theme = "furo"
html_title = "ML Preflight"
exclude_patterns = ["_build"]
myst_heading_anchors = 2
