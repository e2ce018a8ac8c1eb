"""What every DAG begins with: the data of a revision, checked, cleaned and split."""

from collections.abc import Mapping
from typing import Any

from kfp import dsl
from kfp.dsl import PipelineTask

from components.clean import clean
from components.clean_and_split import clean_and_split
from components.plan import plan
from components.scan import scan
from components.start import start
from components.validate import validate
from pipelines.resources import never_cached


def add_front(pipeline: str, history: str, **asked: Any) -> tuple[PipelineTask, PipelineTask, PipelineTask]:
    """Adds start, scan, validate and clean to a DAG; validating and cleaning do not wait for each other.

    Args:
        pipeline: Its name.
        history: Where the last validation is kept.
        asked: What `start` takes beside.

    Returns:
        The task that says what the run works with, the one whose `results` are of the data's quality, and the one whose
        `cleaned`, and but for `monitor` `parted`, is the table.
    """
    begun = never_cached(start(pipeline=pipeline, run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER, **asked))
    table = begun.set_display_name("Fetch the data").outputs["table"]
    with dsl.ParallelFor(begun.outputs["shards"], name="scans") as shard:
        scanned = scan(table=table, shard=shard).set_display_name("Look at the photos")
    photos = dsl.Collected(scanned.outputs["photos"])
    places = {"reports": history, "quality": begun.outputs["quality"]}
    checked = validate(table=table, photos=photos, **places).set_display_name("Validate")
    inputs = {"table": table, "photos": dsl.Collected(scanned.outputs["photos"]), "cleaning": begun.outputs["cleaning"]}
    if pipeline == "monitor":
        return begun, checked, clean(**inputs).set_display_name("Clean")
    return begun, checked, clean_and_split(**inputs).set_display_name("Clean and split")


def add_plan(
    pipeline: str, begun: PipelineTask, checked: PipelineTask, parted: PipelineTask, **asked: Any
) -> PipelineTask:
    """Adds the task that finds what can be trained, and a node for it; all trainings come after it."""
    inputs: Mapping[str, Any] = {"table": parted.outputs["parted"], "results": checked.outputs["results"]}
    settings = begun.outputs["settings"]
    planned = plan(pipeline=pipeline, settings=settings, run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER, **inputs, **asked)
    return never_cached(planned).set_display_name("Find what can be trained")
