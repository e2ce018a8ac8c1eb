"""How a process ends."""

import atexit
import contextlib
import os
import sys
import threading
from typing import NoReturn


def leave(status: int) -> NoReturn:
    """Ends the process as Python does, but does not take its modules apart one by one: a second, once torch is loaded.

    Threads are waited for, what is registered with `atexit` is called, and what was printed is written.
    """
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)
