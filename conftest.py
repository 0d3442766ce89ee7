"""Keep `pytest .` whole: the links at the top lead to packages that are collected by their real path.

Several tests run at once: each gets one thread, for threads that wait for each other on busy cores take many times as long.
No example of a property has to be ready within a time.
"""

import os

from hypothesis import HealthCheck, settings

collect_ignore = ["devices", "plans", "agents", "startup", "build"]
if "PYTEST_XDIST_WORKER" in os.environ:
    for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(name, "1")
settings.register_profile("lab", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("lab")
