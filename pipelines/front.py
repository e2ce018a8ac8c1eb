"""What every DAG begins with: the data of a revision, checked, cleaned and split."""

from kfp.dsl import PipelineTask

from components.clean import clean
from components.data_version import data_version
from components.fetch import fetch
from components.split import split
from components.validate import validate
from pipelines.resources import never_cached


def add_front(catalog: str, revision: str, remote: str, strict: bool, min_class_count: int) -> PipelineTask:
    """Adds fetch, validate, clean and split to a DAG; the last one's `parted` is the table to train on."""
    state = never_cached(data_version(catalog=catalog, revision=revision)).set_display_name("Name the data")
    fetched = fetch(catalog=catalog, state=state.output, revision=revision, remote=remote)
    checked = validate(table=fetched.outputs["table"], strict=strict)
    cleaned = clean(
        table=fetched.outputs["table"], validation=checked.outputs["results"], min_class_count=min_class_count
    )
    return split(table=cleaned.outputs["cleaned"])
