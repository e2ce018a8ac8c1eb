"""KFP step: how the photos are divided among scanning pods."""

from kfp.dsl import component

from components import IMAGE


@component(base_image=IMAGE, install_kfp_package=False)
def list_shards(shards: int = 1) -> list[str]:
    """Names the shards of the photos: 1/4, 2/4 ...

    Args:
        shards: Into how many the photos are divided.

    Returns:
        One name per shard.
    """
    from vitrine import steps

    return steps.shard_names(shards)
