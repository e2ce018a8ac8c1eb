"""What every DAG ends with: evaluate, pass the gate, promote or refuse."""

from collections.abc import Mapping
from typing import Any

from kfp import dsl
from kfp.dsl import PipelineTask

from components.build_index import build_index
from components.compare import compare
from components.drift_reference import drift_reference
from components.evaluate import evaluate
from components.promote import promote
from components.refuse import refuse
from pipelines.resources import KEEP, never_cached


def add_gate(
    task: str,
    trained: PipelineTask,
    parted: PipelineTask,
    registry: str,
    reports: str,
    min_gain: float,
    max_drop: float,
    keep: int = KEEP,
    model_registry: str = "",
    *,
    indexed: bool = False,
    only_compare: bool = False,
    allow_below_baseline: bool = False,
) -> None:
    """Adds the tasks that decide what becomes of a trained model; `indexed`: and that index the catalog afterwards."""
    model, table = trained.outputs["model"], parted.outputs["parted"]
    evaluated = evaluate(model=model, table=table).set_display_name(f"Evaluate {task}")
    gate = never_cached(
        compare(
            task=task,
            model=model,
            evaluation=evaluated.outputs["evaluation"],
            table=table,
            registry=registry,
            min_gain=min_gain,
            max_drop=max_drop,
            only_compare=only_compare,
            allow_below_baseline=allow_below_baseline,
        )
    ).set_display_name(f"Gate {task}")
    known = {
        "task": task,
        "evaluation": evaluated.outputs["evaluation"],
        "decision": gate.outputs["decision"],
        "registry": registry,
        "reports": reports,
        "run_id": dsl.PIPELINE_JOB_ID_PLACEHOLDER,
    }
    with dsl.If(gate.outputs["Output"] == "promote", name=f"promote-{task}"):
        reference = drift_reference(model=model, table=table).set_display_name(f"Drift reference {task}")
        stored = {"reference": reference.outputs["reference"], "keep": keep, "model_registry": model_registry}
        promoted = never_cached(promote(model=model, **stored, **known)).set_display_name(f"Promote {task}")
        if indexed:  # not of the candidate but of the model in use, on either side
            _add_index(table, known).after(promoted)
    with dsl.Else(name=f"refuse-{task}"):
        refused = never_cached(refuse(**known)).set_display_name(f"Refuse {task}")
        if indexed:
            _add_index(table, known).after(refused)


def _add_index(table: Any, known: Mapping[str, Any]) -> PipelineTask:
    asked = {name: value for name, value in known.items() if name != "evaluation"}
    return never_cached(build_index(table=table, **asked)).set_display_name(f"Index {known['task']}")
