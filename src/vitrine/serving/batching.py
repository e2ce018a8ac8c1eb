"""Requests of several clients, asked of a net together.

One thread asks the nets. While it does, further queries wait; then all that wait for the same model are asked at once,
up to a number of photos. So nobody waits for a batch to fill: a single client's query is asked the moment it comes, and
batches grow by themselves as the net falls behind.
"""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from vitrine.data.pixels import Query
from vitrine.predictions import Reply
from vitrine.serving.metrics import Metrics
from vitrine.serving.models import Served


@dataclass(frozen=True)
class _Waiting:
    model: Served
    query: Query
    answer: "asyncio.Future[Reply]"


class Batcher:
    """Asks models, one batch at a time.

    Args:
        metrics: Told of each batch.
        photos: Of a batch, at most; a longer query is a batch of its own.
    """

    def __init__(self, metrics: Metrics, photos: int = 32) -> None:
        self._metrics = metrics
        self._photos = photos
        self._waiting: deque[_Waiting] = deque()
        self._wake = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "net")
        self.photo_seconds = 0.05  # of late, for the time that a client is told to wait

    async def ask(self, model: Served, query: Query) -> Reply:
        """What a model answers; the very model that is given, whatever is put in its place meanwhile.

        Raises:
            InputError: if it cannot answer this query.
        """
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(model, query, answer))
        self._wake.set()
        return await answer

    async def run(self) -> None:
        """Answers what waits, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self._wake.wait()
            batch = self._next()
            if not batch:
                self._wake.clear()
                continue
            model, queries = batch[0].model, [waiting.query for waiting in batch]
            photos, started = sum(map(len, queries)), time.perf_counter()
            replies = await loop.run_in_executor(self._thread, _ask, model, queries)
            took = time.perf_counter() - started
            self.photo_seconds += 0.1 * (took / photos - self.photo_seconds)
            self._metrics.batch.labels(model.name).observe(photos)
            self._metrics.net_seconds.labels(model.name).observe(took)
            for waiting, reply in zip(batch, replies, strict=True):
                if waiting.answer.done():  # its client has gone
                    continue
                if isinstance(reply, Reply):
                    waiting.answer.set_result(reply)
                else:
                    waiting.answer.set_exception(reply)

    def close(self) -> None:
        """Ends the thread, once it has answered what it was asked."""
        self._thread.shutdown()

    def _next(self) -> list[_Waiting]:
        """The query that has waited longest, and others of its model while they fit; without those nobody waits for."""
        batch: list[_Waiting] = []
        others: deque[_Waiting] = deque()
        photos = 0
        for waiting in self._waiting:
            if waiting.answer.done():
                continue
            fits = photos + len(waiting.query) <= self._photos
            if not batch or (waiting.model is batch[0].model and fits):
                batch.append(waiting)
                photos += len(waiting.query)
            else:
                others.append(waiting)
        self._waiting = others
        return batch


def _ask(model: Served, queries: Sequence[Query]) -> list[Reply | Exception]:
    """Replies; where asking together fails, each query by itself, so that one does not spoil the others' answers."""
    try:
        return [*model.reply(queries)]
    except Exception as error:
        if len(queries) == 1:
            return [error]
    replies: list[Reply | Exception] = []
    for query in queries:
        replies += _ask(model, [query])
    return replies
