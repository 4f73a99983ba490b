# SPDX-License-Identifier: MIT
import os

here = os.path.dirname(os.path.abspath(__file__))


def version_of(path):
    with open(os.path.join(here, path), encoding="utf-8") as f:
        return f.read().strip()


project = "kvbm"
author = "The kvbm authors"
copyright = "2026, " + author
release = version = version_of("../VERSION")

extensions = ["sphinx.ext.graphviz"]
graphviz_output_format = "svg"
exclude_patterns = []
smartquotes = False
highlight_language = "none"
nitpicky = True

html_theme = "sphinx_rtd_theme"
html_show_sourcelink = False
html_copy_source = False
