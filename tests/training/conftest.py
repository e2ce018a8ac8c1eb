"""A toy catalog, and decoded photos kept out of the home folder."""

import pytest
import torch
from toys import toy_catalog


@pytest.fixture(scope="session")
def toys(tmp_path_factory):
    return toy_catalog(tmp_path_factory.mktemp("toys") / "toys", photos=72, size=16)


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _settled(cache, monkeypatch):
    """One thread, because sums over several may differ in their last bit."""
    monkeypatch.setenv("VITRINE_CACHE", str(cache))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
