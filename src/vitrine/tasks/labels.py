"""What tasks share whose models name labels for single photos: predicting them, and writing them as JSON."""

import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from vitrine.errors import InputError
from vitrine.tasks.task import Task

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from vitrine.catalog import Catalog
    from vitrine.catalog.photos import PhotoError
    from vitrine.data.pixels import Query
    from vitrine.inference import Change
    from vitrine.predictions import LabelPredictions, PhotoPredictions, Reply

PhotoKind = TypeVar("PhotoKind", bound="PhotoPredictions")


class LabelTask(Task[PhotoKind]):
    """A task whose nets give (features, scores by name), and whose scores are probabilities of labels."""

    output = "labels"

    @abstractmethod
    def label_predictions(
        self, config: Mapping[str, Any], scores: "Mapping[str, np.ndarray]", table: "pd.DataFrame"
    ) -> "list[LabelPredictions]":
        """From raw scores, by name (photos, m), to calibrated probabilities beside the truth."""

    @abstractmethod
    def predictions(
        self,
        config: Mapping[str, Any],
        table: "pd.DataFrame",
        features: "np.ndarray",
        scores: "Mapping[str, np.ndarray]",
        seconds: float,
    ) -> PhotoKind:
        """What a net's raw scores and features come to."""

    def deciding(
        self,
        config: Mapping[str, Any],
        table: "pd.DataFrame",
        features: "np.ndarray",
        scores: "Mapping[str, np.ndarray]",
    ) -> dict[str, float]:
        """The figure that the gate decides by, of a net's raw scores; none where no row is annotated for it."""
        try:
            value = self.metrics(self.predictions(config, table, features, scores, 0.0)).get(self.decides)
        except InputError:
            return {}
        return {} if value is None or value != value else {self.decides: value}

    def predict(
        self,
        net: Any,
        config: Mapping[str, Any],
        catalog: "Catalog",
        *,
        change: "Change | None" = None,
        embeddings: bool = False,
    ) -> PhotoKind:
        """See `Task.predict`."""
        import numpy as np

        from vitrine.inference import run_net

        started = time.perf_counter()
        store = self.photos(config, catalog)
        features, scores = run_net(net, store, np.arange(len(store)), change=change)
        return self.predictions(config, catalog.table, features, scores, time.perf_counter() - started)

    def records(
        self,
        net: Any,
        config: Mapping[str, Any],
        images: Sequence[str],
        top: int = 5,
        explain: Path | None = None,
        unreadable: "dict[int, PhotoError] | None" = None,
    ) -> list[dict[str, Any]]:
        """Per target the likeliest labels and their calibrated probabilities."""
        import numpy as np
        import pandas as pd

        from vitrine.data.photo_store import PhotoStore
        from vitrine.inference import run_net

        store = PhotoStore(images, config["image_size"], unreadable=unreadable)
        _, scores = run_net(net, store, np.arange(len(store)))
        targets = self.label_predictions(config, scores, pd.DataFrame({"image": images}))
        readable = [row for row in range(len(images)) if row not in (unreadable or ())]
        records = [_record(targets, row, str(images[row]), top) for row in readable]
        if explain is not None:
            heat = scores.get("heat")
            shown = [images[row] for row in readable]
            _explain(explain, records, shown, None if heat is None else heat[readable], config["variant"])
        return records

    def constant(self, predictions: PhotoKind) -> PhotoKind:
        """See `constant_labels`."""
        from dataclasses import replace

        from vitrine.evaluation.constant import constant_labels

        return replace(predictions, targets=constant_labels(predictions.targets), separate=())

    def reply(self, net: Any, config: Mapping[str, Any], queries: "Sequence[Query]") -> "list[Reply]":
        """See `Task.reply`."""
        import numpy as np
        import pandas as pd

        from vitrine.data.pixels import Pixels
        from vitrine.inference import run_net
        from vitrine.predictions import Reply

        pixels = np.concatenate([query.pixels for query in queries])
        features, scores = run_net(net, Pixels(pixels), np.arange(len(pixels)))
        names = [name for query in queries for name in query.names]
        targets = self.label_predictions(config, scores, pd.DataFrame({"image": names}))
        replies, first = [], 0
        for query in queries:
            rows = range(first, first + len(query))
            records = [_record(targets, row, names[row], query.top) for row in rows]
            replies.append(Reply(records, features[first : first + len(query)]))
            first += len(query)
        return replies

    def confusion(self, predictions: PhotoKind) -> dict[str, Any]:
        """See `classification_artifacts`."""
        from vitrine.evaluation.report import classification_artifacts

        return classification_artifacts(predictions)

    def examples(self, predictions: PhotoKind, rows: "Catalog", count: int) -> list[dict[str, object]]:
        """See `label_examples`."""
        from vitrine.evaluation.report import label_examples

        return label_examples(predictions, rows, count)


def _record(targets: "Sequence[LabelPredictions]", row: int, image: str, top: int) -> dict[str, Any]:
    """One photo's predictions: the likeliest labels of each target and their calibrated probabilities."""
    record: dict[str, Any] = {"image": image}
    for target in targets:
        best = (-target.scores[row]).argsort(kind="stable")[:top]
        record[target.name] = [
            {"label": target.labels[i], "confidence": round(float(target.scores[row, i]), 4)} for i in best
        ]
    return record


def _explain(
    out: Path, records: Sequence[dict[str, Any]], images: Sequence[str], heat: "np.ndarray | None", variant: str
) -> None:
    from vitrine.data.heat import shaded, spread
    from vitrine.files import new_folder

    if heat is None:
        raise InputError(f"{variant} has no saliency map; the salient-sensitive variants (ss...) have")
    with new_folder(out) as folder:
        for place, (record, image, where) in enumerate(zip(records, images, heat, strict=True)):
            name = f"{place:04}-{Path(str(image)).stem}.png"
            shaded(str(image), spread(where), 256).save(folder / name)
            record["heat_map"] = str(Path(out) / name)
