"""The systems by name, and what config.json says about one."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from vitrine.catalog import Catalog
from vitrine.data.bags import bags_of
from vitrine.errors import InputError
from vitrine.tasks.authenticity import mi_nets
from vitrine.tasks.authenticity.bilinear import BilinearNet
from vitrine.tasks.authenticity.deep_miml import DeepMimlNet
from vitrine.tasks.authenticity.listings import could_be_judged
from vitrine.tasks.authenticity.ma_cnn import MaCnnNet
from vitrine.tasks.authenticity.mi_cnn import MiCnnNet
from vitrine.tasks.authenticity.mil_attention import MilAttentionNet
from vitrine.tasks.authenticity.net import LABELS, ListingNet
from vitrine.tasks.authenticity.settings import AuthenticitySettings
from vitrine.tasks.authenticity.single_photos import CnnNet, ViewNets
from vitrine.tasks.authenticity.ssa import SsaNet

SYSTEMS: dict[str, type[ListingNet]] = {
    "ssa": SsaNet,
    "ssa-max": SsaNet,
    "ssa-mean": SsaNet,
    "cnn": CnnNet,
    "ms-cnn": ViewNets,
    "ms-bilinear": ViewNets,
    "deepmiml": DeepMimlNet,
    "mi-cnn": MiCnnNet,
    "mi-net-instance": mi_nets.InstanceSpace,
    "mi-net": mi_nets.EmbeddedSpace,
    "mi-net-ds": mi_nets.DeepSupervision,
    "mi-net-rc": mi_nets.ResidualConnections,
    "mil-att": MilAttentionNet,
    "bilinear": BilinearNet,
    "ma-cnn": MaCnnNet,
}
VARIANTS = tuple(SYSTEMS)
MIN_VIEW_PHOTOS = 20  # a view needs so many decided training photos for a net of its own


def describe(catalog: Catalog, settings: AuthenticitySettings) -> dict[str, Any]:
    """What config.json says about a system beyond the settings that every task has.

    Raises:
        InputError: if the training listings do not hold both verdicts, or a listing is unusable (see `bags_of`).
    """
    bags = could_be_judged([bag for bag in bags_of(catalog.table) if bag.split == "train"], catalog.table)
    verdicts = {bag.verdict for bag in bags if bag.verdict}
    if len(verdicts) < 2:
        what = f"one verdict ({verdicts.pop()!r})" if verdicts else "no verdict"
        raise InputError(
            f"{catalog.address}: verdict: there is {what} among training listings; there is nothing to learn"
        )
    counts = Counter(view for bag in bags if bag.verdict for view in bag.views if view)
    views = sorted(view for view, count in counts.items() if count >= MIN_VIEW_PHOTOS)
    return {
        "labels": list(LABELS),
        "views": views,
        "viewless": any(view not in views for bag in bags for view in bag.views),
        "attention": settings.attention,
        "hidden": settings.hidden,
    }


def build(config: Mapping[str, Any], weights: str = "none") -> ListingNet:
    """The net a config describes, with fresh (or published) weights."""
    return SYSTEMS[config["variant"]](config, weights)
