"""What a process does before it ends, which is all that Python does but for taking its modules apart."""

import os
import subprocess
import sys

import pytest

BUFFERED = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
LEAVES = """
import atexit, sys, threading, time
from vitrine.ending import leave
class Kept:
    def __del__(self):
        print("taken apart")
kept = Kept()
atexit.register(print, "at exit")
def works():
    time.sleep(0.3)
    print("thread")
threading.Thread(target=works).start()
print("unflushed", end=" ")
leave(int(sys.argv[1]))
"""


@pytest.mark.parametrize("status", [0, 1, 3])
def test_threads_end_and_exit_functions_are_called(status):
    done = subprocess.run(
        [sys.executable, "-c", LEAVES, str(status)], capture_output=True, text=True, timeout=60, env=BUFFERED
    )
    assert done.stdout == "unflushed thread\nat exit\n"
    assert (done.returncode, done.stderr) == (status, "")


def test_nobody_reads_what_was_printed():
    closed = "import sys; from vitrine.ending import leave; sys.stdout.write('x'); leave(0)"
    process = subprocess.Popen(
        [sys.executable, "-c", closed], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=BUFFERED
    )
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    assert (process.wait(60), said) == (0, b"")
