"""What tasks ask of a cluster."""

from kfp import kubernetes
from kfp.dsl import PipelineTask

TRAINING_HOURS = 24


def on_gpu(task: PipelineTask) -> PipelineTask:
    """A training task: one GPU of the training pool, shared memory, two retries (it resumes), a time limit."""
    task.set_accelerator_type("nvidia.com/gpu").set_accelerator_limit(1)
    task.set_cpu_request("4").set_memory_request("16Gi").set_memory_limit("32Gi")
    task.set_retry(num_retries=2, backoff_duration="30s", backoff_factor=2.0)
    kubernetes.add_node_selector(task, "vitrine/pool", "gpu")
    kubernetes.add_toleration(task, key="nvidia.com/gpu", operator="Exists", effect="NoSchedule")
    kubernetes.empty_dir_mount(task, volume_name="shared-memory", mount_path="/dev/shm", medium="Memory")
    kubernetes.set_timeout(task, seconds=TRAINING_HOURS * 3600)
    return task


def never_cached(task: PipelineTask) -> PipelineTask:
    """A task whose answer depends on more than its inputs."""
    return task.set_caching_options(enable_caching=False)
