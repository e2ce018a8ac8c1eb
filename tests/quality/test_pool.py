import os
import signal

import pytest

from vitrine.errors import InputError
from vitrine.quality.pool import in_order


def killed_at_three(item: int) -> int:
    """What the kernel does to a process when memory runs out."""
    if item == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def test_a_killed_process_is_one_line_and_its_answer_is_not_left_out():
    seen = []
    with pytest.raises(InputError, match=r"looking at photos: one of 2 processes was killed, .* memory") as caught:
        seen += in_order(killed_at_three, range(40), workers=2)
    assert "\n" not in str(caught.value)
    assert seen == list(range(len(seen)))
    assert list(in_order(killed_at_three, range(4, 40), workers=2)) == list(range(4, 40))
