"""Vitrine: a marketplace's product photos into trained, evaluated, promoted models.

    import vitrine

    model = vitrine.load("s3://bucket/registry/champion/TASK")
    model.predict(["shirt.jpg", Image.open("shoe.png"), pixels])     # a DataFrame
    vitrine.search("index", "shirt.jpg", k=10)                       # of the products that look like it

What is named here is loaded when it is first asked for, so that `import vitrine` by itself costs next to nothing.
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vitrine.api import Predictor as Predictor
    from vitrine.api import load as load
    from vitrine.api import search as search
    from vitrine.catalog import Catalog as Catalog
    from vitrine.catalog import read_catalog as read_catalog
    from vitrine.errors import InputError as InputError

__version__ = "0.1.0"

PLACES = {  # of what is offered to Python
    "Catalog": "vitrine.catalog",
    "InputError": "vitrine.errors",
    "Predictor": "vitrine.api",
    "load": "vitrine.api",
    "read_catalog": "vitrine.catalog",
    "search": "vitrine.api",
}
__all__ = ["Catalog", "InputError", "Predictor", "__version__", "load", "read_catalog", "search"]

# OpenMP's threads spin while they wait. On a machine that also does something else (decoding, a second training)
# that cost a factor of 14 here (docs/decisions.md); sleeping costs nothing measurable. Read when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def __getattr__(name: str) -> Any:
    if name not in PLACES:
        raise AttributeError(f"module 'vitrine' has no attribute {name!r}")
    value = getattr(importlib.import_module(PLACES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
