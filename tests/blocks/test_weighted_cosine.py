"""The student's loss against Eq. 3-4, photo by photo."""

import math

import pytest
import torch

from vitrine.blocks.weighted_cosine import certainty, distillation_loss

DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]


def cosine(a, b):
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def vectors(n, seed, dim=6):
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("dtype", DTYPES)
def test_certainty_equals_the_formula(dtype, beta):
    teacher, dictionary = vectors(20, 0).to(dtype), vectors(3, 1).to(dtype)
    got = certainty(teacher, dictionary, beta).tolist()
    for e, w in zip(teacher.tolist(), got, strict=True):
        assert w == pytest.approx(max(0.0, *(cosine(d, e) for d in dictionary.tolist())) ** beta, rel=1e-4, abs=1e-6)


def test_certainty_of_a_photo_far_from_every_label_is_zero():
    teacher = torch.tensor([[-1.0, -1.0], [3.0, 0.0]])
    assert certainty(teacher, torch.eye(2), 1.0).tolist() == [0.0, 1.0]


@pytest.mark.parametrize("beta", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("dtype", DTYPES)
def test_loss_equals_the_formula(dtype, beta):
    kinds = {"items": (4, 8), "a.b": (3, 3)}  # type: (classes, seed)
    student = {kind: vectors(15, seed).to(dtype) for kind, (_, seed) in kinds.items()}
    teacher = {kind: vectors(15, seed + 100).to(dtype) for kind, (_, seed) in kinds.items()}
    dictionaries = {kind: vectors(classes, seed + 200) for kind, (classes, seed) in kinds.items()}
    total = 0.0
    for kind, dictionary in dictionaries.items():
        for i in range(15):
            e_s, e_t = student[kind][i].tolist(), teacher[kind][i].tolist()
            w = max(0.0, *(cosine(d, e_t) for d in dictionary.tolist())) ** beta
            total += w * (1 - cosine(e_s, e_t))
    weights = {kind: certainty(teacher[kind], dictionaries[kind], beta) for kind in kinds}
    got = distillation_loss(student, teacher, weights)
    assert got.dtype == torch.float32
    assert math.isclose(got.item(), total / 15, rel_tol=1e-4)


def test_beta_zero_is_equation_3():
    student, teacher = {"x": vectors(9, 0)}, {"x": vectors(9, 1)}
    wanted = sum(1 - cosine(a, b) for a, b in zip(student["x"].tolist(), teacher["x"].tolist(), strict=True)) / 9
    weights = {"x": certainty(teacher["x"], vectors(2, 2), 0.0)}
    assert math.isclose(distillation_loss(student, teacher, weights).item(), wanted, rel_tol=1e-5)


def test_a_student_that_agrees_has_no_loss_and_one_that_opposes_the_most():
    teacher, weights = {"x": vectors(5, 0)}, {"x": torch.ones(5)}
    assert distillation_loss({"x": teacher["x"] * 3}, teacher, weights).item() == pytest.approx(0, abs=1e-6)
    assert distillation_loss({"x": -teacher["x"]}, teacher, weights).item() == pytest.approx(2)


def test_photos_without_certainty_have_no_gradient():
    student = vectors(2, 0).requires_grad_()
    distillation_loss({"x": student}, {"x": vectors(2, 1)}, {"x": torch.tensor([0.0, 1.0])}).backward()
    assert student.grad[0].abs().max() == 0
    assert student.grad[1].abs().max() > 0


def test_a_zero_embedding_has_a_finite_gradient():
    student = torch.zeros(2, 4, requires_grad=True)
    distillation_loss({"x": student}, {"x": vectors(2, 1, dim=4)}, {"x": torch.ones(2)}).backward()
    assert torch.isfinite(student.grad).all()


def test_refuses_no_teacher():
    with pytest.raises(ValueError, match="at least one teacher"):
        distillation_loss({}, {}, {})


def test_float32_under_autocast():
    student, teacher, dictionary = vectors(9, 0, dim=64), vectors(9, 1, dim=64), vectors(4, 2, dim=64)
    weights = certainty(teacher, dictionary, 1.0)
    wanted = distillation_loss({"x": student}, {"x": teacher}, {"x": weights})
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(certainty(teacher, dictionary, 1.0), weights)
        assert torch.equal(distillation_loss({"x": student}, {"x": teacher}, {"x": weights}), wanted)
