# SPDX-License-Identifier: MIT
"""What _cdef.py repeats of the headers is what they say."""

import os
import re
import subprocess
from pathlib import Path

import pycparser
import pytest
from pycparser import c_ast, c_generator

from libkvbm import _cdef

TREE = Path(__file__).resolve().parents[2]
PATHS = [TREE / "uapi", TREE / "userlib" / "include"]
FLAGS = os.environ.get("KVBM_CFLAGS", "").split() or [f"-I{p}" for p in PATHS]
SAME = {
    "__u8": "uint8_t",
    "__u16": "uint16_t",
    "__u32": "uint32_t",
    "__u64": "uint64_t",
    "__s32": "int32_t",
    "_Bool": "bool",
}
KNOWN = "".join(
    f"typedef int {t};\n"
    for t in (
        *(f"{u}int{n}_t" for u in ("", "u") for n in (8, 16, 32, 64)),
        "size_t",
        "bool",
    )
)


def preprocess(text, *options):
    return subprocess.run(
        ["gcc", "-E", *FLAGS, *options, "-"],
        input=text,
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    ).stdout


def plain(text):
    for old, new in SAME.items():
        text = re.sub(rf"\b{old}\b", new, text)
    return text


def declarations(text):
    """Name to text: functions, structures by field, enumerators."""
    tree = pycparser.CParser().parse(text)
    show = c_generator.CGenerator().visit
    found = {}
    for node in tree.ext:
        if not isinstance(node, c_ast.Decl):
            continue
        if isinstance(node.type, c_ast.FuncDecl):
            found[node.name] = show(node)
        elif isinstance(node.type, c_ast.Struct) and node.type.decls:
            found[f"struct {node.type.name}"] = [
                show(d) for d in node.type.decls
            ]
        elif isinstance(node.type, c_ast.Enum) and node.type.values:
            last = -1
            values = {}
            for e in node.type.values.enumerators:
                last = int(e.value.value, 0) if e.value else last + 1
                values[e.name] = last
            found[f"enum {node.type.name}"] = values
    return found


@pytest.fixture(scope="module")
def header():
    text = preprocess("#include <kvbm.h>\n", "-D__attribute__(x)=")
    ours = []
    keep = False
    for line in text.splitlines():
        mark = re.match(r'# \d+ "([^"]*)"', line)
        if mark:
            keep = mark.group(1).endswith("kvbm.h")
        elif keep:
            ours.append(line)
    text = re.sub(r"#pragma.*", "", "\n".join(ours))
    return declarations(KNOWN + plain(text))


@pytest.fixture(scope="module")
def cdef():
    text = re.sub(r"^#define.*$", "", _cdef.CDEF, flags=re.M)
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    found = declarations(KNOWN + text)
    del found["memcpy"]
    return found


def test_declarations(header, cdef):
    """Structures, enumerations and functions are the header's."""
    assert len(cdef) > 40
    different = {
        name: (text, header.get(name, "not in the header"))
        for name, text in cdef.items()
        if header.get(name) != text
    }
    assert not different, "python/libkvbm/_cdef.py is not what kvbm.h says"


def test_constants():
    """Constants have the header's values."""
    ours = dict(re.findall(r"^#define (\w+)\s+(\d+)$", _cdef.CDEF, re.M))
    assert len(ours) > 10
    text = preprocess(
        "#include <kvbm.h>\n" + "".join(f'"{n}" {n}\n' for n in ours)
    )
    theirs = dict(re.findall(r'^"(\w+)" (.*)$', text, re.M))

    def value(c):
        c = re.sub(r"\bUINT64_C\b", "", c)
        c = re.sub(r"\b(0[xX][0-9a-fA-F]+|\d+)[uUlL]+\b", r"\1", c)
        assert re.fullmatch(r"[\s\dxa-fA-F()<]+", c), c
        return eval(c)

    assert {n: int(v) for n, v in ours.items()} == {
        n: value(v) for n, v in theirs.items()
    }


def test_complete(cdef):
    """Each exported function is declared, or listed as of no use."""
    exported = set(
        re.findall(
            r"^\s+(kvbm_\w+);",
            (TREE / "userlib" / "libkvbm.map").read_text(),
            re.M,
        )
    )
    ours = {n for n in cdef if n.startswith("kvbm_")}
    assert not ours & set(_cdef.UNUSED)
    assert exported == ours | set(_cdef.UNUSED)


def test_version():
    """The package is of the tree's version, and loads its library."""
    import libkvbm

    version = (TREE / "VERSION").read_text().strip()
    assert libkvbm.__version__ == version
    assert libkvbm.version() == version
    assert f"libkvbm.so.{version.split('.')[0]}" == _cdef.SONAME
    project = (TREE / "python" / "pyproject.toml").read_text()
    assert f'version = "{version}"' in project


def test_layout(cdef):
    """The compiler gives structures the sizes and offsets that cffi does."""
    from libkvbm._native import ffi

    source = ["#include <kvbm.h>", "#include <stddef.h>", "#include <stdio.h>"]
    source.append("int main(void) {")
    ours = {}
    for name in (n for n in cdef if n.startswith("struct ")):
        ours[name] = ffi.sizeof(name)
        source.append(f'printf("{name}=%zu\\n", sizeof({name}));')
        for field, _ in ffi.typeof(name).fields:
            ours[f"{name}.{field}"] = ffi.offsetof(name, field)
            source.append(
                f'printf("{name}.{field}=%zu\\n", offsetof({name}, {field}));'
            )
    source.append("}")
    program = "\n".join(source)
    subprocess.run(
        ["gcc", *FLAGS, "-xc", "-o", "/tmp/kvbm-layout", "-"],
        input=program,
        text=True,
        check=True,
    )
    out = subprocess.run(
        ["/tmp/kvbm-layout"], stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    os.unlink("/tmp/kvbm-layout")
    theirs = {k: int(v) for k, v in re.findall(r"(.*)=(\d+)", out)}
    assert ours == theirs
