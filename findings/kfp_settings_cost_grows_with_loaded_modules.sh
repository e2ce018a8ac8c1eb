#!/usr/bin/env bash
# kfp 2.17.0: a pipeline in a module takes longer to be imported the more other modules are loaded.
#
# Seen 2026-11-29, kfp 2.17.0, Python 3.11.
#
# Every setter of a task (`set_cpu_limit`, `set_memory_limit`, ...) asks `inspect.stack()` for the name of the calling
# method, which only an error message would use. `inspect.stack()` looks up the module and source of every frame. Where
# the pipeline is being imported, the frames of Python's own import machinery are among them; they belong to no file, so
# for each of them, at each setting, all loaded modules are searched. One would expect a setter to store a value.
#
# A module with a pipeline of 100 settings is imported as it is, and with `inspect.stack` answering from the frames
# alone; both give the same specification. Then the same among 3,000 more modules.
#
# Seen: "as it is: 100 settings 0.67 s, without looking up sources 0.01 s, 98 times" and "among 3,000 more modules: 100
# settings 1.55 s, without looking up sources 0.01 s, 233 times".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check kfp==2.17.0
cat > "$folder/settings.py" <<'PYTHON'
from kfp import dsl


@dsl.component(base_image="python:3.11")
def nothing() -> None:
    pass


@dsl.pipeline(name="settings")
def settings() -> None:
    for _ in range(25):
        task = nothing()
        task.set_cpu_limit("1")
        task.set_memory_limit("1G")
        task.set_cpu_request("1")
        task.set_memory_request("1G")
PYTHON
cat > "$folder/look.py" <<'PYTHON'
import inspect
import sys
import time
import traceback
import types
import unittest.mock

import kfp.dsl  # before anything is timed


def frames_alone():
    return [
        inspect.FrameInfo(frame, frame.f_code.co_filename, line, frame.f_code.co_name, None, None)
        for frame, line in traceback.walk_stack(sys._getframe(1))
    ]


def timed():
    sys.modules.pop("settings", None)
    started = time.process_time()
    import settings

    return time.process_time() - started, settings.settings.pipeline_spec


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
