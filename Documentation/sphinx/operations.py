# SPDX-License-Identifier: MIT
"""A table of all operations, from the module's own list (module/user/ops.def)."""
import os
import re

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList

TREE = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
LIST = os.path.join(TREE, "module/user/ops.def")
CONTROL = {"NO": "--", "ITSELF": "yes", "STORE": "yes; handler checks",
           "READER": "readers of statistics", "OPENER": "readers of the store",
           "ADMIN": "owner, administrator"}
SESSION = {"NO": "--", "YES": "yes", "ADMIN": "owner, administrator",
           "ALWAYS": "yes"}


def operations():
    """Rows: request, on control, on sessions, needs writing, io_uring."""
    with open(LIST, encoding="utf-8") as f:
        text = f.read()
    for kind, args in re.findall(r"^KVBM_(REQUEST|DATA)\(([^)]*)\)", text, re.M):
        a = [x.strip() for x in args.split(",")]
        if not a[0].isupper():
            continue
        data = kind == "DATA"
        control, session = ("NO", "YES") if data else (a[3], a[4])
        right = a[-1]
        yield (f"``KVBM_IOC_{a[0]}``", CONTROL[control],
               SESSION[session] + ("" if right == "0" else
                                   f"; others with ``{right}``"),
               "yes" if a[-2] == "WRITES" else "--", "yes" if data else "--")


class Operations(Directive):
    def run(self):
        rows = [("request", "on control", "on sessions",
                 "needs write access", "io_uring"), *operations()]
        lines = [".. list-table::", "   :header-rows: 1",
                 "   :widths: 30 25 25 10 10", ""]
        for row in rows:
            lines += [("   * - " if i == 0 else "     - ") + cell
                      for i, cell in enumerate(row)]
        self.state.document.settings.env.note_dependency(LIST)
        node = nodes.Element()
        self.state.nested_parse(StringList(lines, LIST), self.content_offset,
                                node)
        return node.children


def setup(app):
    app.add_directive("kvbm-operations", Operations)
    return {"parallel_read_safe": True}
