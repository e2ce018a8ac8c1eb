"""What the DAG costs: `vitrine pipeline run retrain`, and the same again, against its steps in one process.

    python benchmarks/dag_overhead.py [--listings 150] [--epochs 15] [--rounds 3] [--before CLONE [--python PYTHON]]

The steps' own work is theirs called one after the other in one process, which imports torch once. It and the first run
begin with nothing cached; the second run finds everything as the first left it. With `--before`, an older revision in a
folder of its own (`git worktree add CLONE REVISION`, and PYTHON of an environment that has its packages) does the same
in turns. Wall time is what a person waits; processor time is what all processes took, and depends less on what else the
machine does.
"""

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

SCRIPT = Path(__file__).resolve()
HERE = SCRIPT.parent.parent
SETTINGS = {
    "batch_size": 64,
    "image_size": 64,
    "backbone": "resnet18_narrow",
    "weights": "none",
    "learning_rate": 0.002,
    "seed": 0,
}
Times = dict[str, list[tuple[float, float]]]


def main() -> None:
    """Prints the times of each, their ratios to the steps' own work and to the build before."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--listings", type=int, default=150)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--before", type=Path, help="clone of an older revision")
    parser.add_argument("--python", type=Path, default=Path(sys.executable), help="of its environment")
    parser.add_argument("--in-process", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.in_process:
        run_in_process(options.in_process, options.epochs)
        return
    from vitrine.synth import render_catalog

    builds = {"now": (HERE, Path(sys.executable), ["allow_below_baseline=true"])}  # so that models are promoted
    if options.before:
        builds["before"] = (options.before.absolute(), options.python, [])
    times: Times = {}
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        render_catalog(home / "data", listings=options.listings)
        for turn in range(options.rounds):
            forget(home)
            this = [sys.executable, str(SCRIPT), "--in-process", str(home), "--epochs", str(options.epochs)]
            add(times, "steps in one process", this, surroundings(home, HERE))
            for name, (clone, python, own) in sorted(builds.items(), reverse=bool(turn % 2)):
                forget(home)
                known = surroundings(home, clone)
                command = [str(python), "-m", "vitrine.cli", *asked(home, options.epochs, own)]
                add(times, f"run, {name}", command, known)
                add(times, f"again, {name}", command, known)
    for line in told(times):
        print(line)


def surroundings(home: Path, clone: Path) -> dict[str, str]:
    """What a build finds: its own modules, and a cache of this benchmark's."""
    return {"VITRINE_CACHE": str(home / "cache"), "PYTHONPATH": f"{clone / 'src'}:{clone}"}


def asked(home: Path, epochs: int, further: Sequence[str]) -> list[str]:
    """The command, by the names that parameters have had from the first release on."""
    given = {"catalog": home / "data", "epochs": epochs, "student_epochs": epochs, **SETTINGS}
    pairs = [*(f"{key}={value}" for key, value in given.items()), *further]
    return ["pipeline", "run", "retrain", "--runs", str(home / "runs"), *(f"--set={pair}" for pair in pairs)]


def forget(home: Path) -> None:
    """Leaves nothing but the catalog."""
    for left in ("runs", "plain", "cache"):
        shutil.rmtree(home / left, ignore_errors=True)


def add(times: Times, name: str, command: Sequence[str], known: Mapping[str, str]) -> None:
    """Runs a command and notes how long it and the processes below it took."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    with tempfile.TemporaryDirectory() as elsewhere:  # `-m` finds what lies in the working folder first
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=os.environ | known, cwd=elsewhere)
    wall, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    times.setdefault(name, []).append((wall, busy))
    print(f"{name}: {wall:.1f} s, processor {busy:.1f} s", flush=True)


def told(times: Times) -> list[str]:
    """A row for each, and the ratios."""
    names = sorted(times)
    lines = ["| | rounds | wall time, least | median | processor time, least | median |"]
    for name in names:
        cells = [f"{pick(own):.1f} s" for own in zip(*times[name], strict=True) for pick in (min, statistics.median)]
        lines.append(f"| {name} | {len(times[name])} | {' | '.join(cells)} |")
    pairs = [("run, now", "steps in one process"), ("run, before", "steps in one process")]
    pairs += [("run, now", "run, before"), ("again, now", "again, before")]
    for one, other in pairs:
        if one in times and other in times:
            ratios = [
                pick(own) / pick(against)
                for own, against in zip(zip(*times[one], strict=True), zip(*times[other], strict=True), strict=True)
                for pick in (min, statistics.median)
            ]
            shown = "{:.2f} and {:.2f}, of processor time {:.2f} and {:.2f}".format(*ratios)
            lines.append(f"{one} / {other}: of wall time, least and median, {shown}")
    return lines


def run_in_process(home: Path, epochs: int) -> None:
    """The steps of `retrain`, without Kubeflow."""
    from vitrine.steps.data import data_state, keep_table
    from vitrine.steps.gate import compare, evaluate, promote
    from vitrine.steps.monitoring import drift_reference
    from vitrine.steps.planning import find_tasks, teachable
    from vitrine.steps.preparation import clean, split
    from vitrine.steps.scanning import scan
    from vitrine.steps.training import train
    from vitrine.steps.validation import validate

    at, data, checkpoints, registry = home / "plain", str(home / "data"), str(home / "plain/c"), str(home / "plain/r")
    at.mkdir()
    settings: dict[str, object] = {"epochs": epochs, **SETTINGS}
    data_state(data, "")
    keep_table(data, "", "", str(at / "fetched"), str(at / "summary"))
    scan(at / "fetched", at / "photos", "1/1")
    validate(at / "fetched", at / "validation", [at / "photos"])
    clean(at / "fetched", at / "cleaned", 20, photos=[at / "photos"])
    table = at / "parted"
    split(at / "cleaned", table)
    find_tasks(table)
    teachers = []
    for kind in teachable(table):
        teachers.append(at / f"teacher-{len(teachers)}")
        train("attributes", "teacher", table, teachers[-1], checkpoints, {"type": kind, **settings})
    taught = {"teachers": ",".join(map(str, teachers)), **settings}
    train("attributes", "student", table, at / "attributes", checkpoints, taught)
    train("taxonomy", "ssmtl-ca", table, at / "taxonomy", checkpoints, settings)
    for task in ("attributes", "taxonomy"):
        model, evaluation, decision, reference = at / task, at / f"e-{task}", at / f"d-{task}", at / f"r-{task}"
        evaluate(model, table, evaluation)
        compare(task, model, evaluation, table, registry, decision, 0.0, 0.05)
        drift_reference(model, table, reference)
        promote(task, model, evaluation, decision, reference, registry, str(at / "summary"))


if __name__ == "__main__":
    main()
