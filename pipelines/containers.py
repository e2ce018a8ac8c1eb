"""Running a compiled package on this machine with every step in a container, as confined as on a cluster."""

import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from kfp import components, local

from pipelines.packages import compile_pipeline, load
from pipelines.stages import ANEW
from vitrine.errors import InputError
from vitrine.files import is_s3
from vitrine.words import comma_separated

PLACEHOLDER = "{{$.inputs.parameters['pipelinechannel--cluster_image']}}"
IMAGE_USER = 10001  # of Containerfile
READ = ("data_catalog", "data_remote", "rules", "suite")
CATALOGS = ("unlabelled", "background")  # settings that name some, comma separated
WRITTEN = ("out_registry", "checkpoints", "out_reports", "out_scores")
PASSED = ("OMP_NUM_THREADS", "VITRINE_REVISION", ANEW)  # beside AWS_...


def in_containers(
    name: str, arguments: Mapping[str, Any], runs: Path, photos: Iterable[str] = ()
) -> tuple[Any, local.DockerRunner]:
    """A pipeline's compiled package, ready to be called, and the runner of its steps.

    Steps run as whoever starts them, or as the image's own user if that is root; with a read-only root file system,
    memory at /tmp and /dev/shm, no capabilities, and the folders of the arguments mounted where they are.

    Args:
        name: The pipeline.
        arguments: Of the run; local paths are absolute.
        runs: Where artifacts are.
        photos: Folders of photos that catalogs name and that lie elsewhere, and prefixes.

    Raises:
        InputError: if no engine answers, or it has no such image and cannot pull it.
    """
    image = str(arguments.get("cluster_image") or load(name).component_spec.inputs["cluster_image"].default)
    _check_engine(image)
    user = os.getuid() or IMAGE_USER
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / f"{name}.yaml"
        compile_pipeline(name, package)
        # kfp.local 2.17.0 takes the image as it stands, without looking for parameters in it.
        text = package.read_text(encoding="utf-8").replace(PLACEHOLDER.replace("'", "''"), image)
    runner = local.DockerRunner(
        user=f"{user}:{os.getgid() or IMAGE_USER}",
        read_only=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        tmpfs={"/tmp": "rw,nosuid,nodev,mode=1777"},
        shm_size="1g",
        network_mode="host",  # S3 may be a server on this machine
        environment=_environment(),
        mounts=_mounts(arguments, runs, user, photos),
    )
    return components.load_component_from_text(text), runner


def _check_engine(image: str) -> None:
    import docker
    from docker.errors import DockerException, NotFound

    try:
        client = docker.from_env()
        try:
            client.images.get(image)
        except NotFound:
            client.images.pull(image)
        finally:
            client.close()
    except DockerException as error:
        reason = " ".join(str(error).split())
        raise InputError(f"--runner docker: {image} cannot be used ({reason[:200]}); `make image` builds it") from error


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("AWS_") or name in PASSED}


def local_weights(asked: str) -> str:
    """The file on this machine that a setting `weights` names, "" if it names something else."""
    path = asked.partition("#sha256=")[0]
    return "" if path in ("", "auto", "imagenet", "none") or "://" in path else path


def _mounts(arguments: Mapping[str, Any], runs: Path, user: int, photos: Iterable[str] = ()) -> list[Any]:
    """Catalogs, photos, DVC's remote and weights to read; registry, checkpoints and reports to write."""
    from docker.types import Mount

    mounts: list[Any] = []
    given = {**arguments, **arguments.get("settings", {})}
    further = [path for key in CATALOGS for path in comma_separated(str(given.get(key) or ""))]
    further += [local_weights(str(given.get("weights") or ""))]
    further += [path for path in sorted(photos) if Path(path).is_dir()]  # of one that is gone the steps tell more
    places = [(key, str(given.get(key) or "")) for key in (*WRITTEN, *READ)]  # a folder of both kinds is to be written
    for key, path in [*places, *((READ[0], path) for path in further)]:
        if not path.strip("/") or is_s3(path):
            continue
        folder = path.rstrip("/")
        if "%" in path:  # the part that is the same for every period
            folder = path.partition("%")[0].rpartition("/")[0]
        elif path.endswith(".dvc"):
            folder = str(Path(path).parent)
        if any(folder == mount["Target"] for mount in mounts):
            continue
        if key in WRITTEN:
            Path(folder).mkdir(parents=True, exist_ok=True)
            _give(Path(folder), user)
        mounts.append(Mount(folder, folder, type="bind", read_only=key in READ))
    _give(runs / "artifacts", user)
    return mounts


def _give(folder: Path, user: int) -> None:
    if os.getuid() == 0:
        os.chown(folder, user, user)
