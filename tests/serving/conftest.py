"""Models and an index of toys, and servers of them in this process, each at a port of its own."""

import socket
import threading
import time
from contextlib import contextmanager

import httpx
import pytest
from toy_listings import learnable_catalog
from toys import toy_catalog

from vitrine.serving.run import Plan, Server
from vitrine.train import train
from vitrine.visual_search import make_index

QUICK = ("epochs=2", "image_size=32", "workers=1", "weights=none")


class Made:
    """What all tests of the server share: folders of models, an index, photos."""

    def __init__(self, folder):
        self.folder = folder
        self.catalog = toy_catalog(folder / "toys")
        self.photos = sorted((folder / "toys" / "images").glob("*.png"))
        self.taxonomy, self.other = folder / "taxonomy", folder / "other"
        train("taxonomy", "ssmtl-ca", self.catalog, self.taxonomy, (*QUICK, "hidden=16"))
        train("taxonomy", "bcnn", self.catalog, self.other, (*QUICK, "hidden=16", "seed=5"))
        self.representation = folder / "representation"
        train("representation", "base", self.catalog, self.representation, QUICK)
        table = self.catalog.table.assign(product=[f"P{i // 3}" for i in range(len(self.catalog))])
        self.products = self.catalog.with_table(table)
        self.index = folder / "index"
        make_index(self.representation, self.products, self.index)
        self.listings = learnable_catalog(folder / "listings", 24)
        self.authenticity = folder / "authenticity"
        train("authenticity", "ssa", self.listings, self.authenticity, QUICK)


@pytest.fixture(scope="session")
def made(tmp_path_factory, own_cache, slow_to_make):
    return Made(tmp_path_factory.mktemp("served"))


@contextmanager
def running(plan):
    """A server, ready, and a client of it."""
    server = Server(plan, port=0)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        for _ in range(6000):
            if server.ready or server.failure:
                break
            time.sleep(0.05)
        assert server.failure is None, server.failure
        assert server.ready
        while not server.port:
            time.sleep(0.01)
        with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=300) as client:
            client.port = server.port
            yield client
    finally:
        server.stop()
        thread.join(timeout=300)
    assert not thread.is_alive()


@pytest.fixture(scope="module")
def client(made):
    """Of a server of all kinds of models."""
    models = [str(made.taxonomy), f"plain={made.other}", str(made.authenticity)]
    with running(Plan(models=models, index=made.index)) as found:
        yield found


@contextmanager
def spoken_to(port):
    """A bare connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        yield connection
