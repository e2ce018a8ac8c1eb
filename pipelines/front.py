"""What every DAG begins with: the data of a revision, checked, cleaned and split."""

from kfp import dsl
from kfp.dsl import PipelineTask

from components.clean import clean
from components.data_version import data_version
from components.fetch import fetch
from components.list_shards import list_shards
from components.scan import scan
from components.split import split
from components.validate import validate
from pipelines.resources import never_cached


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
    *,
    shards: int,
    reports: str,
) -> PipelineTask:
    """Adds fetch, scan, validate, clean and split to a DAG; the last one's `parted` is the table to train on."""
    state = never_cached(data_version(catalog=catalog, revision=revision)).set_display_name("Name the data")
    fetched = fetch(catalog=catalog, state=state.output, revision=revision, remote=remote)
    table = fetched.outputs["table"]
    with dsl.ParallelFor(list_shards(shards=shards).output, name="scans") as shard:
        scanned = scan(table=table, shard=shard)
    checked = validate(table=table, photos=dsl.Collected(scanned.outputs["photos"]), strict=strict, reports=reports)
    cleaned = clean(
        table=table,
        photos=dsl.Collected(scanned.outputs["photos"]),
        validation=checked.outputs["results"],
        min_class_count=min_class_count,
        near_duplicates=near_duplicates,
        drop_views_below=drop_views_below,
    )
    return split(table=cleaned.outputs["cleaned"], ratios=ratios, measured=measured)
