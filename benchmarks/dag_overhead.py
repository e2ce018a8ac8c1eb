"""What the DAG costs: `vitrine pipeline run retrain` against the same steps called one after the other in one process.

    python benchmarks/dag_overhead.py [--listings 150] [--epochs 15] [--rounds 3]

Both begin with nothing cached. The in-process side imports torch once; the DAG's steps are 29 processes, two teachers
at a time. What they cost is a constant: the longer the trainings, the nearer to 1 the ratio.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SETTINGS = {
    "batch_size": 64,
    "image_size": 64,
    "backbone": "resnet18_narrow",
    "weights": "none",
    "learning_rate": 0.002,
    "seed": 0,
}


def main() -> None:
    """Prints both times of every round, their medians and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--listings", type=int, default=150)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--in-process", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.in_process:
        run_in_process(options.in_process, options.epochs)
        return
    from vitrine.synth import render_catalog

    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        render_catalog(home / "data", listings=options.listings)
        plain, dag = [], []
        for _ in range(options.rounds):
            this = [sys.executable, __file__, "--in-process", str(home), "--epochs", str(options.epochs)]
            plain.append(timed(this, home))
            run = [sys.executable, "-m", "vitrine.cli", "pipeline", "run", "retrain", "--runs", str(home / "runs")]
            run += ["--set", f"data_catalog={home / 'data'}", "--set", f"train_epochs={options.epochs}"]
            run += ["--set", f"student_epochs={options.epochs}"]
            dag.append(timed(run, home))
            print(f"in one process {plain[-1]:.1f} s, as a DAG {dag[-1]:.1f} s", flush=True)
        ratio = statistics.median(dag) / statistics.median(plain)
        print(f"median {statistics.median(plain):.1f} s and {statistics.median(dag):.1f} s, ratio {ratio:.2f}")


def timed(command: list[str], home: Path) -> float:
    """Wall time of a command that starts with nothing cached."""
    for left in ("runs", "plain", "cache"):
        shutil.rmtree(home / left, ignore_errors=True)
    started = time.monotonic()
    environment = {**os.environ, "VITRINE_CACHE": str(home / "cache")}
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    return time.monotonic() - started


def run_in_process(home: Path, epochs: int) -> None:
    """The steps of `retrain`, without Kubeflow."""
    from vitrine import steps

    at, data, checkpoints, registry = home / "plain", str(home / "data"), str(home / "plain/c"), str(home / "plain/r")
    at.mkdir()
    settings: dict[str, object] = {"epochs": epochs, **SETTINGS}
    steps.data_state(data, "")
    steps.keep_table(data, "", "", str(at / "fetched"), str(at / "summary"))
    steps.scan(at / "fetched", at / "photos", "1/1")
    steps.validate(at / "fetched", at / "validation", [at / "photos"])
    steps.clean(at / "fetched", at / "cleaned", 20, photos=[at / "photos"])
    table = at / "parted"
    steps.split(at / "cleaned", table)
    steps.find_tasks(table)
    teachers = []
    for kind in steps.teachable(table):
        teachers.append(at / f"teacher-{len(teachers)}")
        steps.train("attributes", "teacher", table, teachers[-1], checkpoints, {"type": kind, **settings})
    taught = {"teachers": ",".join(map(str, teachers)), **settings}
    steps.train("attributes", "student", table, at / "attributes", checkpoints, taught)
    steps.train("taxonomy", "ssmtl-ca", table, at / "taxonomy", checkpoints, settings)
    for task in ("attributes", "taxonomy"):
        model, evaluation, decision, reference = at / task, at / f"e-{task}", at / f"d-{task}", at / f"r-{task}"
        steps.evaluate(model, table, evaluation)
        steps.compare(task, model, evaluation, table, registry, decision, 0.0, 0.05)
        steps.drift_reference(model, table, reference)
        steps.promote(task, model, evaluation, decision, reference, registry, str(at / "summary"))


if __name__ == "__main__":
    main()
