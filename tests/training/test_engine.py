"""The training loop: the best epoch kept, stopped and resumed bit for bit, and no NaN passed on."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from vitrine.errors import InputError
from vitrine.settings import Settings
from vitrine.training import engine
from vitrine.training.engine import Epoch, History, fit, schedule
from vitrine.training.objective import Objective

pytestmark = pytest.mark.usefixtures("one_thread")

STEPS = 4


class Stopped(Exception):
    pass


def make_net():
    torch.manual_seed(0)
    # Dropout draws from torch's own generator, batch norm keeps statistics: both must survive a stop.
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 1))


def make_objective(net, scores=(None,) * 9, stop=None, nan_at=None):
    """Regression on batches that are a function of (epoch, step); `stop` raises there, once reached."""
    left = list(scores)

    def batches(epoch, first_step):
        for step in range(first_step, STEPS):
            generator = torch.Generator().manual_seed(epoch * 100 + step)
            x = torch.randn(8, 6, generator=generator)
            yield (x, x[:, :1]), None

    def loss(epoch, step, batch, views, device):
        if (epoch, step) == stop:
            raise Stopped
        x, y = (part.to(device) for part in batch)
        value = (net(x) - y).square().mean()
        return value * math.nan if (epoch, step) == nan_at else value

    return Objective(STEPS, batches, loss, lambda: left.pop(0))


def settings(**own):
    return Settings(**{"epochs": 3, "precision": "32", "learning_rate": 0.05} | own)


def weights(net):
    return {name: own.cpu().clone() for name, own in net.state_dict().items()}


def equal(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture
def unbroken(tmp_path):
    net = make_net()
    history = fit(net, make_objective(net), settings(), tmp_path / "unbroken.pt", "id", "t")
    return history, weights(net)


def test_a_full_disk_stops_a_training_that_goes_on_once_there_is_room(small_disk, unbroken):
    disk = small_disk("size=64k")
    (disk / "other").write_bytes(bytes(56 * 1024))
    net = make_net()
    with pytest.raises(OSError, match=r"No space left on device: '.*c\.pt'"):
        fit(net, make_objective(net), settings(), disk / "c.pt", "id", "t")
    assert [path.name for path in disk.iterdir()] == ["other"]
    (disk / "other").unlink()
    net = make_net()
    fit(net, make_objective(net), settings(), disk / "c.pt", "id", "t")
    assert equal(weights(net), unbroken[1])


def test_it_learns(tmp_path):
    net = make_net()
    history = fit(net, make_objective(net, (None,) * 40), settings(epochs=40), tmp_path / "c.pt", "id", "t")
    assert history.epochs[-1].loss < 0.8 * history.epochs[0].loss
    assert not net.training


def test_the_same_training_twice_is_the_same_bit_for_bit(tmp_path, unbroken):
    torch.rand(7)
    net = make_net()
    again = fit(net, make_objective(net), settings(), tmp_path / "again.pt", "id", "t")
    assert equal(weights(net), unbroken[1])
    assert [epoch.loss for epoch in again.epochs] == [epoch.loss for epoch in unbroken[0].epochs]


@pytest.mark.parametrize("stop", [(0, 1), (0, 3), (1, 0), (1, 2), (2, 0), (2, 3)])
@pytest.mark.parametrize("every_step", [True, False])
def test_stopped_and_resumed_equals_unbroken_bit_for_bit(tmp_path, monkeypatch, unbroken, stop, every_step):
    """With a checkpoint after each step it goes on in the middle of an epoch, else from the last epoch's end."""
    if every_step:
        monkeypatch.setattr(engine, "CHECKPOINT_SECONDS", -1.0)
    net = make_net()
    checkpoint = tmp_path / "c.pt"
    with pytest.raises(Stopped):
        fit(net, make_objective(net, stop=stop), settings(), checkpoint, "id", "t")
    if not checkpoint.exists():
        assert stop[0] == 0
        assert not every_step
    torch.manual_seed(99)
    resumed = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 1))
    if not checkpoint.exists():  # nothing to go on from
        resumed = make_net()
    history = fit(resumed, make_objective(resumed), settings(), checkpoint, "id", "t")
    assert equal(weights(resumed), unbroken[1])
    assert [epoch.loss for epoch in history.epochs] == [epoch.loss for epoch in unbroken[0].epochs]


def test_what_an_earlier_version_did_not_keep_begins_as_it_is(tmp_path, unbroken):
    """A checkpoint from before a net had some buffer."""
    net, checkpoint = make_net(), tmp_path / "c.pt"
    with pytest.raises(Stopped):
        fit(net, make_objective(net, stop=(2, 1)), settings(), checkpoint, "id", "t")
    resumed = make_net()
    resumed.register_buffer("later", torch.ones(1))
    fit(resumed, make_objective(resumed), settings(), checkpoint, "id", "t")
    kept = resumed.state_dict()
    assert kept.pop("later").item() == 1
    assert equal(kept, unbroken[1])


def test_a_resumed_epoch_starts_at_its_step(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(engine, "CHECKPOINT_SECONDS", -1.0)
    net = make_net()
    with pytest.raises(Stopped):
        fit(net, make_objective(net, stop=(1, 2)), settings(), tmp_path / "c.pt", "id", "t")
    seen = []
    objective = make_objective(net)
    noted = Objective(
        STEPS,
        objective.batches,
        lambda e, s, *rest: seen.append((e, s)) or objective.loss(e, s, *rest),
        objective.score,
    )
    fit(net, noted, settings(), tmp_path / "c.pt", "id", "t")
    assert seen == [(1, 2), (1, 3), (2, 0), (2, 1), (2, 2), (2, 3)]
    assert "goes on from epoch 2, step 3" in capsys.readouterr().out


def test_a_finished_training_is_not_run_again(tmp_path, unbroken):
    net = make_net()
    objective = make_objective(net, stop=(0, 0))
    fit(net, objective, settings(), tmp_path / "unbroken.pt", "id", "t")
    assert equal(weights(net), unbroken[1])


@pytest.mark.parametrize("stop_after", [None, 1, 2, 3])
def test_the_best_epoch_is_kept_also_over_a_stop(tmp_path, stop_after):
    scores = (0.2, 0.9, 0.9, 0.5)  # the earlier of two equal ones
    second = make_net()
    objective = make_objective(second, scores, stop=(2, 0))
    with pytest.raises(Stopped):  # what the net is like after its second epoch
        fit(second, objective, settings(epochs=4), tmp_path / "second.pt", "id", "t")
    net = make_net()
    if stop_after:
        with pytest.raises(Stopped):
            fit(
                net, make_objective(net, scores, stop=(stop_after, 1)), settings(epochs=4), tmp_path / "c.pt", "id", "t"
            )
        net = make_net()
    history = fit(net, make_objective(net, scores[stop_after or 0 :]), settings(epochs=4), tmp_path / "c.pt", "id", "t")
    assert history.best == 1
    assert equal(weights(net), weights(second))
    last = torch.load(tmp_path / "c.pt", weights_only=True)["net"]
    assert not equal(weights(net), last)


def test_history():
    history = History()
    assert [history.add(Epoch(1.0, score, 0.0)) for score in (0.5, 0.4, 0.5, 0.6, None)] == [
        True,
        False,
        False,
        True,
        True,
    ]
    assert history.best == 4


@pytest.mark.parametrize("stop", [None, (1, 1), (2, 1)])
def test_it_ends_once_the_loss_moves_less_than_the_tolerance(tmp_path, capsys, stop):
    """From the second epoch on the loss rests; a stop in between changes nothing."""

    def objective(net, stop):
        losses = {0: 5.0, 1: 3.0, 2: 2.9, 3: 2.8, 4: 2.9, 5: 1.0}

        def loss(epoch, step, batch, views, device):
            if (epoch, step) == stop:
                raise Stopped
            return net(batch[0]).sum() * 0 + losses[epoch]

        return Objective(STEPS, make_objective(net).batches, loss, lambda: None, tolerance=0.2)

    net = make_net()
    if stop:
        with pytest.raises(Stopped):
            fit(net, objective(net, stop), settings(epochs=6), tmp_path / "c.pt", "id", "t")
        net = make_net()
    history = fit(net, objective(net, None), settings(epochs=6), tmp_path / "c.pt", "id", "t")
    assert [epoch.loss for epoch in history.epochs] == pytest.approx([5.0, 3.0, 2.9, 2.8, 2.9])
    assert "the loss moved less than 0.2; done after 5 epochs" in capsys.readouterr().out
    again = fit(make_net(), objective(net, (0, 0)), settings(epochs=6), tmp_path / "c.pt", "id", "t")
    assert len(again.epochs) == 5


def test_an_objective_s_own_figures_are_noted_for_each_epoch_and_kept_over_a_stop(tmp_path, capsys):
    def objective(net, stop=None):
        plain = make_objective(net, stop=stop)
        count = iter(range(9))
        return Objective(STEPS, plain.batches, plain.loss, plain.score, figures=lambda: {"evenness": next(count) / 4})

    net = make_net()
    with pytest.raises(Stopped):
        fit(net, objective(net, (1, 0)), settings(), tmp_path / "c.pt", "id", "t")
    assert "evenness 0.0000" in capsys.readouterr().out
    net = make_net()
    history = fit(net, objective(net), settings(), tmp_path / "c.pt", "id", "t")
    assert [epoch.figures for epoch in history.epochs] == [{"evenness": 0.0}, {"evenness": 0.0}, {"evenness": 0.25}]


def test_a_checkpoint_of_another_training_is_refused(tmp_path, unbroken):
    net = make_net()
    with pytest.raises(InputError, match="of another training"):
        fit(net, make_objective(net), settings(), tmp_path / "unbroken.pt", "other", "t")


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04"])
def test_a_damaged_checkpoint_is_refused(tmp_path, content):
    (tmp_path / "c.pt").write_bytes(content)
    net = make_net()
    with pytest.raises(InputError, match="is no checkpoint"):
        fit(net, make_objective(net), settings(), tmp_path / "c.pt", "id", "t")


def test_a_loss_that_is_not_finite_stops_the_training_and_spoils_no_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "CHECKPOINT_SECONDS", -1.0)
    net = make_net()
    with pytest.raises(InputError, match="no longer finite in epoch 2; lower learning_rate"):
        fit(net, make_objective(net, nan_at=(1, 1)), settings(), tmp_path / "c.pt", "id", "t")
    state = torch.load(tmp_path / "c.pt", weights_only=True)
    assert all(torch.isfinite(own).all() for own in state["net"].values())


def test_frozen_weights_stay(tmp_path):
    net = make_net()
    net[3].weight.requires_grad_(False)
    before = net[3].weight.clone()
    fit(net, make_objective(net), settings(), tmp_path / "c.pt", "id", "t")
    assert torch.equal(net[3].weight, before)


def test_weight_decay_spares_norms_and_biases():
    net = make_net()
    decayed, spared = engine._optimizer(net, settings(weight_decay=0.1)).param_groups
    assert {id(p) for p in decayed["params"]} == {id(net[0].weight), id(net[3].weight)}
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.1, 0.0)


@pytest.mark.parametrize("total", [1, 2, 10, 1000])
def test_schedule_rises_then_falls(total):
    rates = [schedule(step, total) for step in range(total)]
    assert all(0 < rate <= 1 for rate in rates)
    assert max(rates) == 1.0
    peak = int(np.argmax(rates))
    assert peak <= 0.05 * total + 1
    assert rates[:peak] == sorted(rates[:peak])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert schedule(total, total) == pytest.approx(0, abs=1e-12) or total == 1


def test_bfloat16_trains_in_float32_weights(tmp_path):
    net = make_net()
    history = fit(net, make_objective(net), settings(precision="bf16"), tmp_path / "c.pt", "id", "t")
    assert math.isfinite(history.epochs[-1].loss)
    assert all(own.dtype == torch.float32 for own in net.parameters())


def test_a_loss_has_settled_once_it_rests_for_three_epochs():
    def settled(*losses):
        return History([Epoch(loss, None, 0.0) for loss in losses]).settled(0.01)

    assert not settled(0.69, 0.69, 0.69)
    assert settled(0.69, 0.69, 0.69, 0.69)
    assert not settled(0.69, 0.69, 0.69, 0.6)
    assert not settled(0.69, 0.60, 0.60, 0.60)
    assert settled(0.69, 0.60, 0.60, 0.60, 0.60)
    assert not History([Epoch(0.69, None, 0.0)] * 5).settled(0.0)


@pytest.mark.parametrize(
    ("tiles", "pairs", "chosen"), [(False, False, False), (True, True, True), (True, False, True), (False, True, True)]
)
def test_bfloat16_is_chosen_on_cpus_that_multiply_it(monkeypatch, tiles, pairs, chosen):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: pairs)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: tiles)
    assert engine.uses_bfloat16(settings(precision="auto"), torch.device("cpu")) is chosen
    assert engine.uses_bfloat16(settings(precision="bf16"), torch.device("cpu"))


def test_gpus_that_only_imitate_bfloat16_train_at_32_bits(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert not engine.uses_bfloat16(settings(precision="auto"), torch.device("cuda"))


@pytest.mark.parametrize("stop", [None, (0, 1), (2, 1)])
def test_a_net_that_was_better_before_is_kept_and_said(tmp_path, capsys, monkeypatch, stop):
    """Asked before the first pass, then after each; a stop in between, in the first pass too, changes nothing."""
    monkeypatch.setattr(engine, "CHECKPOINT_SECONDS", -1.0)
    scores = [0.8, 0.5, 0.6, 0.7]

    def objective(net, asked, stop=None):
        plain = make_objective(net, scores[asked:], stop=stop)
        return Objective(STEPS, plain.batches, plain.loss, plain.score, from_start=True)

    net = make_net()
    began = weights(net)
    if stop:
        with pytest.raises(Stopped):
            fit(net, objective(net, 0, stop), settings(), tmp_path / "c.pt", "id", "t")
        net = make_net()
    history = fit(net, objective(net, stop[0] + 1 if stop else 0), settings(), tmp_path / "c.pt", "id", "t")
    assert (history.best, history.best_score(), len(history.epochs)) == (-1, 0.8, 3)
    assert equal(weights(net), began)
    said = (
        "training ended below where it began (0.7000 on validation photos against 0.8000); the net as it came is kept"
    )
    assert f"t: {said}" in capsys.readouterr().out
    assert history.note == f"T{said[1:]}."


def test_a_pass_that_was_better_than_the_start_is_kept_though_training_ended_below(tmp_path):
    net = make_net()
    plain = make_objective(net, (0.5, 0.9, 0.4, 0.3))
    history = fit(
        net,
        Objective(STEPS, plain.batches, plain.loss, plain.score, from_start=True),
        settings(),
        tmp_path / "c",
        "id",
        "t",
    )
    assert history.best == 0
    assert history.note.endswith("(0.3000 on validation photos against 0.5000); pass 1 is kept.")
