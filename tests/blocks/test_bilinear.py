"""Bilinear pooling against loops, and the sketch against what it estimates."""

import pytest
import torch
from torch.nn import functional as F

from vitrine.blocks.bilinear import MAX_CHANNELS, SKETCH, SMALLEST, BilinearPooling, TensorSketch

LENGTHS = torch.tensor([2, 1, 3])


def maps(channels=4, dtype=torch.float32):
    return torch.randn(6, channels, 3, 2, generator=torch.Generator().manual_seed(0)).to(dtype)


def by_the_book(listing):
    """Mean over photos and cells of f f^T, signed root, length 1; cell by cell."""
    n, channels, h, w = listing.shape
    total = torch.zeros(channels, channels)
    for photo in listing:
        for y in range(h):
            for x in range(w):
                f = photo[:, y, x].float()
                total += f.unsqueeze(1) * f.unsqueeze(0)
    mean = (total / (n * h * w)).flatten()
    rooted = mean / (mean.abs() + SMALLEST).sqrt()
    return rooted / rooted.norm()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_equals_the_formula(dtype):
    got = BilinearPooling(4)(maps(dtype=dtype), LENGTHS)
    wanted = [by_the_book(own) for own in torch.split(maps(dtype=dtype), LENGTHS.tolist())]
    assert got.dtype == torch.float32
    assert torch.allclose(got, torch.stack(wanted), atol=1e-5)


def test_float32_under_autocast():
    wanted = BilinearPooling(4)(maps(), LENGTHS)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.allclose(BilinearPooling(4)(maps(), LENGTHS), wanted, atol=1e-6)


def matrices_of(sketch):
    """Its two count sketches as matrices (channels, dim), as version 0.1.0 kept them."""
    first, second = (sketch.count_sketch(torch.eye(sketch.places.shape[1]), which) for which in range(2))
    return first, second


def test_the_sketch_is_the_circular_convolution_of_two_count_sketches():
    torch.manual_seed(0)
    sketch = TensorSketch(5, 7)
    rows = torch.randn(3, 5)
    wanted = torch.zeros(7)
    for f in rows:
        a, b = torch.zeros(2, 7)
        for channel in range(5):
            a[sketch.places[0, channel]] += sketch.signs[0, channel] * f[channel]
            b[sketch.places[1, channel]] += sketch.signs[1, channel] * f[channel]
        wanted += torch.stack([sum(a[i] * b[(k - i) % 7] for i in range(7)) for k in range(7)])
    assert torch.allclose(sketch(rows), wanted, atol=1e-5)
    assert set(sketch.signs.flatten().tolist()) <= {-1, 1}
    for matrix in matrices_of(sketch):
        assert (matrix.abs().sum(dim=1) == 1).all()  # every channel goes to one place


def test_gradients_of_the_sketch():
    torch.manual_seed(0)
    sketch = TensorSketch(5, 7).double()
    assert torch.autograd.gradcheck(sketch, torch.randn(2, 3, 5, dtype=torch.float64, requires_grad=True))


def test_matrices_of_version_0_1_0_load():
    torch.manual_seed(0)
    pooling, drawn_otherwise = (BilinearPooling(5, sketch=7) for _ in range(2))
    first, second = matrices_of(pooling.sketch)
    drawn_otherwise.load_state_dict({"sketch.first": first, "sketch.second": second})
    features = maps(5)
    assert torch.equal(drawn_otherwise(features), pooling(features))


@pytest.mark.slow
def test_inner_products_of_sketches_estimate_those_of_outer_products():
    """<f f^T, g g^T> = <f, g>^2; over many draws the sketch is right on average."""
    torch.manual_seed(0)
    f, g = torch.randn(2, 16)
    estimates = torch.stack(
        [(own(f[None]) * own(g[None])).sum() for own in (TensorSketch(16, 64) for _ in range(2000))]
    )
    error = estimates.std() / len(estimates) ** 0.5
    assert abs(estimates.mean() - (f @ g) ** 2) < 4 * error


def test_a_wide_trunk_gets_the_compact_form():
    assert BilinearPooling(MAX_CHANNELS).dim == MAX_CHANNELS**2
    wide = BilinearPooling(MAX_CHANNELS + 1)
    assert wide.dim == SKETCH
    got = wide(torch.randn(3, MAX_CHANNELS + 1, 2, 2), torch.tensor([1, 2]))
    assert got.shape == (2, SKETCH)
    assert torch.allclose(got.norm(dim=1), torch.ones(2))


def test_the_sketch_pools_over_the_listing_like_the_full_form():
    torch.manual_seed(0)
    pooling = BilinearPooling(4, sketch=32)
    cells = maps().flatten(2).transpose(1, 2)
    for got, own in zip(pooling(maps(), LENGTHS), torch.split(cells, LENGTHS.tolist()), strict=True):
        mean = torch.stack([pooling.sketch(cell[None]) for photo in own for cell in photo]).mean(dim=0)
        assert torch.allclose(got, F.normalize(mean / (mean.abs() + SMALLEST).sqrt(), dim=0), atol=1e-4)


@pytest.mark.parametrize("sketch", [0, 16])
def test_the_gradient_is_finite_where_features_are_zero(sketch):
    features = torch.cat([torch.zeros(1, 4, 2, 2), torch.randn(1, 4, 2, 2).relu()]).requires_grad_()
    BilinearPooling(4, sketch)(features, torch.tensor([1, 1])).sum().backward()
    assert torch.isfinite(features.grad).all()
