"""One file per DAG: wiring only. `vitrine pipeline` lists, compiles and runs them."""

PIPELINES = {
    "retrain": "validate, clean, split, train attributes and categories, evaluate, promote or refuse",
    "authenticate": "validate, clean, split, train a judge of listings, evaluate, promote or refuse",
    "represent": "validate, clean, split, train features finer than the labels, evaluate, promote or refuse, index",
    "match": "validate, clean, split, train the matching of user to shop photos, evaluate, promote or refuse, index",
    "score": "ask the models in use about every photo of a catalog, and write a table for each task",
    "monitor": "validate and clean new photos, compare them with what the models learnt, retrain where they drifted",
}

TRAINS = {  # whose models each promotes
    "retrain": ("attributes", "taxonomy"),
    "authenticate": ("authenticity",),
    "represent": ("representation",),
    "match": ("matching",),
}
