from google.protobuf import json_format
from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec

from pipelines.local import share_cores
from pipelines.packages import load


def threads(spec: PipelineSpec) -> dict[str, str]:
    executors = json_format.MessageToDict(spec.deployment_spec)["executors"]
    return {name: own["container"]["env"][0]["value"] for name, own in executors.items() if "env" in own["container"]}


def copy_of(name: str) -> PipelineSpec:
    spec = PipelineSpec()
    spec.CopyFrom(load(name).pipeline_spec)
    return spec


def test_only_steps_of_loops_share_the_machine() -> None:
    spec = copy_of("retrain")
    share_cores(spec, 8)
    assert threads(spec) == {"exec-scan": "4", "exec-train": "4"}


def test_one_core_is_a_thread_each() -> None:
    spec = copy_of("authenticate")
    share_cores(spec, 1)
    assert threads(spec) == {"exec-scan": "1"}
