"""What becomes of the retries that a cluster makes of a step whose input cannot be used."""

import pytest

from pipelines.attempts import refused_once
from vitrine.errors import InputError, PassingError
from vitrine.files import DamagedError

OUTPUT = "s3://mlpipeline/v2/artifacts/retrain/run-1/train/1/model"
NODE = "retrain-x7.root.run.teachers.iteration(0:a).train.executor({})"


@pytest.fixture
def attempt(tmp_path, monkeypatch):
    """Whether the step's work was begun in an attempt, and what it said."""

    def run(number, error=None, output=OUTPUT, node=NODE):
        monkeypatch.setenv("VITRINE_ARGO_NODE", node.format(number))
        begun = False
        try:
            with refused_once(str(tmp_path / "checkpoints"), output):
                begun = True
                if error:
                    raise error
        except (ValueError, OSError, RuntimeError) as said:
            return begun, f"{type(said).__name__}: {said}"
        return begun, ""

    return run


def test_input_that_cannot_be_used_is_read_once(attempt):
    said = "InputError: weights=x.pt: no such file"
    assert attempt(0, InputError("weights=x.pt: no such file")) == (True, said)
    assert attempt(1) == attempt(2) == (False, said)
    assert attempt(1, output=OUTPUT.replace("run-1", "run-2")) == (True, "")


def test_a_person_who_mended_it_and_retries_the_run_begins_anew(attempt):
    attempt(0, InputError("weights=x.pt: no such file"))
    assert attempt(0, RuntimeError("killed")) == (True, "RuntimeError: killed")
    assert attempt(1) == (True, "")


@pytest.mark.parametrize(
    "error",
    [
        PassingError("s3://a/b: S3 answered SlowDown"),
        DamagedError("s3://a/b: damaged"),
        OSError(28, "No space left"),
        RuntimeError("out of memory"),
    ],
)
def test_what_may_pass_is_tried_again(attempt, error):
    assert attempt(0, error)[0]
    assert attempt(1) == (True, "")


@pytest.mark.parametrize("node", ["", "retrain-x7.root.run.train.executor"])
def test_where_nothing_tries_again_nothing_is_kept(attempt, tmp_path, node):
    attempt(0, InputError("no"), node=node)
    assert not list(tmp_path.iterdir())
    assert attempt(1, node=node) == (True, "")
