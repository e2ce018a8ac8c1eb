#!/usr/bin/env bash
# kfp 2.17.0: each setting of a task costs more the more modules are loaded and the deeper the call stack is
#
# Seen 2026-11-29, kfp 2.17.0, Python 3.11.
#
# Every setter of a task (`set_cpu_limit`, `set_memory_limit`, `set_retry`, ...) asks `inspect.stack()` for the name of
# the calling method, which only an error message would use. `inspect.stack()` looks up the source file and lines of all
# frames, and for frames without a known module searches all loaded modules, so that a pipeline of some fifty settings
# takes a second to be defined, and several among the modules of a test run, before anything is compiled. One would
# expect a setter to store a value.
#
# A pipeline of 100 settings is defined as it is, and with `inspect.stack` answering from the frames alone; both give the
# same specification. Then again among 3,000 more modules.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check kfp==2.17.0
cat > "$folder/look.py" <<'PYTHON'
import inspect
import sys
import time
import traceback
import types
import unittest.mock

from kfp import dsl


@dsl.component(base_image="python:3.11")
def nothing() -> None:
    pass


def frames_alone():
    return [
        inspect.FrameInfo(frame, frame.f_code.co_filename, line, frame.f_code.co_name, None, None)
        for frame, line in traceback.walk_stack(sys._getframe(1))
    ]


def defined():
    @dsl.pipeline(name="settings")
    def settings() -> None:
        for _ in range(25):
            task = nothing()
            task.set_cpu_limit("1")
            task.set_memory_limit("1G")
            task.set_cpu_request("1")
            task.set_memory_request("1G")

    return settings


def timed():
    started = time.process_time()
    made = defined()
    return time.process_time() - started, made.pipeline_spec


def both(where):
    plain, spec = min((timed() for _ in range(3)), key=lambda one: one[0])
    with unittest.mock.patch.object(inspect, "stack", frames_alone):
        quick, same = min((timed() for _ in range(3)), key=lambda one: one[0])
    assert spec == same, "another specification"
    print(f"{where}: 100 settings {plain:.2f} s, without looking up sources {quick:.2f} s, {plain / quick:.0f} times")
    return plain / quick, plain


few, seconds = both("as it is")
for number in range(3000):
    module = types.ModuleType(f"made_{number}")
    module.__file__ = f"/nowhere/made_{number}.py"
    sys.modules[module.__name__] = module
many, more = both("among 3,000 more modules")
assert few > 3, "settings are no longer slow: kfp has changed"
assert more > 1.2 * seconds, "loaded modules no longer matter"
PYTHON
"$folder/venv/bin/python" "$folder/look.py"
