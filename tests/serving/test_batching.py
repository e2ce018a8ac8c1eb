"""Queries of several clients in one batch."""

import asyncio
import threading

import numpy as np
import pytest

from vitrine.data.pixels import Query
from vitrine.errors import InputError
from vitrine.predictions import Reply
from vitrine.serving.batching import Batcher
from vitrine.serving.metrics import Metrics


class Model:
    """Answers each photo with its own first pixel; waits to be let go on."""

    def __init__(self, name):
        self.name = name
        self.batches = []
        self.go = threading.Event()

    def reply(self, queries):
        self.go.wait(20)
        self.batches.append([int(query.pixels[0, 0, 0, 0]) for query in queries])
        if any(13 in own for own in self.batches[-1:]):
            raise InputError("thirteen")
        return [Reply([{"is": int(query.pixels[0, 0, 0, 0])}], np.zeros((len(query), 1))) for query in queries]


def query(number, photos=1):
    return Query(np.full((photos, 1, 1, 3), number, np.uint8), [f"{number}"] * photos)


def asked(models, queries, photos=4):
    """The outcomes of queries that all come while the first is being answered."""

    async def run():
        batcher = Batcher(Metrics(), photos)
        running = asyncio.create_task(batcher.run())
        tasks = []
        for model, own in queries:
            tasks.append(asyncio.create_task(batcher.ask(model, own)))
            await asyncio.sleep(0.02)
        for model in models:
            model.go.set()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        running.cancel()
        batcher.close()
        return [one.records[0]["is"] if isinstance(one, Reply) else one for one in found]

    return asyncio.run(run())


def test_what_waits_is_asked_together_and_each_gets_its_own():
    model = Model("a")
    assert asked([model], [(model, query(i)) for i in range(7)]) == list(range(7))
    assert model.batches == [[0], [1, 2, 3, 4], [5, 6]]


def test_batches_are_of_one_model_and_the_oldest_goes_first():
    one, two = Model("a"), Model("b")
    queries = [(one, query(0)), (two, query(1)), (one, query(2)), (two, query(3)), (one, query(4))]
    assert asked([one, two], queries) == list(range(5))
    assert one.batches == [[0], [2, 4]]
    assert two.batches == [[1, 3]]


def test_a_query_that_is_too_long_is_a_batch_of_its_own():
    model = Model("a")
    assert asked([model], [(model, query(0)), (model, query(1, 9)), (model, query(2))]) == [0, 1, 2]
    assert model.batches == [[0], [1], [2]]


def test_one_that_cannot_be_answered_spoils_no_other():
    model = Model("a")
    found = asked([model], [(model, query(i)) for i in (0, 12, 13, 14)])
    assert [found[0], found[1], found[3]] == [0, 12, 14]
    with pytest.raises(InputError, match="thirteen"):
        raise found[2]


def test_nobody_is_asked_for_those_who_left():
    model = Model("a")

    async def run():
        batcher = Batcher(Metrics())
        running = asyncio.create_task(batcher.run())
        tasks = [asyncio.create_task(batcher.ask(model, query(i))) for i in range(3)]
        await asyncio.sleep(0.05)
        tasks[1].cancel()
        model.go.set()
        assert (await tasks[2]).records[0]["is"] == 2
        running.cancel()
        batcher.close()

    asyncio.run(run())
    assert [1] not in model.batches
    assert sorted(number for batch in model.batches for number in batch) in ([0, 2], [0, 1, 2])
