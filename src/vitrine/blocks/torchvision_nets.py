"""torchvision's nets without torch's compiler."""

import contextlib
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

COMPILER = ("torch._dynamo", "torch._dynamo.utils")


def torchvision_models() -> Any:
    """The module `torchvision.models`.

    Importing it loads its detection nets, and these the compiler, to ask once whether it supports a device: 5 of 6
    seconds, in every step of a pipeline, for what no net here uses.
    """
    with _without_compiler():
        from torchvision import models

    return models


@contextlib.contextmanager
def _without_compiler() -> Iterator[None]:
    if "torchvision" in sys.modules or COMPILER[0] in sys.modules:
        yield
        return
    stubs = {name: ModuleType(name) for name in COMPILER}
    stubs[COMPILER[1]].is_compile_supported = lambda device: False  # type: ignore[attr-defined]
    sys.modules |= stubs
    try:
        yield
    finally:  # whoever wants the compiler afterwards gets the real one
        for name in COMPILER:
            del sys.modules[name]
