"""Asking for a retraining from inside a step.

In a process of its own: what a component's process has of kfp is cut down to what executors need, without the client
and the compiler.
"""

import json
import os
import subprocess
import sys
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from vitrine.errors import InputError

CUT_DOWN = "_KFP_RUNTIME"


def ask(drift: Path, **asked: Any) -> str:
    """Starts a retraining if none is going and none was started for this state of the data.

    Args:
        drift: What `detect_drift` wrote.
        asked: What `answer` takes.

    Returns:
        What became of it.

    Raises:
        InputError: if the API or the registry refuses.
    """
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.on_drift"],
        input=json.dumps({"drift": str(drift), **asked}),
        env={name: value for name, value in os.environ.items() if name != CUT_DOWN},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 2:
        raise InputError(done.stderr.strip().splitlines()[-1])
    if done.returncode:
        raise RuntimeError(done.stderr)
    *lines, decision = done.stdout.strip().split("\n")
    print("\n".join(lines), flush=True)
    return decision


def answer(
    drift: str,
    state: str,
    registry: str,
    reports: str,
    run_id: str,
    pipeline: str,
    parameters: dict[str, Any],
    endpoint: str,
    namespace: str,
    experiment: str,
    unchanged: bool = False,
    lost_minutes: int = 60,
) -> str:
    """See the component `request_retraining`."""
    from pipelines import TRAINS
    from pipelines.cluster import Cluster, retraining
    from pipelines.packages import defaults, renamed
    from vitrine.steps import monitoring

    parameters = renamed(pipeline, parameters)
    given = defaults(pipeline) | parameters
    data = "" if unchanged else monitoring.learns_from(str(given["data_catalog"]), str(given["data_revision"]))
    asked = partial(monitoring.request_retraining, Path(drift), state, registry, reports, run_id)
    context: dict[str, Any] = {"data": data, "trained": TRAINS.get(pipeline, ())}
    if not endpoint:
        return asked(None, lambda: "", **context)
    cluster, lost = Cluster(endpoint, namespace), timedelta(minutes=lost_minutes)
    return asked(
        retraining(cluster, pipeline, parameters, state, experiment),
        lambda: cluster.going(pipeline, lost),
        lambda run: cluster.failed(run, lost),
        **context,
    )


if __name__ == "__main__":
    try:
        print(answer(**json.loads(sys.stdin.read())))
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
