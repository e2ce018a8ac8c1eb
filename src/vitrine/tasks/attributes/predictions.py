"""From a net's logits to calibrated predictions of every attribute type, beside the truth."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from vitrine.data.truth import LabelTarget, attribute_truth
from vitrine.inference import probabilities
from vitrine.predictions import LabelPredictions


def label_targets(config: Mapping[str, Any], table: pd.DataFrame) -> list[LabelTarget]:
    """Each attribute type of the net: its name, the true labels of every row, the labels it can predict."""
    return [(kind, attribute_truth(table, kind), labels) for kind, labels in config["labels"].items()]


def label_predictions(
    config: Mapping[str, Any], scores: Mapping[str, np.ndarray], table: pd.DataFrame, temperatures: Mapping[str, float]
) -> list[LabelPredictions]:
    """The net's predictions, per attribute type, beside the truth."""
    asked = []
    for kind, truth, labels in label_targets(config, table):
        prior = np.asarray(config.get("priors", {}).get(kind, 0.0))
        states = probabilities(scores[kind], temperatures[kind], prior)
        asked.append(LabelPredictions(f"attr:{kind}", labels, states, states.max(axis=1), truth))
    return asked
