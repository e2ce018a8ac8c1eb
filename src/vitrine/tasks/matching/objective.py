"""What each variant learns: the softmax of pretraining, the siamese losses, F. T. Similarity's two layers."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vitrine.blocks.contrastive import contrastive
from vitrine.blocks.robust_contrastive import robust_contrastive
from vitrine.data.inputs import Inputs
from vitrine.data.sampling import shuffled
from vitrine.inference import run_net
from vitrine.retrieval.ranks import Ranks, rank
from vitrine.tasks.matching.net import MatchingNet, scaled
from vitrine.tasks.matching.pairs import Background, Pairable, Step, domain_rows, identities, steps_of_epoch
from vitrine.tasks.matching.settings import MatchingSettings
from vitrine.training.objective import Objective

AT_ONCE = 256  # users whose galleries are ranked together
ROBUST_FROM = 0.5  # share of the passes before far positive pairs are left out: a fresh net calls right ones far too
SAMPLED = 512  # photos of each domain that the margin is measured on
PASSES = 10  # of ft-similarity over the user photos, an epoch: its features stay, so a pass costs next to nothing


class TrainingModule(nn.Module):
    """The net, and what only its training needs.

    Args:
        net: Of matching.
        classes: Of the background set; 0: no softmax.
        users: Training user photos that form pairs.
        hard: Hard negatives kept for each.
    """

    hard: Tensor
    beyond: Tensor

    def __init__(self, net: MatchingNet, classes: int, users: int, hard: int) -> None:
        super().__init__()
        self.net = net
        self.head = nn.Linear(net.dim, classes) if classes else None
        # Buffers, so that a training resumed in the middle of an epoch goes on with the pairs it had.
        self.register_buffer("hard", torch.zeros(users, hard, dtype=torch.int64))
        self.register_buffer("beyond", torch.zeros(()))  # the share of positive pairs that lie beyond the margin


@dataclass
class Validation:
    """Top-k of the validation queries among the shop photos a shop would search: its own, the training's, no split's.

    Attributes:
        queries: (n,) rows of user photos.
        gallery: (m,) rows of shop photos.
        identity: (rows,) see `identities`.
        last: The ranks of the last call.
    """

    queries: np.ndarray
    gallery: np.ndarray
    identity: np.ndarray
    last: Ranks | None = field(default=None)

    @classmethod
    def of(cls, table: pd.DataFrame, column: str) -> "Validation":
        """That of a catalog."""
        queries, gallery = domain_rows(table, "user", ["validation"]), domain_rows(table, "shop")
        tested = table["split"].eq("test").to_numpy()
        return cls(queries, gallery[~tested[gallery]], identities(table, column))

    def score(self, net: MatchingNet, store: Inputs, k: int) -> float | None:
        """Top-k, None without queries; a thousandth of top-1 decides between equals, which small galleries have."""
        self.last = None
        if not len(self.queries) or not len(self.gallery):
            return None
        features, _ = run_net(net, store, np.concatenate([self.queries, self.gallery]))
        users, shops = features[: len(self.queries)], features[len(self.queries) :]
        self.last = rank(users, self.identity[self.queries], shops, self.identity[self.gallery], score=net.scores)
        if not len(self.last.query):
            return None
        return self.last.recall(k) + self.last.recall(1) / 1000

    def figures(self) -> Mapping[str, float]:
        """top1, top5 and top20 of the last call."""
        if self.last is None or not len(self.last.query):
            return {}
        return {f"top{k}": self.last.recall(k) for k in (1, 5, 20)}


def pretraining_objective(
    module: TrainingModule, store: Inputs, background: Background, settings: MatchingSettings
) -> Objective[np.ndarray]:
    """The softmax loss on the background set alone: the "pre-trained model" where there are no published weights."""
    label_of = dict(zip(background.rows.tolist(), background.labels.tolist(), strict=True))
    steps = len(shuffled(background.rows, settings.batch_size, settings.seed, 0))

    def batches(epoch: int, first_step: int) -> Iterable[tuple[np.ndarray, Tensor]]:
        return store.batches(shuffled(background.rows, settings.batch_size, settings.seed, epoch)[first_step:])

    def loss(epoch: int, step: int, rows: np.ndarray, views: Sequence[Tensor], device: torch.device) -> Tensor:
        features, _ = module.net(views[0])
        assert module.head is not None
        labels = torch.tensor([label_of[row] for row in rows.tolist()], device=device)
        return F.cross_entropy(module.head(features).float(), labels)

    return Objective(steps, batches, loss, lambda: None, store, settings.seed)


def siamese_objective(
    module: TrainingModule,
    store: Inputs,
    pairable: Pairable,
    background: Background,
    validation: Validation,
    variant: str,
    margin: float,
    settings: MatchingSettings,
) -> Objective[Step]:
    """The (robust) contrastive loss over positive, hard negative and background negative pairs, and the softmax loss.

    The pairs' loss is divided by m², so that it lies around 1 whatever scale the features have. Background photos are
    paired with their neighbours in the batch: each stands in two pairs, and no photo is seen for one pair alone.
    """
    ratio = settings.pair_ratio()
    robust_after = int(ROBUST_FROM * settings.epochs) if variant.startswith("robust") else settings.epochs
    softmax = "softmax" in variant

    def batches(epoch: int, first_step: int) -> Iterable[tuple[Step, Tensor]]:
        if first_step == 0 and epoch % settings.refresh == 0:
            module.beyond.fill_(mine(module, store, pairable, margin))
        steps = steps_of_epoch(pairable, len(background.rows), ratio, settings.batch_size, settings.seed, epoch)[
            first_step:
        ]
        hard = module.hard.cpu().numpy()
        rows = [step_rows(step, pairable, background, hard) for step in steps]
        for step, (_, pixels) in zip(steps, store.batches(rows), strict=True):
            yield step, pixels

    def loss(epoch: int, step: int, places: Step, views: Sequence[Tensor], device: torch.device) -> Tensor:
        features, _ = module.net(views[0])
        n, h = places.wrong.shape
        user, right, wrong, far = features.split([n, n, n * h, len(places.background)])
        labels = torch.from_numpy(background.labels[places.background]).to(device)
        same = torch.zeros(n + n * h + len(far), dtype=torch.bool, device=device)
        same[:n] = True
        pair_loss: Callable[[Tensor, Tensor, Tensor, float], Tensor]
        pair_loss = robust_contrastive if epoch >= robust_after else contrastive
        losses = pair_loss(
            torch.cat([user, user.repeat_interleave(h, dim=0), far]),
            torch.cat([right, wrong, far.roll(1, dims=0)]),
            same,
            margin,
        )
        counted = torch.ones_like(same)
        counted[n + n * h :] = labels != labels.roll(1)  # "each pair contains two different objects"
        total = losses[counted].mean() / margin**2
        if softmax and module.head is not None and len(far):
            total = total + settings.softmax_weight * F.cross_entropy(module.head(far).float(), labels)
        return total

    def score() -> float | None:
        return validation.score(module.net, store, settings.stop_at)

    def figures() -> Mapping[str, float]:
        return {**validation.figures(), "positives_beyond_margin": module.beyond.item()}

    steps = len(steps_of_epoch(pairable, len(background.rows), ratio, settings.batch_size, settings.seed, 0))
    # Published features retrieve before any training.
    return Objective(
        steps,
        batches,
        loss,
        score,
        store,
        settings.seed,
        figures=figures,
        patience=settings.patience,
        from_start=True,
        scored=f"top{settings.stop_at}",
    )


def step_rows(step: Step, pairable: Pairable, background: Background, hard: np.ndarray) -> np.ndarray:
    """The rows of a step's photos: users, their positives, their hard negatives user by user, background."""
    candidates = hard[step.users]  # (n, K)
    drawn = np.take_along_axis(candidates, (step.wrong * candidates.shape[1]).astype(np.int64), axis=1)  # (n, h)
    return np.concatenate([pairable.users[step.users], step.right, drawn.reshape(-1), background.rows[step.background]])


def mine(module: TrainingModule, store: Inputs, pairable: Pairable, margin: float) -> float:
    """Refreshes the hard negatives with the net as it is: false positives among each user photo's neighbours.

    Returns:
        The share of positive pairs that lie beyond the margin, which the robust loss leaves out.
    """
    features, _ = run_net(module.net, store, np.concatenate([pairable.users, pairable.shops]))
    users, shops = features[: len(pairable.users)], features[len(pairable.users) :]
    unit_users, unit_shops = (F.normalize(torch.from_numpy(features), dim=1).numpy() for features in (users, shops))
    identity = pairable.identity[pairable.shops]
    beyond = pairs = 0
    for start in range(0, len(users), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        hardest = pairable.hard(unit_users[part] @ unit_shops.T, start, module.hard.shape[1])
        module.hard[part] = torch.from_numpy(hardest).to(module.hard.device)
        right = pairable.identity[pairable.users[part]][:, None] == identity[None]
        beyond += int((right & (_distances(users[part], shops) > margin)).sum())
        pairs += int(right.sum())
    return beyond / max(1, pairs)


def margin_of(net: MatchingNet, store: Inputs, pairable: Pairable, settings: MatchingSettings) -> float:
    """m: the one asked for, or `margin_scale` times the median distance of user and shop photos of different products.

    Measured on the net as it is before the pairs are learnt: the paper's 40 is of the scale of its own net's features.
    """
    if settings.margin:
        return settings.margin
    random = np.random.default_rng((settings.seed, 11))
    users, shops = (random.permutation(rows)[:SAMPLED] for rows in (pairable.users, pairable.shops))
    features, _ = run_net(net, store, np.concatenate([users, shops]))
    different = pairable.identity[users][:, None] != pairable.identity[shops][None]
    distances = _distances(features[: len(users)], features[len(users) :])
    median = float(np.median(distances[different])) if different.any() else 0.0
    return max(settings.margin_scale * median, 1e-3)


def _distances(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(n, m) Euclidean distances, in double precision: what a margin is compared with need not be fast."""
    left, right = left.astype(np.float64), right.astype(np.float64)
    squared = (left**2).sum(1)[:, None] + (right**2).sum(1)[None] - 2 * left @ right.T
    return np.sqrt(np.maximum(squared, 0))


Chosen = tuple[np.ndarray, np.ndarray, np.ndarray]


def similarity_objective(
    module: TrainingModule,
    store: Inputs,
    pairable: Pairable,
    validation: Validation,
    categories: np.ndarray,
    settings: MatchingSettings,
) -> Objective[Chosen]:
    """F. T. Similarity: the features stay, and two layers learn whether two of them are of the same product.

    Each user photo comes with a shop photo of its thing, a hard negative and one drawn from all of them. One net sees
    every pair, and each first-level category has its own, which sees the pairs inside it.

    Args:
        module: Its trunk is frozen here.
        store: The photos.
        pairable: Who forms pairs.
        validation: What chooses the epoch.
        categories: (rows,) places of the first-level categories in `net.categories`, 0: not known.
        settings: Of the training.
    """
    net = module.net
    net.trunk.requires_grad_(False)
    mine(module, store, pairable, margin=float("inf"))
    rows = np.concatenate([pairable.users, pairable.shops])
    features_of_rows, _ = run_net(net, store, rows)
    place_of = np.full(int(rows.max()) + 1, -1)
    place_of[rows] = np.arange(len(rows))
    features = scaled(F.normalize(torch.from_numpy(features_of_rows), dim=1))
    hard = module.hard.cpu().numpy()
    units = max(2, settings.batch_size // 3)

    def chosen(epoch: int) -> list[Chosen]:
        parts: list[Chosen] = []
        for turn in range(PASSES):
            for step in steps_of_epoch(pairable, 0, (1, 1, 0), 3 * units, settings.seed, epoch * PASSES + turn):
                users = pairable.users[step.users]
                near = hard[step.users, (step.wrong[:, 0] * hard.shape[1]).astype(np.int64)]
                random = np.random.default_rng((settings.seed, epoch, turn, len(parts)))
                far = random.choice(pairable.shops, len(users))
                parts.append(
                    (
                        np.tile(users, 3),
                        np.concatenate([step.right, near, far]),
                        _same(pairable, users, step, near, far),
                    )
                )
        return parts

    def batches(epoch: int, first_step: int) -> Iterable[tuple[Chosen, None]]:
        return ((part, None) for part in chosen(epoch)[first_step:])

    def loss(epoch: int, step: int, batch: Chosen, views: Sequence[Tensor], device: torch.device) -> Tensor:
        users, shops, same = batch
        left, right = (features[place_of[domain]].to(device) for domain in (users, shops))
        truth = torch.from_numpy(same).to(device).float()
        assert net.similarities is not None
        total = F.binary_cross_entropy_with_logits(net.similarities[0](left, right), truth)
        inside = np.where(categories[users] == categories[shops], categories[users], 0)
        for category in np.unique(inside[inside > 0]).tolist():
            in_category = torch.from_numpy(inside == category).to(device)
            score = net.similarities[category](left[in_category], right[in_category])
            total = total + F.binary_cross_entropy_with_logits(score, truth[in_category], reduction="sum") / len(truth)
        return total

    def score() -> float | None:
        return validation.score(net, store, settings.stop_at)

    return Objective(
        len(chosen(0)),
        batches,
        loss,
        score,
        figures=validation.figures,
        patience=settings.patience,
        scored=f"top{settings.stop_at}",
    )


def _same(pairable: Pairable, users: np.ndarray, step: Step, near: np.ndarray, far: np.ndarray) -> np.ndarray:
    identity = np.tile(pairable.identity[users], 3)
    return np.asarray(identity == pairable.identity[np.concatenate([step.right, near, far])])
