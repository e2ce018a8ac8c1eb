"""Steps as forks of one process: what they find, what they leave behind, and how their ends are told."""

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from vitrine_command import environment

from pipelines import forked

pytestmark = pytest.mark.skipif(not forked.AVAILABLE, reason="steps are forked on Linux only")
SCRIPT = "python3 -m kfp.dsl.executor_main"


def command_of(source: str, function: str, folder: Path) -> list[str]:
    """What the container of a step would run."""
    wanted = json.dumps({"outputs": {"outputFile": str(folder / "output.json")}})
    return ["sh", "-ec", SCRIPT, source, "--executor_input", wanted, "--function_to_execute", function]


class Steps:
    """Steps of one parent, and what they said."""

    def __init__(self, parent: forked.Parent, folder: Path) -> None:
        self.parent, self.folder, self.environment = parent, folder, environment(folder / "cache")

    def run(
        self, body: str, function: str = "start", say: Callable[[str], object] = lambda line: None, **given: str
    ) -> tuple[int, str]:
        source = f"def {function}() -> None:\n{textwrap.indent(textwrap.dedent(body), '    ')}\n"
        command = command_of(source, function, self.folder)
        assert forked.runs_step(command)
        lines: list[str] = []

        def heard(line: str) -> None:
            lines.append(line)
            say(line)

        code = self.parent.run(command, self.environment | given, heard)
        own = "".join(line for line in lines if "KFP Executor" not in line)
        return code, own.partition("\n}\n")[2]  # behind what it was asked for

    def said(self, body: str, function: str = "start", **given: str):
        """What a step that ends well prints last, as JSON."""
        code, lines = self.run(f"import json\n{textwrap.dedent(body)}", function, **given)
        assert code == 0, lines
        return json.loads(next(line for line in reversed(lines.splitlines()) if line.startswith(("[", "{", '"'))))


@pytest.fixture(scope="module")
def steps(tmp_path_factory, slow_to_make):
    folder = tmp_path_factory.mktemp("forked")
    with pytest.MonkeyPatch.context() as patch, (folder / "log").open("wb", buffering=0) as log:
        for name, value in environment(folder / "cache").items():
            patch.setenv(name, value)
        with forked.Parent(log) as parent:
            yield Steps(parent, folder)


LOOK = """
    import os, random, signal, sys, threading
    import numpy
    import vitrine
    print(json.dumps({
        "module": getattr(vitrine, "polluted", None),
        "loaded": "colorsys" in sys.modules,
        "environment": os.environ.get("POLLUTED"),
        "path": "/polluted" in sys.path,
        "folder": os.getcwd(),
        "mask": os.umask(0o022),
        "threads": threading.active_count(),
        "signal": signal.getsignal(signal.SIGINT).__name__,
        "child": signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL,
        "blocked": list(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    }))
"""


def test_nothing_that_a_step_does_to_its_process_is_there_in_the_next(steps):
    before = steps.said(LOOK)
    code, _ = steps.run(
        """
        import os, signal, sys, threading, time
        import colorsys, vitrine
        vitrine.polluted = True
        os.environ["POLLUTED"] = "yes"
        sys.path.insert(0, "/polluted")
        os.chdir("/")
        os.umask(0o077)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        threading.Thread(target=time.sleep, args=(0.1,)).start()
        """
    )
    assert code == 0
    assert steps.said(LOOK) == before
    assert before["folder"] == os.getcwd()
    assert (before["module"], before["loaded"], before["environment"], before["path"]) == (None, False, None, False)
    assert (before["threads"], before["signal"], before["child"]) == (1, "_interrupt_once", True)
    assert before["blocked"] == []


def test_steps_draw_other_random_numbers_unless_they_are_seeded(steps):
    drawn = """
        import random
        import numpy
        from vitrine import files
        print(json.dumps([random.random(), numpy.random.random(), files._waits.random()]))
    """
    one, other = steps.said(drawn), steps.said(drawn)
    assert all(first != second for first, second in zip(one, other, strict=True))
    seeded = "import random, numpy\nrandom.seed(1)\nnumpy.random.seed(1)\n" + textwrap.dedent(drawn)
    assert steps.said(seeded)[:2] == steps.said(seeded)[:2]


def test_a_step_has_the_environment_it_is_given_and_no_other(steps):
    asked = 'import os\nprint(json.dumps([os.environ.get("ONE"), os.environ.get("_KFP_RUNTIME")]))'
    assert steps.said(asked, ONE="1") == ["1", "true"]
    assert steps.said(asked) == [None, "true"]


def test_what_a_step_says_is_heard_in_order_and_its_traceback_too(steps):
    code, lines = steps.run(
        """
        import sys
        from vitrine.errors import InputError
        print("first", flush=True)
        print("second", file=sys.stderr)
        raise InputError("of no use")
        """
    )
    assert code == 1
    assert lines.startswith("first\nsecond\nTraceback (most recent call last):\n")
    assert lines.endswith("\nvitrine.errors.InputError: of no use\n")
    assert 'raise InputError("of no use")' in lines


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("import sys\nsys.exit(7)", 7),
        ("import os\nos._exit(3)", 3),
        ("import sys\nsys.exit('a word')", 1),
        ("", 0),
    ],
)
def test_how_a_step_ended_is_told(steps, body, code):
    assert steps.run(body or "pass")[0] == code


def test_what_waits_for_the_end_of_a_step_is_done(steps):
    """Functions of `atexit`, finalizers and threads, as where Python ends by itself."""
    code, lines = steps.run(
        """
        import atexit, pathlib, tempfile, threading, time, weakref
        folder = tempfile.TemporaryDirectory()
        print(folder.name)
        globals()["kept"] = folder
        atexit.register(print, "at the end")
        threading.Thread(target=lambda: (time.sleep(0.2), print("of a thread"))).start()
        """
    )
    assert code == 0
    where, *said = lines.split("\n")[:3]
    assert not Path(where).exists()
    assert said == ["of a thread", "at the end"]


def test_a_step_is_seen_as_the_command_that_it_stands_for(steps):
    """By which a person, or a test, finds the process of a training."""
    said = steps.said('print(json.dumps(open("/proc/self/cmdline").read().split("\\0")))', "train")
    assert said[:5] == [sys.executable, "-m", "kfp.dsl.executor_main", "--function_to_execute", "train"]


@pytest.mark.slow
def test_libraries_that_were_loaded_before_still_work_with_the_threads_asked_for(steps):
    """OpenMP and BLAS hang in forks of a process that has used their threads."""
    body = """
        import os, sys
        import numpy, pyarrow, threadpoolctl
        loaded = "torch" in sys.modules
        import torch
        a = torch.ones(600, 600)
        (a @ a).sum(); torch.relu(a).sum(); torch.nn.functional.conv2d(a[None, None], a[None, None, :3, :3])
        numpy.ones((600, 600)) @ numpy.ones((600, 600))
        pools = {pool["num_threads"] for pool in threadpoolctl.threadpool_info()}
        print(json.dumps([loaded, torch.get_num_threads(), sorted(pools), pyarrow.cpu_count(), torch.initial_seed()]))
    """
    known = {int(threads): steps.said(body, "train", OMP_NUM_THREADS=threads) for threads in "21"}
    assert known[2][1:3] == [2, [2]]
    assert known[1][1:3] == [1, [1]]
    assert all(loaded for loaded, *_ in known.values())
    assert [own[3] for own in known.values()] == [2, 1]
    assert known[1][4] != known[2][4]  # as where each loads torch itself


@pytest.mark.slow
def test_what_is_forked_from_has_opened_no_device_and_started_no_thread_of_its_own(steps):
    steps.run("pass", "train")
    parent = Path(f"/proc/{steps.parent._process.pid}")
    names = [task.joinpath("comm").read_text().strip() for task in parent.joinpath("task").iterdir()]
    assert len([name for name in names if not name.startswith("jemalloc")]) == 1, names  # pyarrow's, which knows forks
    opened = [str(descriptor.readlink()) for descriptor in parent.joinpath("fd").iterdir()]
    assert not [to for to in opened if re.match(r"/dev/(?!null|tty|pts)", to)]
    assert len([to for to in opened if to.startswith("socket:")]) == 1  # to the run


AT_WORK = """
    import time
    try:
        print("at work", flush=True)
        time.sleep(600)
    finally:
        time.sleep(0.5)
        print("tidied up", flush=True)
"""


@pytest.mark.parametrize("told", ["by the run", "by the terminal and the run"])
def test_steps_at_work_end_with_a_run_that_is_interrupted_and_tidy_up_first(tmp_path, told):
    lines: list[str] = []
    with (tmp_path / "log").open("wb", buffering=0) as log, forked.Parent(log) as parent:
        steps = Steps(parent, tmp_path)

        def say(line: str) -> None:
            lines.append(line)
            if line == "at work\n":
                if told != "by the run":
                    children = Path(f"/proc/{parent._process.pid}/task/{parent._process.pid}/children")
                    (step,) = map(int, children.read_text().split())
                    os.kill(step, signal.SIGINT)
                    time.sleep(0.2)
                parent.interrupt()

        assert steps.run(AT_WORK, say=say)[0] == 1
        assert "tidied up\n" in lines
        assert lines[-1] == "KeyboardInterrupt\n"


def test_a_step_that_a_run_asks_for_while_it_is_interrupted_does_not_begin(tmp_path):
    """A thread that was told to go on before another one heard of the interruption."""
    with (tmp_path / "log").open("wb", buffering=0) as log, forked.Parent(log) as parent:
        parent.interrupt()
        code, _ = Steps(parent, tmp_path).run(f"open('{tmp_path}/started', 'w')")
    assert code < 0
    assert not (tmp_path / "started").exists()


def test_without_the_parent_nothing_is_started(tmp_path):
    with (tmp_path / "log").open("wb", buffering=0) as log, forked.Parent(log) as parent:
        parent._process.kill()
        parent._process.wait()
        with pytest.raises(forked.Gone):
            Steps(parent, tmp_path).run("open('started', 'w')")


def test_a_step_whose_parent_is_killed_counts_as_failed(tmp_path):
    with (tmp_path / "log").open("wb", buffering=0) as log, forked.Parent(log) as parent:
        code, _ = Steps(parent, tmp_path).run("import os, signal\nos.kill(os.getppid(), signal.SIGKILL)")
        assert code == -signal.SIGKILL


@pytest.mark.slow
def test_the_parent_and_its_steps_end_with_the_run_however_that_ends(tmp_path):
    """Also when it is killed, and can close nothing."""
    source = "def train():\n    import os, time\n    print('step', os.getpid(), flush=True)\n    time.sleep(600)\n"
    script = """
        import os, sys
        from pipelines.forked import Parent
        parent = Parent(open(sys.argv[1], "wb", buffering=0))
        print("parent", parent._process.pid, flush=True)
        parent.run(sys.argv[2:], os.environ, lambda line: print(line, end="", flush=True))
    """
    run = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "log"), *command_of(source, "train", tmp_path)],
        env=environment(tmp_path / "cache"),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert run.stdout
    begun: dict[str, int] = {}
    while len(begun) < 2:
        line = run.stdout.readline()
        assert line
        if found := re.match(r"(parent|step) (\d+)$", line):
            begun[found[1]] = int(found[2])
    run.kill()
    run.communicate()
    until = time.monotonic() + 60
    while left := [name for name, process in begun.items() if is_at_work(process)]:
        assert time.monotonic() < until, left
        time.sleep(0.1)


def is_at_work(process: int) -> bool:
    """Whether there is such a process; one that ended and that nobody waits for is none."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
