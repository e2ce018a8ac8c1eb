"""`vitrine pipeline submit` and `schedule`: a commit's pipelines on a cluster."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from pipelines import packages
from pipelines.check import MISSING, THERE, Finding, check
from pipelines.cluster import SINGLE_USER, Cluster, Started, Version, parse_cron, run_name, version_name
from pipelines.packages import compile_pipeline, complete, defaults, load, step_names
from vitrine.errors import InputError
from vitrine.journal import decisions, run_folder

NO_CLAIM = "-no-claim"  # ends the name of a version that has none
Tell = Callable[[str], None]


def submit(
    pipeline: str,
    image: str,
    version: str,
    title: str,
    endpoint: str,
    namespace: str,
    experiment: str,
    account: str,
    parameters: Path | None,
    overrides: tuple[str, ...],
    *,
    start: bool,
    tell: Tell,
    ui: str = "",
    claim: bool = True,
    under: str = "",
) -> tuple[Started | None, Cluster]:
    """Publishes a pipeline, and starts a run of it.

    Args:
        pipeline: Its name.
        image: Image of every step; "" for this version's.
        version: Name of the pipeline version; "" for the commit.
        title: Of the run; "" for one that says what it is about.
        endpoint: Address of the API.
        namespace: The profile's.
        experiment: Of the run.
        account: Service account of the pods.
        parameters: File of parameters.
        overrides: Parameters, `key=value`.
        start: Whether to start a run.
        tell: Takes a line for a person.
        ui: Address of the UI, for the link.
        claim: Keep checkpoints on the claim that the parameter `cluster_volume` names; see `compile_pipeline`.
        under: Name of the pipeline on the cluster; "" for its own.

    Raises:
        InputError: for an unknown pipeline or parameter, when the API cannot be reached or refuses, or when something
            is missing that no run gets on without.
    """
    given = _parameters(pipeline, parameters, overrides, image, claim=claim)
    cluster = Cluster(endpoint, namespace, ui)
    published = _publish(cluster, pipeline, image, version, tell, under, claim=claim)
    if not start:
        return None, cluster
    for finding in findings(cluster, pipeline, given, account, image, claim=claim):
        if finding.state == MISSING and finding.needed:
            raise InputError(str(finding))
        if finding.state != THERE:
            tell(f"warning: {finding}")
    started = cluster.start(published, title or run_name(pipeline, given), given, experiment, account)
    tell(f"{started.name}: {started.url}")
    return started, cluster


def follow(
    cluster: Cluster,
    started: Started,
    pipeline: str,
    parameters: Path | None,
    overrides: tuple[str, ...],
    limit: float,
    tell: Tell,
) -> bool:
    """Waits for a run, telling each step as it ends and then what the steps decided; whether it ended well.

    Args:
        cluster: Where it was started.
        started: The run.
        pipeline: Its pipeline.
        parameters: See `submit`.
        overrides: See `submit`.
        limit: Seconds to wait at most.
        tell: Takes a line for a person.

    Raises:
        InputError: if it has not ended by then.
    """
    given = {**defaults(pipeline), **packages.parameters(pipeline, overrides, parameters, lambda line: None)}
    ended = cluster.wait(started, limit, tell, steps=step_names(pipeline))
    with contextlib.suppress(InputError, OSError):  # pages that cannot be reached from here are behind the link
        for line in decisions(run_folder(str(given["out_reports"]), started.run_id)):
            tell(f"  {line}")
    return ended


def findings(
    cluster: Cluster, pipeline: str, given: Mapping[str, object], account: str, image: str, *, claim: bool
) -> Iterator[Finding]:
    """What a run of a pipeline needs, and whether it is there; see `check`."""
    parameters = {**defaults(pipeline), **given}
    parameters |= ({"cluster_image": image} if image else {}) | ({} if claim else {"cluster_volume": ""})
    service_account = account or ("default-editor" if cluster.several_users else "pipeline-runner")
    yield from check(parameters, cluster.namespace or SINGLE_USER, service_account)


def check_pipeline(
    pipeline: str,
    image: str,
    endpoint: str,
    namespace: str,
    account: str,
    parameters: Path | None,
    overrides: tuple[str, ...],
    *,
    claim: bool,
    tell: Tell,
) -> bool:
    """Says of all that a run needs whether it is there; whether nothing is missing. See `submit`."""
    given = _parameters(pipeline, parameters, overrides, image, claim=claim)
    pipelines = []
    for finding in findings(Cluster(endpoint, namespace), pipeline, given, account, image, claim=claim):
        tell(str(finding))
        pipelines.append(finding.state)
    return MISSING not in pipelines


def schedule(
    pipeline: str,
    image: str,
    version: str,
    title: str,
    cron: str,
    endpoint: str,
    namespace: str,
    experiment: str,
    account: str,
    parameters: Path | None,
    overrides: tuple[str, ...],
    *,
    off: bool,
    tell: Tell,
    ui: str = "",
    claim: bool = True,
) -> None:
    """Publishes a pipeline, and has it run by the clock; or no longer. See `submit`."""
    title = title or pipeline
    given = _parameters(pipeline, parameters, overrides, image, claim=claim)
    parse_cron(cron)
    cluster = Cluster(endpoint, namespace, ui)
    if off:
        tell(f"{title}: {cluster.unschedule(title, experiment)}")
        return
    published = _publish(cluster, pipeline, image, version, tell, claim=claim)
    done = cluster.schedule(published, title, cron, given, experiment, account)
    tell(f"{title}: {done}; {parse_cron(cron)} (seconds first, UTC), in {experiment}")


def _parameters(
    pipeline: str, path: Path | None, overrides: tuple[str, ...], image: str, *, claim: bool
) -> dict[str, object]:
    given = packages.parameters(pipeline, overrides, path)
    if not claim and "cluster_volume" in given:
        raise InputError(f"--no-claim and the parameter cluster_volume={given['cluster_volume']}: one or the other")
    if claim and given.get("cluster_volume") == "":  # on which Kubeflow's driver fails
        raise InputError(
            "cluster_volume names no claim; with --no-claim checkpoints are on the training pod's own disk"
        )
    if image and given.get("cluster_image", image) != image:
        raise InputError(f"--image {image} and the parameter cluster_image={given['cluster_image']} differ")
    whole = complete(pipeline, given)
    # Of `settings` all keys: whoever clones the run in the UI finds them in its form.
    return given | ({"settings": whole["settings"]} if "settings" in given else {})


def _publish(
    cluster: Cluster, pipeline: str, image: str, version: str, tell: Tell, under: str = "", *, claim: bool
) -> Version:
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / f"{pipeline}.yaml"
        compile_pipeline(pipeline, package, image, claim=claim)
        used = image or load(pipeline).component_spec.inputs["cluster_image"].default
        if "@sha256:" not in used:
            tell(f"note: {used} is not named by its digest; whoever replaces it changes what this version does")
        named = version or version_name(package) + ("" if claim else NO_CLAIM)
        published = cluster.publish(pipeline, package, named, under)
    tell(f"{under or pipeline}: version {published.name} {'published' if published.new else 'was published before'}")
    return published
