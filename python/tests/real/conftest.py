# SPDX-License-Identifier: MIT
"""With a whole vLLM only: see python/tests/run-real."""

import os
import sys
from pathlib import Path

collect_ignore_glob = []
if not os.environ.get("KVBM_REAL"):
    collect_ignore_glob.append("test_*.py")
else:
    sys.path.insert(0, str(Path(__file__).parent))
