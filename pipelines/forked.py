"""Steps of a local run as forks of one process that has loaded what steps share.

A step's work often takes less than loading torch, pandas and kfp does, and so a run of a small catalog mostly loaded
them, once for each step. Here `python -m pipelines.forked` loads them once, has a single thread, opens no device and
does no arithmetic, and forks for each step. A step still is a process: nothing it does to its modules, environment,
working folder or random numbers is there in another, and it is killed, runs out of memory and dies by itself.

Used on Linux only: elsewhere forking a process with these libraries is not safe.
"""

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from vitrine import journal
from vitrine.ending import leave

AVAILABLE = sys.platform == "linux"
EXECUTOR = "kfp.dsl.executor_main"
RUNTIME = {"_KFP_RUNTIME": "true"}  # with it kfp loads no compiler and no client
THREADS = "OMP_NUM_THREADS"
COMMON = ("kfp.dsl", EXECUTOR, "components.outputs", "pipelines.stages", "pandas", "pyarrow.parquet", "vitrine.report")
DATA = ("scipy.sparse", "cv2", "PIL.Image", "vitrine.catalog.photos", "matplotlib.pyplot")
QUALITY = (*DATA, "vitrine.quality.clean")
NETS = ("torch", "sklearn.linear_model", "vitrine.train", "vitrine.evaluate")
# What is loaded before the first step of a kind is forked; great_expectations by `validate` alone, in its own process.
# `plan` and `judge` find torch loaded where something was trained, and need none where nothing has changed.
SHARED: Mapping[str, Sequence[str]] = {
    "scan": DATA,
    "clean": QUALITY,
    "clean_and_split": QUALITY,
    "validate": QUALITY,
    "train": (*DATA, *NETS),
    "build_index": NETS,
    "detect_drift": (*DATA, *NETS),
}
LONGEST_NAME = 256  # bytes, of a step's function
INTERRUPT = b"!"  # in place of a name
# Also the room that a step's own command has in `ps`, which cannot be longer than that it was started with.
WORDS = "loads once what the steps of a local run share and forks for each"


class Gone(Exception):
    """There is nothing to fork from any more."""


class Parent:
    """The process that steps are forked from, seen from the run.

    Made at once: it loads its libraries while the run begins. Steps still at work end when it is closed, and when the
    run is killed.

    Args:
        log: Where it says what went wrong with itself.
    """

    def __init__(self, log: BinaryIO) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "pipelines.forked", str(theirs.fileno()), WORDS],
                pass_fds=[theirs.fileno()],
                env=os.environ | RUNTIME,
                stdout=log,
                stderr=log,
            )

    def __enter__(self) -> "Parent":
        return self

    def __exit__(self, *_: object) -> None:
        self._control.close()
        self._process.wait()

    def interrupt(self) -> None:
        """Has the steps that are at work end, as a terminal's Ctrl-C does; no other begins from now on."""
        with contextlib.suppress(OSError):  # it was killed, and the steps are on their own
            self._control.send(INTERRUPT)

    def run(self, command: Sequence[str], environment: Mapping[str, str], say: Callable[[str], object]) -> int:
        """Runs what a step's container would, and waits for its end.

        Args:
            command: A shell's, as kfp compiles it: `sh -ec SCRIPT SOURCE ARGUMENTS...`.
            environment: Of the process.
            say: Takes its lines.

        Returns:
            The exit status; that of a signal is negative, as is that of a step which no longer begins.

        Raises:
            Gone: if there is nothing to fork from; nothing was started.
        """
        source, arguments = command[3], list(command[4:])
        function = arguments[arguments.index("--function_to_execute") + 1]
        with tempfile.TemporaryDirectory() as folder:
            module = Path(folder) / "ephemeral_component.py"
            module.write_text(source, encoding="utf-8")
            request = {
                "argv": [EXECUTOR, "--component_module_path", str(module), *arguments],
                "environment": {**environment, **RUNTIME},
                "cwd": os.getcwd(),
            }
            ours, theirs = socket.socketpair()
            read, write = os.pipe()
            with ours, os.fdopen(read, encoding="utf-8", errors="replace") as lines:
                try:
                    with theirs:
                        socket.send_fds(self._control, [function.encode()], [theirs.fileno(), write])
                except OSError as error:
                    raise Gone from error
                finally:
                    os.close(write)
                with contextlib.suppress(BrokenPipeError):  # it was killed before it knew what to do
                    ours.sendall(json.dumps(request).encode() + b"\n")
                for line in lines:
                    say(line)
                try:
                    with ours.makefile() as answer:
                        said = answer.readline()
                except ConnectionError:
                    said = ""
                return int(said or -signal.SIGKILL)  # nobody knows how it ended: what it forked from was killed


def runs_step(command: Sequence[str]) -> bool:
    """Whether a command is one that `Parent.run` takes."""
    return len(command) > 4 and EXECUTOR in command[2] and "--function_to_execute" in command


def serve(control: socket.socket) -> tuple[socket.socket, int] | None:
    """Forks for each step that is asked for, and says how it ended.

    Returns:
        In a step, where to read what to do, and what to write to; in the parent, once the run has ended, None.
    """
    # A terminal tells the run and its steps. Blocked and not ignored: then no fork misses it before it has a handler.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    woken, wakes = os.pipe()
    os.set_blocking(wakes, False)
    signal.set_wakeup_fd(wakes)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    load(COMMON)
    steps: dict[int, socket.socket] = {}
    interrupted = False
    while True:
        ready, _, _ = select.select([control.fileno(), woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
            _reap(steps)
        if control.fileno() not in ready:
            continue
        name, given, _, _ = socket.recv_fds(control, LONGEST_NAME, 2)
        if name in (b"", INTERRUPT):
            for step in steps:
                os.kill(step, signal.SIGINT)  # not yet waited for, so it is no other's number
            interrupted = True
            if name:
                continue
            return None
        if interrupted:  # a thread of the run did not know it yet
            os.close(given[1])
            with socket.socket(fileno=given[0]) as channel, contextlib.suppress(OSError):
                channel.sendall(b"%d\n" % -signal.SIGINT)
            continue
        load(SHARED.get(name.decode(), ()))
        channel, output = socket.socket(fileno=given[0]), given[1]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the thread of pyarrow's allocator, which sees to forks itself
            step = os.fork()
        if step:
            steps[step] = channel
            os.close(output)
            continue
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for other in (*steps.values(), control):
            other.close()
        os.close(woken)
        os.close(wakes)
        signal.signal(signal.SIGINT, _interrupt_once)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
        return channel, output


def _interrupt_once(*_: object) -> None:
    """The terminal and the run both tell a step; the second is not to cut short what it tidies up after the first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


def _reap(steps: dict[int, socket.socket]) -> None:
    while steps:
        ended, status = os.waitpid(-1, os.WNOHANG)
        if not ended:
            return
        with steps.pop(ended) as channel, contextlib.suppress(OSError):  # the run was killed
            channel.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))


def load(modules: Sequence[str]) -> None:
    """Imports modules, for all steps that are forked from now on. One that cannot be is left to the steps."""
    new = [name for name in modules if name not in sys.modules]
    for name in new:
        try:
            importlib.import_module(name)
            if name == "torch":
                from vitrine.blocks.torchvision_nets import torchvision_models

                torchvision_models()
        except Exception:
            traceback.print_exc()
    if new:
        gc.collect()
        gc.freeze()  # else the first collection in each step copies every page of it


def run_step(channel: socket.socket, output: int) -> None:
    """Becomes the step that the run asks for: its environment, folder, output, threads and random numbers."""
    with channel, channel.makefile() as lines:
        request: dict[str, Any] = json.loads(lines.readline())
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    started_with = os.environ.get(THREADS)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["cwd"])
    sys.argv = request["argv"]
    _be_shown_as([sys.executable, "-m", EXECUTOR, *sys.argv[-2:]])
    if os.environ.get(THREADS) != started_with:
        _use_threads(os.environ.get(THREADS, ""))
    journal.BEGAN = time.monotonic()
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()  # by itself it would draw what its siblings draw; `random` sees to it itself
    if torch := sys.modules.get("torch"):
        torch.default_generator.seed()
    importlib.import_module(EXECUTOR).executor_main()


def _use_threads(threads: str) -> None:
    """Has libraries that read the environment when they were loaded use so many threads; "" = a thread per core."""
    import threadpoolctl

    count = int(threads) if threads.isdecimal() else len(os.sched_getaffinity(0))
    threadpoolctl.threadpool_limits(limits=count)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(count)


def _be_shown_as(words: Sequence[str]) -> None:
    """Shows a step in `ps` as the command that it would be without forking, as far as there is room."""
    with contextlib.suppress(OSError, ValueError):
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        start, end = int(fields[45]), int(fields[46])  # arg_start and arg_end, proc(5)
        text = "\0".join(words).encode()[: end - start - 1].ljust(end - start, b"\0")
        with Path("/proc/self/mem").open("r+b", buffering=0) as memory:
            memory.seek(start)
            memory.write(text)


def main() -> None:
    """Serves a run; in a fork, runs a step."""
    step = serve(socket.socket(fileno=int(sys.argv[1])))
    if step is None:
        return
    status = 0
    try:
        run_step(*step)
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
        status = 1
    leave(status)


if __name__ == "__main__":
    main()
