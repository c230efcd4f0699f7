"""Each test process computes on one thread: pytest-xdist runs one process per core, and CPU numbers are made that way.

Compiled kernels are kept from one run of the tests to the next, for all of their processes.
"""

import os
import signal
from pathlib import Path

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # started behind a shell: tests send Ctrl-C to what they start
    signal.signal(signal.SIGINT, signal.default_int_handler)

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported, and for the processes that tests start
os.environ.setdefault("NUMBA_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache" / "kernels"))
