"""Teachers, a student and a taxonomy net that learnt the toy catalog, once for all tests."""

import pytest
import torch
from once import made_once
from toys import toy_catalog

from vitrine.train import train

COMMON = ["image_size=32", "batch_size=16", "precision=32", "weights=none"]


@pytest.fixture(scope="session")
def trained(tmp_path_factory, slow_to_make):
    """The catalog and, by name, four model folders."""
    catalog = toy_catalog(tmp_path_factory.mktemp("trained") / "toys")

    def make(folder):
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        for kind in ("colour", "a.b"):
            settings = [f"type={kind}", "epochs=10", "embedding_dim=32", *COMMON]
            train("attributes", "teacher", catalog, folder / f"teacher {kind}", settings)
        teachers = f"teachers={folder / 'teacher colour'}, {folder / 'teacher a.b'}"
        train("attributes", "student", catalog, folder / "student", [teachers, "epochs=12", *COMMON])
        train("taxonomy", "", catalog, folder / "taxonomy", ["epochs=18", "attribute_weight=3", "hidden=64", *COMMON])
        torch.set_num_threads(threads)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VITRINE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield catalog, made_once(tmp_path_factory, "trained", make)
