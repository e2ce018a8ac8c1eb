"""A step that is tried again on a cluster: where its input cannot be used, trying once is enough.

Argo could be told to look at the exit code (`retryStrategy.expression: lastRetry.exitCode`), but a Kubeflow pipeline
has no word for that: its retry policy is a count and a wait (kfp 2.17), and the API server writes nothing else into
the workflow. So the first attempt leaves what it said on the volume that all attempts share, and a later one ends with
the same line before it fetches or computes anything. What may pass by itself is tried again.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from pipelines.agreed import NODE
from pipelines.kube import ATTEMPT
from vitrine.errors import InputError, PassingError
from vitrine.files import atomic_write


@contextlib.contextmanager
def refused_once(checkpoints: str, output: str) -> Iterator[None]:
    """Has a block that a step's retry runs again end at once if its input could not be used before.

    A person who has mended the input and presses *Retry* begins with a first attempt again.

    Args:
        checkpoints: The step's folder of checkpoints, on the volume.
        output: Address of one of the step's outputs: the same for all attempts of a step, and no other's.

    Raises:
        InputError: that of the attempt before.
    """
    attempt = ATTEMPT.search(os.environ.get(NODE, ""))
    if attempt is None:
        yield
        return
    said = Path(checkpoints).parent / "refused" / hashlib.sha256(output.encode()).hexdigest()[:24]
    if int(attempt[1]) and said.is_file():
        raise InputError(said.read_text(encoding="utf-8"))
    said.unlink(missing_ok=True)
    try:
        yield
    except InputError as error:
        if not isinstance(error, PassingError):
            with contextlib.suppress(OSError), atomic_write(said) as temporary:  # without, it is tried again in full
                temporary.write_text(" ".join(str(error).split()), encoding="utf-8")
        raise
