from random import Random

import numpy
import pytest

from vitrine.synth.marks import MARKED_VIEWS, draw_view


@pytest.mark.parametrize("view", MARKED_VIEWS)
def test_a_copy_differs_in_its_mark_and_nowhere_else(view: str) -> None:
    true, copied = (
        numpy.asarray(draw_view(view, "shoe", "blue", genuine, Random("photo")).rgb, dtype=int)
        for genuine in (True, False)
    )
    changed = numpy.abs(true - copied).max(axis=2) > 0
    assert 0.003 < changed.mean() < 0.1


@pytest.mark.parametrize("view", MARKED_VIEWS)
def test_the_mark_survives_reduction_to_64_pixels(view: str) -> None:
    true, copied = (
        draw_view(view, "shoe", "red", genuine, Random("photo")).rgb.resize((64, 64)) for genuine in (True, False)
    )
    assert numpy.abs(numpy.asarray(true, dtype=int) - numpy.asarray(copied, dtype=int)).max() > 30
