# SPDX-License-Identifier: MIT
"""Instructions of the core's operations, by callgrind: they repeat exactly."""
import pathlib
import subprocess
import tempfile


def callgrind(program, *args):
    """Instructions a block: callgrind writes a file for each figure."""
    lines = []
    with tempfile.TemporaryDirectory() as tmp:
        out = pathlib.Path(tmp, "out")
        subprocess.run(["valgrind", "-q", "--tool=callgrind",
                        "--collect-atstart=no",
                        f"--callgrind-out-file={out}",
                        program, "--count", *args],
                       stdout=subprocess.DEVNULL, check=True)
        for path in pathlib.Path(tmp).glob("out.*"):
            desc, total = None, None
            with path.open() as f:
                for text in f:
                    if text.startswith("desc: Trigger: Client Request: "):
                        desc = text.split(": ", 3)[3].strip()
                    elif text.startswith(("totals: ", "summary: ")):
                        total = int(text.split()[1])
            if desc is None or total is None:
                continue
            name, policy, pool, n, mode, blocks = desc.split("|")
            line = {"name": name, "pool": int(pool), "n": int(n)}
            if policy:
                line["policy"] = policy
            if mode:
                line["mode"] = mode
            line["threads"] = 1
            line["instructions_per_block"] = total / int(blocks)
            lines.append((int(path.suffix[1:]), line))
    return [line for _, line in sorted(lines, key=lambda x: x[0])]
