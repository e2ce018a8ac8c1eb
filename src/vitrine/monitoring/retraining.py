"""At most one retraining at a time, and one for each state of the data, however many monitors ask for it.

What a retraining would learn from counts too: of data that a model in use was trained on it would make the same model.

`retraining.json` below the registry lists the retrainings that drift started, newest last. A monitor that wants one
first adds a claim to the list in one compare-and-swap, so that of two at once only one does; then it starts the run
and writes down which. A monitor that died in between leaves a claim without a run; it gives way after `CLAIM_LASTS`.
"""

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta

from vitrine import files
from vitrine.errors import InputError
from vitrine.registry import pointer
from vitrine.untrusted import parse_json

FILE = "retraining.json"
CLAIM_LASTS = timedelta(minutes=15)
REPEATS = 2  # of a retraining that failed
KEPT = 500  # entries
ATTEMPTS = 20  # of writing down a run while others write


@dataclass(frozen=True)
class Retraining:
    """One retraining that drift asked for.

    Attributes:
        state: The state of the data that drifted.
        reason: What had moved.
        monitor: The monitor's run.
        at: When it was claimed, UTC, ISO 8601.
        run: The run that was started; "" while it is only claimed.
        data: Version of the data that it trains on; "" if nobody could tell.
    """

    state: str
    reason: str
    monitor: str
    at: str
    run: str = ""
    data: str = ""


@dataclass(frozen=True)
class Request:
    """What became of asking for a retraining.

    Attributes:
        started: Whether a run was started.
        reason: Why, or why not.
        known: The data that it would train on were learnt from before.
    """

    started: bool
    reason: str
    known: bool = False


def request(
    registry: str,
    state: str,
    reason: str,
    monitor: str,
    start: Callable[[], str] | None,
    busy: Callable[[], str],
    now: datetime | None = None,
    failed: Callable[[str], bool] = lambda run: False,
    data: str = "",
    learnt: Collection[str] = (),
) -> Request:
    """Starts a retraining, unless one was started for this state of the data or another is still going.

    Nor is one started on data that were learnt from before. A retraining that failed is asked for again, at most
    `REPEATS` times: what fails so often fails again, on a GPU.

    Args:
        registry: Folder or `s3://` prefix of the model registry.
        state: The state of the data that drifted.
        reason: What has moved.
        monitor: The run that asks.
        start: Starts the run and returns its name; None where there is no cluster.
        busy: Names a retraining that is still going, whoever started it; "" if there is none.
        now: For tests.
        failed: Whether a run ended without success.
        data: Version of the data that the retraining would train on; "" starts it whatever was learnt.
        learnt: Versions of the data that the models in use were trained on.

    Raises:
        InputError: if the list cannot be read or written, or the run cannot be started (the claim is then taken back).
    """
    uri = files.join(files.absolute(registry), FILE)
    now = now or datetime.now(UTC)
    earlier, tag = _read(uri)
    if refusal := _done(earlier, state, data, learnt, failed):
        return refusal
    if start is None:
        return Request(False, "a retraining is due; no Kubeflow endpoint is given, so start it by hand.")
    for other in earlier:
        # Either way: a claim of a clock that was ahead would else hold until that time has come.
        if not other.run and abs(now - datetime.fromisoformat(other.at)) < CLAIM_LASTS:
            return Request(False, f"monitor {other.monitor} is starting a retraining at this moment.")
    if going := busy():
        return Request(False, f"retraining run {going} is still going; the next monitor decides.")
    claim = Retraining(state, reason, monitor, now.isoformat(timespec="seconds"), data=data)
    kept = [other for other in earlier if other.run][-KEPT:]
    try:
        pointer.replace(uri, _json([*kept, claim]), tag)
    except pointer.ChangedError:
        return Request(False, "another monitor is starting a retraining at this moment.")
    try:
        run = start()
    except BaseException:
        _change(uri, claim, None)
        raise
    _change(uri, claim, replace(claim, run=run))
    return Request(True, f"started run {run}.")


def _done(
    earlier: Sequence[Retraining], state: str, data: str, learnt: Collection[str], failed: Callable[[str], bool]
) -> Request | None:
    """Why there is nothing to start, by what was done before."""
    if data and data in learnt:
        return Request(False, f"the models in use learnt from this data already (version {data}).", known=True)
    runs = [entry.run for entry in earlier if entry.run and entry.state == state]
    if runs and not failed(runs[-1]):
        return Request(False, f"this state of the data was retrained on before, by run {runs[-1]}.")
    if len(runs) > REPEATS:
        return Request(False, f"{len(runs)} retrainings on this state of the data failed, the last is run {runs[-1]}.")
    same = [entry.run for entry in earlier if entry.run and data and entry.data == data and entry.state != state]
    if same and not failed(same[-1]):
        return Request(False, f"run {same[-1]} learnt from this data before (version {data}).", known=True)
    return None


def retrainings(registry: str) -> list[Retraining]:
    """Those that drift started, oldest first."""
    return [entry for entry in _read(files.join(files.absolute(registry), FILE))[0] if entry.run]


def _change(uri: str, claim: Retraining, by: Retraining | None) -> None:
    """Replaces a claim, whatever others wrote meanwhile."""
    for _ in range(ATTEMPTS):
        earlier, tag = _read(uri)
        others = [entry for entry in earlier if entry != claim]
        try:
            pointer.replace(uri, _json([*others, by] if by else others), tag)
        except pointer.ChangedError:
            continue
        return
    raise InputError(f"{uri}: changed {ATTEMPTS} times while a retraining was being written down")


def _read(uri: str) -> tuple[list[Retraining], str]:
    data, tag = pointer.read(uri)
    try:
        return [Retraining(**entry) for entry in parse_json(data or b"[]")], tag
    except (ValueError, TypeError) as error:
        raise InputError(f"{uri}: does not list retrainings ({error})") from error


def _json(entries: list[Retraining]) -> bytes:
    return (json.dumps([asdict(entry) for entry in entries], indent=1, ensure_ascii=False) + "\n").encode()
