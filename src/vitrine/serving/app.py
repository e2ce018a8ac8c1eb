"""The routes: what a request asks of which model, and how it is answered."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files as resources
from typing import Any, TypeVar

import numpy as np
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException

from vitrine import __version__
from vitrine.catalog.photos import PhotoError
from vitrine.data.pixels import Query
from vitrine.errors import InputError
from vitrine.predictions import Reply
from vitrine.serving import protocol
from vitrine.serving.batching import Batcher
from vitrine.serving.limits import Limits, RefusedError, busy
from vitrine.serving.metrics import CONTENT_TYPE, Metrics
from vitrine.serving.models import Served, Shelf
from vitrine.serving.openapi import PHOTOS, PREDICT, SEARCH, TENSORS, VERIFY, documentation
from vitrine.serving.products import Products, search
from vitrine.serving.uploads import Photo, Upload, decoded, read_upload

TOP, HITS = 5, 20  # answers where the request names no number
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
STATIC = {"page.js": "text/javascript", "page.css": "text/css"}

Found = TypeVar("Found")


class Service:
    """What the routes share.

    Args:
        shelf: The models.
        limits: Of requests.
        metrics: Told of what happens.
        batch: Photos that a net is asked about at once.
        decoders: Threads that decode photos and search.

    Attributes:
        products: The index that is searched; None while there is none.
    """

    def __init__(self, shelf: Shelf, limits: Limits, metrics: Metrics, batch: int, decoders: int) -> None:
        self.shelf = shelf
        self.limits = limits
        self.metrics = metrics
        self.products: Products | None = None
        self.batcher = Batcher(metrics, batch)
        self._decoders = ThreadPoolExecutor(decoders, "decode")
        self._waiting = 0

    @contextlib.asynccontextmanager
    async def running(self, _: FastAPI) -> AsyncIterator[None]:
        """While the server runs: the batches."""
        task = asyncio.create_task(self.batcher.run())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            self.batcher.close()
            self._decoders.shutdown()

    async def in_time(self, photos: int, answer: Callable[[], Awaitable[Found]]) -> Found:
        """An answer about so many photos, if there is room for them and it stands in time.

        Raises:
            RefusedError: 503, with the time after which there should be room.
        """
        if self._waiting + photos > self.limits.waiting_photos:
            raise busy(f"{self._waiting} photos wait to be answered", self._waiting * self.batcher.photo_seconds)
        self._waiting += photos
        self.metrics.waiting.set(self._waiting)
        try:
            async with asyncio.timeout(self.limits.answer_seconds):
                return await answer()
        except TimeoutError as error:
            raise busy(f"no answer within {self.limits.answer_seconds:g} s", 5) from error
        finally:
            self._waiting -= photos
            self.metrics.waiting.set(self._waiting)

    async def in_thread(self, work: Callable[..., Found], *arguments: Any) -> Found:
        """Runs what takes a while and asks no net."""
        return await asyncio.get_running_loop().run_in_executor(self._decoders, work, *arguments)

    async def shown(self, model: Served, photos: Sequence[Photo]) -> list[np.ndarray | str]:
        """What a net is shown of each photo, or what is wrong with it."""

        def one(photo: Photo) -> np.ndarray | str:
            try:
                return model.model.task.shown(model.model.config, decoded(photo.data, self.limits, model.size))
            except PhotoError as error:
                return f"{photo.name}: {error}"

        shown_photos = await asyncio.gather(*(self.in_thread(one, photo) for photo in photos))
        if bad := sum(isinstance(pixels, str) for pixels in shown_photos):
            self.metrics.refused.inc(bad)
        return shown_photos

    async def reply(self, model: Served, photos: Sequence[Photo], top: int = 1) -> Reply:
        """What a model answers about photos that must all be sound.

        Raises:
            RefusedError: if there are none, or one cannot be decoded.
        """
        if not photos:
            raise RefusedError(400, "no photo came with the request")
        shown = await self.shown(model, photos)
        for pixels in shown:
            if isinstance(pixels, str):
                raise RefusedError(400, pixels)
        return await self.batcher.ask(model, Query(np.stack(shown), [photo.name for photo in photos], top))

    async def upload(self, request: Request) -> Upload:
        """See `read_upload`."""
        body = await request.body()
        kind = request.headers.get("content-type", "")
        if len(body) > 1 << 20:  # taking a form apart would hold the others up
            return await self.in_thread(read_upload, body, kind, request.query_params, self.limits)
        return read_upload(body, kind, request.query_params, self.limits)


def make_app(service: Service) -> FastAPI:
    """The application, without its guard."""
    app = FastAPI(
        title="Vitrine",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        lifespan=service.running,
        description="Product photos in; categories, attributes, products and verdicts out.",
    )
    _errors(app)
    _health(app, service)
    _friendly(app, service)
    _inference(app, service)
    _pages(app, service)
    return app


def _errors(app: FastAPI) -> None:
    @app.exception_handler(RefusedError)
    async def refused(_: Request, error: RefusedError) -> Response:
        headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
        return _error(error.status, str(error), headers)

    @app.exception_handler(InputError)
    async def unusable(_: Request, error: InputError) -> Response:
        return _error(400, str(error))

    @app.exception_handler(HTTPException)
    async def unknown(_: Request, error: HTTPException) -> Response:
        reasons = {404: "no such address; /docs names them", 405: "not with this method; /docs names them"}
        return _error(error.status_code, reasons.get(error.status_code, str(error.detail)), error.headers)

    @app.exception_handler(Exception)
    async def failed(_: Request, error: Exception) -> Response:
        return _error(500, "the server failed; its log says why")


def _error(status: int, reason: str, headers: Any = None) -> Response:
    return JSONResponse({"error": reason}, status, headers)


def _health(app: FastAPI, service: Service) -> None:
    @app.get("/v2/health/live", tags=["health"])
    async def live() -> dict[str, bool]:
        """Whether the process answers."""
        return {"live": True}

    @app.get("/v2/health/ready", tags=["health"])
    async def ready() -> Response:
        """Whether all models are loaded and warm."""
        complete = service.shelf.complete
        return JSONResponse({"ready": complete}, 200 if complete else 503)

    @app.get("/metrics", tags=["health"], response_class=Response)
    async def metrics() -> Response:
        """For Prometheus."""
        return Response(service.metrics.text(), media_type=CONTENT_TYPE)


def _friendly(app: FastAPI, service: Service) -> None:
    @app.get("/models", tags=["photos"])
    async def models() -> dict[str, Any]:
        """Which models answer, with `labels`, a `verdict` or an `embedding`, and how many photos are searched."""
        keys = ("name", "task", "output", "version", "engine")
        models = [{key: getattr(model, key) for key in keys} for model in service.shelf.models.values()]
        searched = None if service.products is None else len(service.products.shelved.index)
        return {"models": models, "searched_photos": searched}

    @app.post("/predict", tags=["photos"], openapi_extra=PREDICT)
    async def predict(request: Request) -> dict[str, Any]:
        """Names the labels of photos: what `vitrine predict` prints, with the model that said so.

        Photos that cannot be read are named under `errors`, the others answered.
        """
        upload = await service.upload(request)
        model = service.shelf.naming(upload.options.get("model", ""))
        top = upload.number("top", TOP, 1000)

        async def answer() -> dict[str, Any]:
            shown = await service.shown(model, upload.photos)
            good = [place for place, pixels in enumerate(shown) if not isinstance(pixels, str)]
            errors = [pixels for pixels in shown if isinstance(pixels, str)]
            if not good:
                raise RefusedError(400, errors[0] if errors else "no photo came with the request")
            names = [upload.photos[place].name for place in good]
            query = Query(np.stack([shown[place] for place in good]), names, top)
            reply = await service.batcher.ask(model, query)
            body = {"model": model.name, "version": model.version, "answers": list(reply.records)}
            return body | ({"errors": errors} if errors else {})

        return await service.in_time(len(upload.photos), answer)

    @app.post("/search", tags=["photos"], openapi_extra=SEARCH)
    async def find(request: Request) -> dict[str, Any]:
        """Finds the products that look like each photo, or like a product."""
        upload = await service.upload(request)
        if service.products is None:
            starting = not service.shelf.complete
            raise busy("the index is still being opened") if starting else RefusedError(404, "no index is served here")
        shelved = service.products.shelved
        k, product = upload.number("k", HITS, service.limits.hits), upload.options.get("product", "")
        if bool(product) == bool(upload.photos):
            raise RefusedError(400, "photos are needed, or a product to begin with, and not both")

        async def answer() -> dict[str, Any]:
            if product:
                embeddings = await service.in_thread(shelved.index.embeddings_of, product)
                if not len(embeddings):
                    raise RefusedError(404, "no such product in the index")
                names, features = [product], embeddings.mean(axis=0, keepdims=True)
            else:
                reply = await service.reply(shelved.model, upload.photos)
                names, features = [photo.name for photo in upload.photos], reply.features
            category, exact = upload.options.get("category", ""), upload.flag("exact")
            hits = [
                await service.in_thread(search, shelved, feature, k, category, exact, product) for feature in features
            ]
            results = [{"image": name, "products": products} for name, products in zip(names, hits, strict=True)]
            return {"searched_photos": len(shelved.index), "version": shelved.model.version, "results": results}

        return await service.in_time(max(1, len(upload.photos)), answer)

    @app.post("/verify", tags=["photos"], openapi_extra=VERIFY)
    async def verify(request: Request) -> dict[str, Any]:
        """Judges a listing by all of its photos together, and says how much each of them weighed.

        A photo called like a view that the model knows (`tag.jpg`, `tag-2.jpg`) is taken to show it.
        """
        upload = await service.upload(request)
        model = service.shelf.judging(upload.options.get("model", ""))
        reply = await service.in_time(len(upload.photos), lambda: service.reply(model, upload.photos))
        record = dict(reply.records[0])
        names = [photo.name for photo in upload.photos]
        record["weights"] = [
            {"image": name, "weight": weight} for name, weight in zip(names, record["weights"], strict=True)
        ]
        return {"model": model.name, "version": model.version} | record

    @app.get("/photos/{place:path}", tags=["photos"], response_class=Response, openapi_extra=PHOTOS)
    async def photo(place: str) -> Response:
        """A photo that a search found, small."""
        if service.products is None:
            raise RefusedError(404, "no index is served here")
        data = await service.in_thread(service.products.thumbnail, place)
        return Response(data, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600"})


def _inference(app: FastAPI, service: Service) -> None:
    @app.get("/v2", tags=["open inference protocol"])
    async def server() -> dict[str, Any]:
        """What this server is."""
        return {"name": "vitrine", "version": __version__, "extensions": list(protocol.EXTENSIONS)}

    @app.get("/v2/models/{name}/versions/{version}/ready", tags=["open inference protocol"])
    @app.get("/v2/models/{name}/ready", tags=["open inference protocol"])
    async def ready(name: str, version: str = "") -> dict[str, Any]:
        """Whether a model answers."""
        return {"name": service.shelf.get(name, version).name, "ready": True}

    @app.get("/v2/models/{name}/versions/{version}", tags=["open inference protocol"])
    @app.get("/v2/models/{name}", tags=["open inference protocol"])
    async def metadata(name: str, version: str = "") -> dict[str, Any]:
        """What a model takes and gives."""
        model = service.shelf.get(name, version)
        grey = np.full((1, model.size, model.size, 3), 128, np.uint8)
        example = await service.in_time(1, lambda: service.batcher.ask(model, Query(grey, ["grey"], 1)))
        return protocol.metadata(model, example)

    @app.post("/v2/models/{name}/versions/{version}/infer", tags=["open inference protocol"], openapi_extra=TENSORS)
    @app.post("/v2/models/{name}/infer", tags=["open inference protocol"], openapi_extra=TENSORS)
    async def infer(request: Request, name: str, version: str = "") -> Response:
        """Asks a model about photos, sent as a tensor of their files."""
        body = await request.body()
        model = service.shelf.get(name, version)
        asked = protocol.read_request(body, request.headers.get(protocol.HEADER, ""), service.limits)
        reply = await service.in_time(len(asked.photos), lambda: service.reply(model, asked.photos, asked.top))
        content, headers = protocol.write_response(model, reply, asked)
        return Response(content, headers=headers)


def _pages(app: FastAPI, service: Service) -> None:
    folder = resources("vitrine.serving")
    texts = {name: (folder / name).read_text(encoding="utf-8") for name in ("page.html", *STATIC)}

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return HTMLResponse(texts["page.html"], headers={"Content-Security-Policy": PAGE_POLICY})

    @app.get("/static/{name}", include_in_schema=False)
    async def static(name: str) -> Response:
        if name not in STATIC:
            raise RefusedError(404, "no such file")
        return Response(texts[name], media_type=STATIC[name], headers={"Cache-Control": "no-cache"})

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return HTMLResponse(documentation(app.openapi()), headers={"Content-Security-Policy": PAGE_POLICY})
