"""Each test process computes on one thread: pytest-xdist runs one process per core, and CPU numbers are made that way.

Compiled kernels are kept from one run of the tests to the next, for all of their processes.
"""

import os
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported, and for the processes that tests start
os.environ.setdefault("NUMBA_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache" / "kernels"))
