"""What every DAG begins with: the data of a revision, checked, cleaned and split."""

from kfp import dsl
from kfp.dsl import PipelineTask

from components.check_quality import check_quality
from components.clean import clean
from components.data_version import data_version
from components.fetch import fetch
from components.list_shards import list_shards
from components.scan import scan
from components.split import split
from components.validate import validate
from pipelines.resources import never_cached


def add_cleaned(
    catalog: str,
    revision: str,
    remote: str,
    strict: bool,
    min_class_count: int,
    near_duplicates: bool = True,
    drop_views_below: int = 0,
    *,
    shards: int,
    reports: str,
    history: str,
) -> tuple[PipelineTask, PipelineTask]:
    """Adds fetch, scan, validate, check and clean to a DAG.

    Args:
        catalog: See the DAGs, as for what is not described here.
        revision: Of the data.
        remote: Of DVC.
        strict: Stop where rules of severity error are broken.
        min_class_count: Photos a class needs.
        near_duplicates: Drop near copies.
        drop_views_below: Photos a listing needs.
        shards: Pods that scan.
        reports: Where the run's pages go.
        history: Where the last validation is kept.

    Returns:
        The task whose output names the state of the data, and the one whose `cleaned` is the table.
    """
    state = never_cached(data_version(catalog=catalog, revision=revision)).set_display_name("Name the data")
    fetched = fetch(catalog=catalog, state=state.output, revision=revision, remote=remote)
    fetched.set_display_name("Fetch the data")
    table = fetched.outputs["table"]
    parts = list_shards(shards=shards).set_display_name("Share out the photos")
    with dsl.ParallelFor(parts.output, name="scans") as shard:
        scanned = scan(table=table, shard=shard).set_display_name("Look at the photos")
    checked = validate(table=table, photos=dsl.Collected(scanned.outputs["photos"]), reports=history)
    results = checked.set_display_name("Validate").outputs["results"]
    passed = never_cached(
        check_quality(results=results, strict=strict, reports=reports, run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER)
    ).set_display_name("Stop if strict")
    cleaned = clean(
        table=table,
        photos=dsl.Collected(scanned.outputs["photos"]),
        validation=results,
        min_class_count=min_class_count,
        near_duplicates=near_duplicates,
        drop_views_below=drop_views_below,
    )
    return state, cleaned.set_display_name("Clean").after(passed)


def add_front(
    catalog: str,
    revision: str,
    remote: str,
    strict: bool,
    min_class_count: int,
    near_duplicates: bool = True,
    drop_views_below: int = 0,
    ratios: str = "0.7,0.1,0.2",
    measured: str = "",
    gallery: bool = False,
    *,
    shards: int,
    reports: str,
) -> PipelineTask:
    """Adds fetch, scan, validate, check, clean and split to a DAG; the last one's `parted` is the table to train on."""
    _, cleaned = add_cleaned(
        catalog,
        revision,
        remote,
        strict,
        min_class_count,
        near_duplicates,
        drop_views_below,
        shards=shards,
        reports=reports,
        history=reports,
    )
    parted = split(table=cleaned.outputs["cleaned"], ratios=ratios, measured=measured, gallery=gallery)
    return parted.set_display_name("Split")
