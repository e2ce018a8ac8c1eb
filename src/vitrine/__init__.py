"""Vitrine: a marketplace's product photos into trained, evaluated, promoted models."""

import os

__version__ = "0.1.0"

# OpenMP's threads spin while they wait. On a machine that also does something else (decoding, a second training)
# that cost a factor of 14 here (docs/decisions.md); sleeping costs nothing measurable. Read when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
