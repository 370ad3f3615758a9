"""Speed of the statistics: `python benchmarks/statistics.py`. The work is in bootstrap.py.

This file has the name of a module of Python's. Scripts of this folder find it first, and so do the libraries that
they import (torch's compiler, sacrebleu); imported, it therefore gives them Python's own.
"""

import importlib.util
import sys
import sysconfig
from pathlib import Path

if __name__ == "__main__":
    from bootstrap import main

    main()
else:
    _spec = importlib.util.spec_from_file_location(__name__, Path(sysconfig.get_path("stdlib")) / "statistics.py")
    assert _spec is not None
    assert _spec.loader is not None
    sys.modules[__name__] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules[__name__])
