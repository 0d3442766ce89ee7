"""Keep `pytest .` whole: the links at the top lead to packages that are collected by their real path.

Several tests run at once: each gets one thread, for threads that wait for each other on busy cores take many times as long.
"""

import os

collect_ignore = ["devices", "plans", "agents", "startup", "build"]
if "PYTEST_XDIST_WORKER" in os.environ:
    for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(name, "1")
