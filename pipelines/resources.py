"""What tasks ask of a cluster.

What differs between clusters is a parameter of each run: the image, the secret with S3 credentials, the GPU's type and
count, the node pool, its taints, the volume for checkpoints. What belongs to a task is written here: retries, time
limit, shared memory.
"""

from kfp import kubernetes
from kfp.dsl import PipelineTask
from kfp.dsl.pipeline_channel import PipelineParameterChannel
from kfp.dsl.pipeline_context import Pipeline

from pipelines.agreed import ACCOUNT, NAMESPACE, NODE, SECRET_KEYS, TRAINING_HOURS, VOLUME_PATH
from pipelines.form import GPU, STEP_CPU, STEP_MEMORY
from pipelines.kube import NODE_NAME

CREDENTIALS = "vitrine-s3"
VOLUME = "vitrine-checkpoints"
LAST = "report-run"
STEP_REQUEST = "1Gi"  # of memory; `step_memory` is the most that a step gets
SHARED_MEMORY = "8Gi"  # counts towards the task's memory limit


def on_gpu(task: PipelineTask) -> PipelineTask:
    """A training task: GPUs of the training pool, shared memory, two retries (it resumes), a time limit.

    Each attempt is told its number, see `pipelines.attempts`.

    How many GPUs, processors and bytes, and which pool, is said by `place`.
    """
    resumed(task).set_accelerator_type(GPU)
    kubernetes.empty_dir_mount(
        task, volume_name="shared-memory", mount_path="/dev/shm", medium="Memory", size_limit=SHARED_MEMORY
    )
    kubernetes.set_timeout(task, seconds=TRAINING_HOURS * 3600)
    kubernetes.use_field_path_as_env(task, NODE, f"metadata.annotations['{NODE_NAME}']")
    return task


def resumed(task: PipelineTask) -> PipelineTask:
    """A task that goes on where it was when its pod is lost: two retries."""
    return task.set_retry(num_retries=2, backoff_duration="30s", backoff_factor=2.0, backoff_max_duration="600s")


def never_cached(task: PipelineTask) -> PipelineTask:
    """A task whose answer depends on more than its inputs."""
    return task.set_caching_options(enable_caching=False)


def calls_kubeflow(task: PipelineTask) -> PipelineTask:
    """A task that starts runs: they are to be in its pod's namespace, of its account.

    By the label a profile's PodDefault gives the pod a token for the API.
    """
    kubernetes.use_field_path_as_env(task, NAMESPACE, "metadata.namespace")
    kubernetes.use_field_path_as_env(task, ACCOUNT, "spec.serviceAccountName")
    return kubernetes.add_pod_label(task, "access-ml-pipeline", "true")


def place_steps(image: str, credentials: str, begun: PipelineTask) -> None:
    """Gives all tasks of the DAG that is being built their image and S3 credentials, and all but trainings their size.

    The last line of a DAG: a task that is added to it later cannot be forgotten. The first step says the others' size,
    and has, like the last, the default.

    Args:
        image: Of every task.
        credentials: Secret with AWS variables; it need not exist where pods have credentials of another kind.
        begun: The first step.
    """
    sizes = begun.outputs["step_cpu"], begun.outputs["step_memory"]
    for task in _tasks():
        task.set_container_image(image)
        kubernetes.use_secret_as_env(task, credentials, {key: key for key in SECRET_KEYS}, optional=True)
        if task is begun or task.name == LAST:
            task.set_cpu_request(STEP_CPU).set_memory_request(STEP_REQUEST).set_memory_limit(STEP_MEMORY)
        elif not _trains(task):
            task.set_cpu_request(sizes[0]).set_memory_request(STEP_REQUEST).set_memory_limit(sizes[1])
            _pass_on(task, *sizes)


def place(image: str, credentials: str, begun: PipelineTask, volume: str) -> None:
    """Like `place_steps`, and gives each training its GPUs, nodes, size and volume.

    Args:
        image: Of every task.
        credentials: See `place_steps`.
        begun: The first step, which says how many GPUs a training step holds (0 trains on CPUs, or on other nodes), of
            which kind, and which nodes, taints and size.
        volume: Claim of the volume that a training keeps its checkpoints on.
    """
    place_steps(image, credentials, begun)
    outputs = begun.outputs
    gpu, held, cpu, memory = (outputs[name] for name in ("gpu", "held", "train_cpu", "train_memory"))
    for task in filter(_trains, _tasks()):
        task.set_accelerator_type(gpu).set_accelerator_limit(held)
        task.set_cpu_request(cpu).set_memory_request(memory).set_memory_limit(memory)
        _pass_on(task, gpu, held, cpu, memory)
        kubernetes.add_node_selector_json(task, outputs["pool"])
        kubernetes.add_toleration_json(task, outputs["tolerations"])
        kubernetes.mount_pvc(task, volume, VOLUME_PATH)


def _pass_on(task: PipelineTask, *values: object) -> None:
    """What kfp 2.17.0 does not pass on into conditions and loops by itself: parameters of a task's resources."""
    task.register_pipeline_channels([value for value in values if isinstance(value, PipelineParameterChannel)])


def _trains(task: PipelineTask) -> bool:
    return bool(task.container_spec.resources and task.container_spec.resources.accelerator_type)


def _tasks() -> list[PipelineTask]:
    return list(Pipeline.get_default_pipeline().tasks.values())
