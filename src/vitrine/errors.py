"""The exceptions that a user's own input, or what it names, can cause."""

from collections.abc import Iterable


class InputError(ValueError):
    """Unusable input or arguments. The message is one line that says what and where.

    The command line prints it on stderr and exits with code 2.
    """


class PassingError(InputError):
    """Something that may be otherwise a little later, such as a store that does not answer: worth another try."""


MEANT = {  # what other programs call a setting -> ours
    "lr": "learning_rate",
    "max_lr": "learning_rate",
    "eta": "learning_rate",
    "step_size": "learning_rate",
    "bs": "batch_size",
    "batch": "batch_size",
    "minibatch": "batch_size",
    "num_epochs": "epochs",
    "n_epochs": "epochs",
    "max_epochs": "epochs",
    "iterations": "epochs",
    "passes": "epochs",
    "size": "image_size",
    "resolution": "image_size",
    "img_size": "image_size",
    "input_size": "image_size",
    "crop_size": "image_size",
    "net": "backbone",
    "network": "backbone",
    "model": "backbone",
    "arch": "backbone",
    "architecture": "backbone",
    "encoder": "backbone",
    "pretrained": "weights",
    "checkpoint": "weights",
    "init": "weights",
    "freeze": "trunk",
    "frozen": "trunk",
    "finetune": "trunk",
    "wd": "weight_decay",
    "l2": "weight_decay",
    "decay": "weight_decay",
    "random_state": "seed",
    "random_seed": "seed",
    "num_workers": "workers",
    "n_jobs": "workers",
    "threads": "workers",
    "amp": "precision",
    "fp16": "precision",
    "bf16": "precision",
    "mixed_precision": "precision",
    "augment": "copies",
    "augmentation": "copies",
    "early_stopping": "patience",
    "tau": "temperature",
    "test_size": "ratios",
    "split": "ratios",
    "min_samples": "min_class_count",
    "threshold": "min_value",
}


ALIKE = 0.5  # difflib's ratio; "momentum" and "cluster_volume" have 0.27, "epoch" and "train_epochs" 0.59


def did_you_mean(name: str, known: Iterable[str], has: str = "known") -> str:
    """`did you mean epochs? (known: epochs, seed)`, or `known: epochs, seed` where nothing is near."""
    names = list(known)
    close, all_there_are = nearest(name, names), f"{has}: {', '.join(names)}"
    return f"did you mean {close}? ({all_there_are})" if close else all_there_are


def nearest(name: str, candidates: Iterable[str], cutoff: float = ALIKE) -> str:
    """The candidate that someone who wrote `name` most likely meant, by meaning or spelling, or as a part of it.

    Args:
        name: What was written.
        candidates: What there is.
        cutoff: How alike they must be at least, 0..1; "" where none is.
    """
    from difflib import get_close_matches

    names = list(candidates)
    if (meant := MEANT.get(name.lower().replace("-", "_"))) in names:
        return str(meant)
    close = get_close_matches(name, names, n=1, cutoff=cutoff)
    return close[0] if close else next((other for other in names if len(name) > 2 and name in other), "")
