# SPDX-License-Identifier: MIT
"""Figures as JSON lines: reading, joining, printing."""
import json
import pathlib

TREE = pathlib.Path(__file__).resolve().parent.parent
OUT = TREE / "build" / "bench"
IDENTITY = ("name", "policy", "pool", "n", "mode", "threads")


def identity(line):
    return tuple(line.get(k) for k in IDENTITY)


def parse(text):
    return [json.loads(t) for t in text.splitlines() if t.startswith("{")]


def load(path):
    return parse(path.read_text())


def join(lines):
    """Lines that speak of the same thing become one."""
    out = {}
    for line in lines:
        out.setdefault(identity(line), {}).update(line)
    return list(out.values())


def save(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(x) + "\n" for x in lines))


def number(x):
    if not isinstance(x, float):
        return str(x)
    return f"{x:.1f}" if abs(x) < 1000 else f"{x:.0f}"


def label(line):
    """What was measured, in words."""
    words = [line["name"]]
    for key in ("policy", "mode"):
        if line.get(key):
            words.append(line[key])
    if line.get("threads", 1) > 1:
        words.append(f"x{line['threads']}")
    return " ".join(words)


def table(lines, columns):
    rows = [["figure", "pool", "n"] + columns]
    for line in lines:
        if any(c in line for c in columns):
            rows.append([label(line), str(line.get("pool", "")),
                         str(line.get("n", ""))] +
                        [number(line.get(c, "")) for c in columns])
    if len(rows) == 1:
        return
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    for row in rows:
        print("  ".join(c.ljust(w) if i == 0 else c.rjust(w)
                        for i, (c, w) in enumerate(zip(row, widths))))
