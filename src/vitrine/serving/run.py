"""Starting the server: models are loaded beside it, and it is ready when all are warm."""

import logging
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn

from vitrine.errors import InputError
from vitrine.memory import collect_often
from vitrine.serving.app import Service, make_app
from vitrine.serving.engines import ENGINES
from vitrine.serving.guard import Guard, read_token
from vitrine.serving.limits import Limits
from vitrine.serving.metrics import Metrics
from vitrine.serving.models import Champions, Shelf, fetched
from vitrine.serving.products import Products
from vitrine.serving.prompt import prompt_protocol

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """What is served.

    Attributes:
        models: `NAME=ADDRESS` or addresses (see `vitrine.registry.address`); without a name a model has its task's.
        registry: Whose champions are followed; "" for none.
        wanted: The tasks whose champions are; none: all.
        index: That is searched; None for none.
        every: Seconds between two looks at the registry and the index.
        batch: Photos that a net is asked about at once.
        token: File of the token that clients must present.
        limits: Of requests.
        engine: What asks the nets: one of `ENGINES`.
    """

    models: Sequence[str] = ()
    registry: str = ""
    wanted: Sequence[str] = ()
    index: Path | None = None
    every: float = 30.0
    batch: int = 32
    token: Path | None = None
    limits: Limits = field(default_factory=Limits)
    engine: str = "torch"


class Server:
    """A server that can be started and stopped; what is wrong with its plan shows at once or in `failure`.

    Args:
        plan: What is served.
        host: Address to listen at.
        port: Port; 0 takes a free one.

    Raises:
        InputError: if the plan names nothing, a number of it is out of range, or its token cannot be read.
    """

    def __init__(self, plan: Plan, host: str = "127.0.0.1", port: int = 8080) -> None:
        if not plan.models and not plan.registry and plan.index is None:
            raise InputError("nothing to serve: name a model, --registry or --index")
        if plan.wanted and not plan.registry:
            raise InputError("--task: name the registry of its champion with --registry")
        if not plan.every > 0 or plan.batch < 1:
            raise InputError(f"--every {plan.every:g} and --batch {plan.batch}: must be above 0")
        if plan.every > threading.TIMEOUT_MAX:
            raise InputError(f"--every {plan.every:g}: {threading.TIMEOUT_MAX:.0f} seconds at most")
        if not 0 <= port <= 65535:  # the system would take another one
            raise InputError(f"--port {port}: from 0 to 65535")
        self._plan = plan
        self.failure: Exception | None = None
        self._metrics = Metrics()
        self._shelf = Shelf(self._metrics)
        self._stop = threading.Event()
        self._service = Service(self._shelf, plan.limits, self._metrics, plan.batch, max(2, os.cpu_count() or 1))
        app = Guard(make_app(self._service), plan.limits, self._metrics, read_token(plan.token))
        settings: dict[str, Any] = {"access_log": False, "server_header": False, "log_config": None, "lifespan": "on"}
        self._uvicorn = uvicorn.Server(
            uvicorn.Config(
                app, host, port, http=prompt_protocol(plan.limits.body_seconds), ws="none",
                timeout_keep_alive=75, timeout_graceful_shutdown=int(plan.limits.answer_seconds) + 1, **settings,
            )
        )  # fmt: skip

    def run(self) -> None:
        """Serves until a signal, or `stop`.

        Raises:
            InputError: if what was to be served cannot be.
        """
        loading = threading.Thread(target=self._load, name="models", daemon=True)
        loading.start()
        try:
            self._uvicorn.run()
        except SystemExit as error:  # uvicorn's word for a port that is taken, which it has logged
            raise InputError("the server could not start; see above") from error
        finally:
            self._stop.set()
        if self.failure is not None:
            raise self.failure

    def stop(self) -> None:
        """Ends `run`, once what is being answered is."""
        self._uvicorn.should_exit = True

    @property
    def ready(self) -> bool:
        """Whether all models are loaded and warm."""
        return self._shelf.complete

    @property
    def port(self) -> int:
        """The port it listens at; 0 before it does."""
        servers = getattr(self._uvicorn, "servers", [])
        return int(servers[0].sockets[0].getsockname()[1]) if servers and servers[0].sockets else 0

    def _load(self) -> None:
        """Loads all there is, then follows the registry and the index; what fails at first ends the server."""
        plan, load = self._plan, ENGINES[self._plan.engine]
        try:
            for named in plan.models:
                name, sign, address = named.partition("=")
                name, address = (name, address) if sign else ("", named)
                model = fetched(address, name, load, plan.batch, plan.registry)
                if model.name in self._shelf.models:
                    raise InputError(f"two models are called {model.name!r}; name them: NAME={address}")
                self._shelf.put(model)
            champions = None
            if plan.registry and (plan.wanted or not plan.models):
                champions = Champions(self._shelf, plan.registry, plan.wanted, load, plan.batch)
                champions.take()
            if plan.index is not None:
                self._service.products = Products(plan.index, load, plan.batch)
        except Exception as error:
            self.failure = error
            self._uvicorn.should_exit = True
            return
        collect_often()
        self._shelf.complete = True
        _log.info(
            "ready: %s", ", ".join(f"{one.name} {one.version}" for one in self._shelf.models.values()) or "search"
        )
        self._follow(champions)

    def _follow(self, champions: Champions | None) -> None:
        while not self._stop.wait(self._plan.every):
            for what in (champions and champions.take, self._service.products and self._service.products.refresh):
                try:
                    if what:
                        what()
                except Exception as error:  # a registry that is down today answers tomorrow
                    self._metrics.faults.inc()
                    _log.warning("what is served stays as it is: %s", error)
