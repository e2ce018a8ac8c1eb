"""One file per DAG: wiring only. `vitrine pipeline` lists, compiles and runs them."""

import os


def _import_kfp_alone() -> None:
    """Loads kfp without its client, which brings a thousand modules of Kubernetes' API and of which `cluster` asks."""
    name = "_KFP_RUNTIME"
    before = os.environ.get(name)
    os.environ[name] = "true"
    try:
        import kfp  # noqa: F401
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


_import_kfp_alone()

PIPELINES = {
    "retrain": "validate, clean, split, train attributes and categories, evaluate, promote or refuse",
    "authenticate": "validate, clean, split, train a judge of listings, evaluate, promote or refuse",
    "represent": "validate, clean, split, train features finer than the labels, evaluate, promote or refuse, index",
    "match": "validate, clean, split, train the matching of user to shop photos, evaluate, promote or refuse, index",
    "monitor": "validate and clean new photos, compare them with what the models learnt, retrain where they drifted",
}

TRAINS = {  # whose models each promotes
    "retrain": ("attributes", "taxonomy"),
    "authenticate": ("authenticity",),
    "represent": ("representation",),
    "match": ("matching",),
}
