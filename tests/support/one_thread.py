"""One thread per worker of pytest-xdist, of which there are as many as cores. Import it before numpy and torch.

Their libraries read these numbers once, when they are loaded; processes that tests start inherit them. Where a test
asks for two threads, one that waits for the other does not spin on a core that others need.
"""

import os

from crushtest.models.threads import BLAS, SPINS

if "PYTEST_XDIST_WORKER" in os.environ:
    for name in ("OMP_NUM_THREADS", BLAS):
        os.environ.setdefault(name, "1")
    os.environ.setdefault("GOMP_SPINCOUNT", str(SPINS))
