# SPDX-License-Identifier: MIT
import os
import sys

here = os.path.dirname(os.path.abspath(__file__))


def version_of(path):
    with open(os.path.join(here, path), encoding="utf-8") as f:
        return f.read().strip()


project = "kvbm"
author = "The kvbm authors"
copyright = "2026, " + author
release = version = version_of("../VERSION")

# The kernel's own extension takes structures out of the header's comments.
linux = os.environ["KVBM_LINUX"]
sys.path[:0] = [os.path.join(here, "sphinx"),
                os.path.join(linux, "Documentation/sphinx")]
kerneldoc_bin = os.path.join(linux, "scripts/kernel-doc")
kerneldoc_srctree = os.path.dirname(here)

extensions = ["sphinx.ext.graphviz", "kerneldoc", "operations"]
graphviz_output_format = "svg"
exclude_patterns = []
smartquotes = False
highlight_language = "none"
nitpicky = True

html_theme = "sphinx_rtd_theme"
html_show_sourcelink = False
html_copy_source = False
