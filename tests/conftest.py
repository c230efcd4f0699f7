"""Each test process computes on one thread: pytest-xdist runs one process a core, and CPU numbers are made that way."""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported, and for the processes that tests start
