# SPDX-License-Identifier: MIT
import os
import re

here = os.path.dirname(os.path.abspath(__file__))


def version_of(path):
    with open(os.path.join(here, path), encoding="utf-8") as f:
        return re.search(r'MODULE_VERSION\("(.*)"\)', f.read()).group(1)


project = "kvbm"
author = "The kvbm authors"
copyright = "2026, " + author
release = version = version_of("../module/user/main.c")

extensions = ["sphinx.ext.graphviz"]
graphviz_output_format = "svg"
exclude_patterns = []
smartquotes = False
highlight_language = "none"
nitpicky = True

html_theme = "sphinx_rtd_theme"
html_show_sourcelink = False
html_copy_source = False
