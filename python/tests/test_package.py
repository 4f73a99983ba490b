# SPDX-License-Identifier: MIT
"""What `pip install ./python` installs."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1]


@pytest.mark.skipif("KVBM_PIP" not in os.environ, reason="no pip named")
def test_install(tmp_path):
    """All modules, the mark of a typed package, and what others look up."""
    # A copy: building leaves files in the source.
    copy = tmp_path / "python"
    shutil.copytree(
        SOURCE, copy, ignore=shutil.ignore_patterns("tests", "__pycache__")
    )
    target = tmp_path / "target"
    subprocess.run(
        [
            *(os.environ["KVBM_PIP"], "-q", "--disable-pip-version-check"),
            # One that has setuptools: nothing is fetched.
            *("--python", os.environ["KVBM_SETUPTOOLS"]),
            *("install", "--no-deps", "--no-build-isolation", "--target"),
            *(target, copy),
        ],
        check=True,
        # Packages of the tests are not those of pip.
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
    )
    wanted = {
        str(p.relative_to(SOURCE))
        for p in (SOURCE / "libkvbm").rglob("*")
        if p.suffix == ".py" or p.name == "py.typed"
    }
    there = {
        str(p.relative_to(target)) for p in (target / "libkvbm").rglob("*")
    }
    assert wanted <= there
    (points,) = target.glob("libkvbm-*/entry_points.txt")
    text = points.read_text()
    assert "kvbm-publish = libkvbm.publish:main" in text
    assert "kvbm = libkvbm.vllm:register" in text
    assert (target / "bin" / "kvbm-publish").exists()
