# SPDX-License-Identifier: MIT
"""With routers' own code only: see python/tests/run-routers."""

import os
import sys
from pathlib import Path

collect_ignore_glob = []
if not os.environ.get("KVBM_ROUTERS"):
    collect_ignore_glob.append("test_*.py")
else:
    sys.path.insert(0, str(Path(__file__).parent))
