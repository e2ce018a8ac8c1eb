"""What torch's optimizers do, without their decorators."""

import pytest
import torch

from vitrine.blocks import optimizers

SETTINGS = {"AdamW": {"lr": 0.1, "weight_decay": 0.05}, "LBFGS": {"lr": 0.5, "max_iter": 3}}


@pytest.mark.parametrize("name", SETTINGS)
def test_steps_are_torchs(name):
    found = []
    for library in (optimizers, torch.optim):
        weight = torch.tensor([[1.0, -2.0], [3.0, 0.5]], requires_grad=True)
        optimizer = getattr(library, name)([weight], **SETTINGS[name])

        def loss(optimizer=optimizer, weight=weight):
            optimizer.zero_grad()
            value = (weight**4).sum() + weight.prod()
            value.backward()
            return value

        for _ in range(4):
            optimizer.step(loss)
            state = optimizer.state_dict()
            optimizer.load_state_dict(state)
        found.append(weight.detach())
    assert torch.equal(*found)
