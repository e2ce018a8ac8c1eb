"""One training by several processes (torchrun): the photos of a step are divided among them, nothing else is.

Every process draws the same batches and computes the same loss of the whole batch, so that losses which compare the
photos of a batch with each other stay what they are. Only the trunk, where nearly all the time goes, sees a part: each
process runs it on its share of the photos, and the feature maps are gathered. Batch norms inside the trunk take their
statistics over all shares. Gradients are averaged over the processes: with w processes the gather hands w times the
gradient of its share back to each, so that the average is the gradient of the whole batch, in the trunk and after it.

The first process writes; the others keep what they would have written to themselves.
"""

import contextlib
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn


def size() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def rank() -> int:
    """Which of them this one is, from 0 on."""
    return distributed.get_rank() if size() > 1 else 0


def device_number() -> int:
    """The GPU of this process on its machine."""
    return int(os.environ.get("LOCAL_RANK", "0")) if size() > 1 else 0


@contextlib.contextmanager
def together() -> Iterator[None]:
    """Joins the processes that torchrun started, if it did ($WORLD_SIZE); only the first one prints."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or size() > 1:
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        distributed.init_process_group("nccl", device_id=torch.device("cuda", int(os.environ["LOCAL_RANK"])))
    else:
        distributed.init_process_group("gloo")
    try:
        if rank():
            with Path(os.devnull).open("w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
                yield
        else:
            yield
    finally:
        distributed.destroy_process_group()


def wait() -> None:
    """Until every process is here."""
    if size() > 1:
        distributed.barrier()


@contextlib.contextmanager
def own_folders(out: Path, checkpoints: Path) -> Iterator[tuple[Path, Path]]:
    """Where a process writes its model and its checkpoints: the first one where it was told, the others apart.

    The others begin with a copy of the first one's checkpoints, so that all go on from the same step.
    """
    if size() == 1:
        yield out, checkpoints
        return
    distributed.barrier()  # the first one has made its folder
    if not rank():
        distributed.barrier()  # the others have copied it
        yield out, checkpoints
        distributed.barrier()
        return
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(checkpoints, Path(folder) / "checkpoints")
        distributed.barrier()
        yield Path(folder) / "model", Path(folder) / "checkpoints"
        distributed.barrier()


def divide(net: nn.Module) -> None:
    """Has every trunk of a net see this process's share of the photos only, and its batch norms all shares."""
    if size() == 1:
        return
    for module in net.modules():
        trunk = getattr(module, "trunk", None)
        if isinstance(trunk, nn.Module) and not hasattr(trunk, "divided"):
            first = next(trunk.parameters(), None)
            if first is None:  # all of it is frozen, and its maps are kept
                continue
            if first.is_cuda:
                module.trunk = trunk = nn.SyncBatchNorm.convert_sync_batchnorm(trunk)
            else:  # SyncBatchNorm is for GPUs only
                for norm in trunk.modules():
                    if isinstance(norm, nn.BatchNorm2d):
                        _share_norm(norm)
            _share(trunk)


def average(parameters: Iterable[nn.Parameter]) -> None:
    """Replaces gradients by their mean over the processes, in one message."""
    if size() == 1:
        return
    grads = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = torch.cat([grad.flatten() for grad in grads])
    distributed.all_reduce(flat)
    flat /= size()
    for grad, part in zip(grads, flat.split([grad.numel() for grad in grads]), strict=True):
        grad.copy_(part.view_as(grad))


def agreed(
    score: float | None, figures: Mapping[str, float], device: torch.device
) -> tuple[float | None, dict[str, float]]:
    """The first process's score and figures: GPUs round differently, and all must choose the same epoch."""
    if size() == 1:
        return score, dict(figures)
    flags = torch.tensor(
        [float("nan") if score is None else score, *figures.values()], device=device, dtype=torch.double
    )
    distributed.broadcast(flags, 0)
    first, *others = flags.tolist()
    return None if score is None else first, dict(zip(figures, others, strict=True))


def first_says(answer: bool) -> bool:
    """The first process's answer: what all see of a folder may change between one's look and another's."""
    if size() == 1:
        return answer
    told: list[bool | None] = [answer]
    distributed.broadcast_object_list(told, 0)
    return bool(told[0])


def _share(trunk: nn.Module) -> None:
    whole, calls = trunk.forward, itertools.count()

    def forward(photos: Tensor) -> Tensor:
        if not trunk.training or len(photos) < size():
            return whole(photos)
        # Dropout differs between shares, and leaves the processes' common random numbers alone.
        with torch.random.fork_rng([photos.device] if photos.is_cuda else []):
            torch.manual_seed(next(calls) * size() + rank())
            part = whole(photos.tensor_split(size())[rank()])
        return _Gather.apply(part, len(photos))

    trunk.forward = forward
    trunk.divided = True  # type: ignore[assignment]


def _share_norm(norm: nn.BatchNorm2d) -> None:
    alone = norm.forward

    def forward(x: Tensor) -> Tensor:
        """(n, c, h, w), normalised by mean and variance over the photos of all processes."""
        if not norm.training or norm.running_mean is None or norm.running_var is None or norm.momentum is None:
            return alone(x)
        # In double precision, as torch's own batch norm sums on CPUs.
        count = _Sum.apply(torch.tensor(float(x.numel() // x.shape[1]), dtype=torch.double))
        mean = _Sum.apply(x.sum((0, 2, 3), dtype=torch.double)) / count
        centred = x.double() - mean[:, None, None]
        variance = _Sum.apply(centred.square().sum((0, 2, 3))) / count
        with torch.no_grad():
            norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), norm.momentum)
            unbiased = variance * count / (count - 1).clamp(min=1)
            norm.running_var.lerp_(unbiased.to(norm.running_var.dtype), norm.momentum)
            if norm.num_batches_tracked is not None:
                norm.num_batches_tracked += 1
        scaled = centred * (variance + norm.eps).rsqrt()[:, None, None]
        if norm.affine:
            scaled = scaled * norm.weight[:, None, None] + norm.bias[:, None, None]
        return scaled.to(x.dtype)

    norm.forward = forward  # type: ignore[method-assign, assignment]


class _Gather(torch.autograd.Function):
    """All processes' shares of a batch, in order: (own, ...) to (n, ...)."""

    @staticmethod
    def forward(ctx: Any, part: Tensor, count: int) -> Tensor:
        ctx.lengths = [len(part) for part in torch.empty(count).tensor_split(size())]
        longest = max(ctx.lengths)
        padded = torch.cat([part, part.new_zeros(longest - len(part), *part.shape[1:])]).contiguous()
        gathered = [torch.empty_like(padded) for _ in ctx.lengths]
        distributed.all_gather(gathered, padded)
        return torch.cat([part[:length] for part, length in zip(gathered, ctx.lengths, strict=True)])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        # Each process has computed the same loss from the same features, so nothing has to be sent.
        return grads[0].split(ctx.lengths)[rank()] * size(), None


class _Sum(torch.autograd.Function):
    """The sum over the processes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        total = grads[0].contiguous().clone()
        distributed.all_reduce(total)
        return total
