import io

import pytest

from vitrine import progress
from vitrine.progress import Progress, lasting


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress, "monotonic", clock)
    return clock


def test_a_log_gets_a_line_every_half_minute_with_unit_rate_and_what_is_left(clock, capsys):
    with Progress("scanning", "photo") as shown:
        for done in range(1, 101):  # two seconds each
            clock.now += 2
            shown(done, 100)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 6  # of 200 seconds
    assert lines[0] == "scanning: 15 of 100 photos, 0.5 a second, 3 min left"
    assert lines[-1] == "scanning: 90 of 100 photos, 0.5 a second, 20 s left"


def test_short_work_says_nothing(clock, capsys):
    with Progress("scanning", "photo") as shown:
        clock.now += 29
        shown(99, 100)
    assert capsys.readouterr().err == ""


def test_what_was_done_before_is_no_speed(clock, capsys):
    shown = Progress("teacher 2/8", "step", total=1000, done=600)
    clock.now += 50
    shown.update(100)
    assert capsys.readouterr().err == "teacher 2/8: 700 of 1,000 steps, 2 a second, 2 min left\n"


def test_a_terminal_gets_a_bar(monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr("sys.stderr", terminal)
    with Progress("scanning", "photo", total=3) as shown:
        shown.update()
        shown(3, 3)
    assert "scanning" in terminal.getvalue()
    assert "photo" in terminal.getvalue()


@pytest.mark.parametrize(("seconds", "said"), [(45.2, "45 s"), (600, "10 min"), (5000, "1 h 23 min"), (0, "0 s")])
def test_times(seconds, said):
    assert lasting(seconds) == said
