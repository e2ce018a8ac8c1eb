"""One training loop for every task: mixed precision, checkpoints, resumption, the best epoch kept.

The loop is here to be read.
"""

import math
import time
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vitrine.blocks.optimizers import AdamW
from vitrine.errors import InputError
from vitrine.files import atomic_write
from vitrine.memory import collect_often, keep_freed_memory
from vitrine.model import note_curve
from vitrine.progress import Progress
from vitrine.settings import Settings
from vitrine.training import shared
from vitrine.training.objective import Objective

WARM_UP = 0.05  # share of the steps over which the learning rate rises
SETTLED = 3  # epochs running; one alone may be chance while a net has not begun to learn, and its loss is ln 2
CHECKPOINT_SECONDS = 300.0  # within an epoch; one is always written at its end
CHECKED = 50  # steps after which the loss is looked at: a sum once not finite stays so


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to; `figures` are the objective's own."""

    loss: float
    score: float | None
    seconds: float
    figures: dict[str, float] = field(default_factory=dict)


@dataclass
class History:
    """All epochs so far and the best one (by validation score; the last where there is none).

    Attributes:
        epochs: In order.
        best: Which one is kept; -1: the net as it was before the first.
        note: What else the card says.
        start: What the net came to before the first epoch, where that was asked (`Objective.from_start`).
    """

    epochs: list[Epoch] = field(default_factory=list)
    best: int = -1
    note: str = ""
    start: Epoch | None = None

    @property
    def kept(self) -> Epoch | None:
        """The best epoch, or the start where none was better; None before there is any."""
        return self.epochs[self.best] if self.best >= 0 else self.start

    def best_score(self) -> float | None:
        """The validation score of what is kept."""
        return self.kept.score if self.kept else None

    def add(self, epoch: Epoch) -> bool:
        """Appends an epoch; True if it is the best so far."""
        best = self.best_score()
        self.epochs.append(epoch)
        if epoch.score is None or best is None or epoch.score > best:
            self.best = len(self.epochs) - 1
            return True
        return False

    def lost(self) -> str:
        """What to say where training ended below where it began; "" where it did not, or that was not asked."""
        last = self.epochs[-1].score if self.epochs else None
        if self.start is None or self.start.score is None or last is None or last >= self.start.score:
            return ""
        kept = f"pass {self.best + 1} is kept" if self.best >= 0 else "the net as it came is kept"
        came = f"{last:.4f} on validation photos against {self.start.score:.4f}"
        return f"training ended below where it began ({came}); {kept}"

    def stale(self, patience: int) -> bool:
        """Whether the last `patience` epochs, if any, were no better than the best before them."""
        return 0 < patience < len(self.epochs) - self.best

    def settled(self, tolerance: float) -> bool:
        """Whether the loss moved less than `tolerance` in each of the last `SETTLED` epochs."""
        losses = [epoch.loss for epoch in self.epochs[-SETTLED - 1 :]]
        moves = [abs(after - before) for before, after in pairwise(losses)]
        return len(moves) == SETTLED and max(moves) < tolerance


def fit(
    net: nn.Module,
    objective: Objective[Any],
    settings: Settings,
    checkpoint: Path,
    identity: str,
    title: str,
    *,
    quiet: bool = False,
) -> History:
    """Trains a net in place and leaves the weights of its best epoch in it.

    Args:
        net: The whole net; its `forward` is not called here, only `objective.at`.
        objective: What to learn.
        settings: Epochs, learning rate, weight decay, precision.
        checkpoint: File that a stopped training goes on from; kept until the caller removes it.
        identity: Names this training exactly (data, settings, code); a checkpoint of another one is refused.
        title: For the progress lines.
        quiet: Tell the end only, not each epoch.

    Raises:
        InputError: if the checkpoint is of another training, or the loss is no longer finite.
    """
    keep_freed_memory()
    collect_often()
    device = training_device()
    mixed = uses_bfloat16(settings, device)
    net.to(device).to(memory_format=torch.channels_last)
    shared.divide(net)
    optimizer = _optimizer(net, settings)
    history, best, first_step = History(), _copy(net), 0
    losses = torch.zeros((), device=device)  # a sum that stays there: reading it in each step would wait for the GPU
    if checkpoint.exists():
        state = _read_checkpoint(checkpoint, identity)
        net.load_state_dict(_copy(net) | state["net"])  # what an earlier version did not keep stays as it begins
        optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random"])
        if "random_cuda" in state and device.type == "cuda":
            torch.cuda.set_rng_state(state["random_cuda"])
        begun = Epoch(**state["start"]) if state.get("start") else None
        history = History([Epoch(**epoch) for epoch in state["epochs"]], state["best_epoch"], start=begun)
        best, first_step = best | state["best"], state["step"]
        losses.fill_(state["losses"])
        print(f"{title}: goes on from epoch {len(history.epochs) + 1}, step {first_step + 1}", flush=True)

    def save() -> None:
        if shared.rank():
            return
        state = {
            "identity": identity,
            "net": net.state_dict(),
            "optimizer": optimizer.state_dict(),
            "random": torch.get_rng_state(),
            "best": best,
            "step": first_step,
            "losses": losses.item(),
            "epochs": [asdict(epoch) for epoch in history.epochs],
            "best_epoch": history.best,
            "start": asdict(history.start) if history.start else None,
        }
        if device.type == "cuda":  # stochastic depth draws there
            state["random_cuda"] = torch.cuda.get_rng_state()
        # Writing a path by itself, PyTorch does not say why it cannot.
        with atomic_write(checkpoint) as temporary, temporary.open("wb") as file:
            torch.save(state, file)

    if objective.from_start and history.start is None and not history.epochs:
        started = time.monotonic()
        net.eval()
        score, figures = shared.agreed(objective.score(), objective.figures(), device)
        history.start = Epoch(math.nan, score, time.monotonic() - started, figures)
    total = settings.epochs * objective.steps
    for epoch in range(len(history.epochs), settings.epochs):
        if history.settled(objective.tolerance):
            print(f"{title}: the loss moved less than {objective.tolerance:g}; done after {epoch} epochs", flush=True)
            break
        if history.stale(objective.patience):
            print(f"{title}: no better for {objective.patience} epochs; done after {epoch}", flush=True)
            break
        started = saved = time.monotonic()
        net.train()
        with Progress(f"{title} {epoch + 1}/{settings.epochs}", "step", objective.steps, first_step) as bar:
            for step, drawn in enumerate(objective.batches(epoch, first_step), first_step):
                for group in optimizer.param_groups:
                    group["lr"] = (
                        settings.learning_rate * group["share"] * schedule(epoch * objective.steps + step, total)
                    )
                with torch.autocast(device.type, torch.bfloat16, enabled=mixed):
                    loss = objective.at(epoch, step, drawn, device)
                loss.backward()
                shared.average(net.parameters())
                nn.utils.clip_grad_norm_(net.parameters(), 5.0)
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
                losses += loss.detach().float()
                if step % CHECKED == 0:
                    _check(losses, title, epoch)
                bar.update()
                if time.monotonic() - saved > CHECKPOINT_SECONDS:
                    _check(losses, title, epoch)
                    first_step = step + 1
                    save()
                    saved = time.monotonic()
        _check(losses, title, epoch)
        net.eval()
        score = objective.score()
        score, figures = shared.agreed(score, objective.figures(), device)
        done = Epoch(losses.item() / objective.steps, score, time.monotonic() - started, figures)
        if history.add(done):
            for name, tensor in net.state_dict().items():
                best[name].copy_(tensor)
        losses, first_step = torch.zeros_like(losses), 0
        save()
        if not quiet or epoch + 1 == settings.epochs:
            _report(title, epoch, settings.epochs, done, objective.scored)
    net.load_state_dict(best)
    net.eval()
    passes = history.epochs
    note_curve(title, [epoch.loss for epoch in passes], [epoch.score for epoch in passes], objective.scored)
    if lost := history.lost():
        history.note = f"{lost[0].upper()}{lost[1:]}."
        print(f"{title}: {lost}", flush=True)
    return history


def _check(losses: Tensor, title: str, epoch: int) -> None:
    if not math.isfinite(losses.item()):
        raise InputError(f"{title}: the loss is no longer finite in epoch {epoch + 1}; lower learning_rate")


def training_device() -> torch.device:
    """This process's GPU if there is one."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    device = torch.device("cuda", shared.device_number())
    torch.cuda.set_device(device)
    return device


def uses_bfloat16(settings: Settings, device: torch.device) -> bool:
    """Whether products are taken in bfloat16: by `precision`, or for `auto` where the hardware gains by it."""
    if settings.precision != "auto":
        return settings.precision == "bf16"
    return torch.cuda.is_bf16_supported(including_emulation=False) if device.type == "cuda" else _cpu_has_bf16()


def schedule(step: int, total: int) -> float:
    """Learning rate at a step as a share of its peak: a short linear rise, then half a cosine down to 0."""
    warm_up = max(1, int(WARM_UP * total))
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, total - warm_up)))


def _optimizer(net: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    """AdamW; trunks learn more slowly than heads; norms, biases and other vectors are not decayed."""
    in_trunk = {
        id(parameter)
        for name, module in net.named_modules()
        if name.rpartition(".")[2] == "trunk"
        for parameter in module.parameters()
    }
    groups = []
    for share, trunk in ((1.0, False), (settings.trunk_rate, True)):
        trainable = [p for p in net.parameters() if p.requires_grad and (id(p) in in_trunk) == trunk]
        for decay, matrices in ((settings.weight_decay, True), (0.0, False)):
            parameters = [p for p in trainable if (p.ndim > 1) == matrices]
            groups.append({"params": parameters, "weight_decay": decay, "share": share})
    return AdamW([group for group in groups if group["params"]], lr=settings.learning_rate, fused=True)


def _read_checkpoint(checkpoint: Path, identity: str) -> dict[str, Any]:
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        same = state["identity"] == identity
    except Exception as error:  # a damaged file fails in many ways
        raise InputError(f"{checkpoint}: is no checkpoint; remove it to start anew") from error
    if not same:
        raise InputError(
            f"{checkpoint}: is of another training (other data, settings or code); remove it to start anew"
        )
    return state


def _copy(net: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in net.state_dict().items()}


def _cpu_has_bf16() -> bool:
    """Whether the CPU multiplies bfloat16 by itself: as tiles (AMX), or in pairs (AVX512-BF16)."""
    questions = (getattr(torch.cpu, f"_is_{name}_supported", None) for name in ("amx_tile", "avx512_bf16"))
    return any(question is not None and question() for question in questions)


def _report(title: str, epoch: int, epochs: int, done: Epoch, scored: str) -> None:
    score = "" if done.score is None else f", validation {scored} {done.score:.4f}"
    figures = "".join(f", {name} {value:.4f}" for name, value in done.figures.items())
    print(
        f"{title}: epoch {epoch + 1}/{epochs}, loss {done.loss:.4f}{score}{figures}, {done.seconds:.1f} s", flush=True
    )
