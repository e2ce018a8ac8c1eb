#!/usr/bin/env bash
# torch 2.15.0: a process that has imported it spends most of a second ending, and `os._exit` spares it that.
#
# Seen 2026-11-29, torch 2.15.0, torchvision 0.29.2, Python 3.11.
#
# When Python ends it looks through all objects for cycles more than once while it empties the modules. A process that
# has imported torch and torchvision has made so many objects that this takes about as long as running a short program.
# `gc.freeze()` as the last statement puts them where the collector does not look, and is no cure: nanobind, with which
# triton is bound, then reports all that it made as leaked, a page on stderr. `os._exit` after `atexit`'s functions does
# not. Looking for garbage while the packages are imported takes another fifth of a second, which a larger threshold
# spares. One would expect that ending a process which holds nothing but imported modules costs nothing to speak of.
#
# The processor time of whole processes, least of three in turns.
#
# Seen: "as it is 3.42 s, frozen at the end 2.75 s, and a threshold of 20,000 2.54 s, os._exit at the end 2.53 s", and
# "nanobind: leaked 514 functions!" among what the frozen ones say.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.15.0 torchvision==0.29.2 numpy==2.4.2
cat > "$folder/times.py" <<'PYTHON'
import os
import subprocess
import sys

IMPORTS = "import torch, torchvision"
WAYS = {
    "as it is": IMPORTS,
    "frozen at the end": f"{IMPORTS}, gc; gc.freeze()",
    "and a threshold of 20,000": f"import gc; gc.set_threshold(20_000, 10, 10); {IMPORTS}; gc.freeze()",
    "os._exit at the end": f"{IMPORTS}, os; os._exit(0)",
}


def taken(program):
    before = os.times()
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    after = os.times()
    assert ("nanobind: leaked" in done.stderr) == program.endswith("gc.freeze()"), done.stderr
    return sum(after[2:4]) - sum(before[2:4])


taken(IMPORTS)  # compiles the modules
least = {}
for _ in range(3):
    for way, program in WAYS.items():
        least[way] = min(taken(program), least.get(way, 1e9))
print(", ".join(f"{way} {seconds:.2f} s" for way, seconds in least.items()))
plain, frozen, both, without_an_end = least.values()
assert plain - frozen > 0.1 * plain, "ending is quick: torch or Python has changed"
assert frozen - both > 0, "the threshold no longer matters"
assert frozen < 1.25 * without_an_end, "freezing no longer spares the end"
PYTHON
env -u PYTHONDONTWRITEBYTECODE "$folder/venv/bin/python" "$folder/times.py"
