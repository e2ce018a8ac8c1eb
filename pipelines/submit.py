"""`vitrine pipeline submit` and `schedule`: a commit's pipelines on a cluster."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from pipelines.cluster import Cluster, Started, Version, parse_cron, run_name, version_name
from pipelines.packages import compile_pipeline, load, parameters
from vitrine.errors import InputError

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
        under: Name of the pipeline on the cluster; "" for its own.

    Raises:
        InputError: for an unknown pipeline or parameter, or when the API cannot be reached or refuses.
    """
    given = _parameters(pipeline, parameters, overrides, image)
    cluster = Cluster(endpoint, namespace, ui)
    published = _publish(cluster, pipeline, image, version, tell, under)
    if not start:
        return None, cluster
    started = cluster.start(published, title or run_name(pipeline, given), given, experiment, account)
    tell(f"{started.name}: {started.url}")
    return started, cluster


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
) -> None:
    """Publishes a pipeline, and has it run by the clock; or no longer. See `submit`."""
    title = title or pipeline
    given = _parameters(pipeline, parameters, overrides, image)
    parse_cron(cron)
    cluster = Cluster(endpoint, namespace, ui)
    if off:
        tell(f"{title}: {cluster.unschedule(title, experiment)}")
        return
    published = _publish(cluster, pipeline, image, version, tell)
    done = cluster.schedule(published, title, cron, given, experiment, account)
    tell(f"{title}: {done}; {parse_cron(cron)} (seconds first, UTC), in {experiment}")


def _parameters(pipeline: str, path: Path | None, overrides: tuple[str, ...], image: str) -> dict[str, object]:
    given = parameters(pipeline, overrides, path)
    if image and given.get("image", image) != image:
        raise InputError(f"--image {image} and the parameter image={given['image']} differ")
    return given


def _publish(cluster: Cluster, pipeline: str, image: str, version: str, tell: Tell, under: str = "") -> Version:
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / f"{pipeline}.yaml"
        compile_pipeline(pipeline, package, image)
        used = image or load(pipeline).component_spec.inputs["image"].default
        if "@sha256:" not in used:
            tell(f"note: {used} is not named by its digest; whoever replaces it changes what this version does")
        published = cluster.publish(pipeline, package, version or version_name(package), under)
    tell(f"{under or pipeline}: version {published.name} {'published' if published.new else 'was published before'}")
    return published
