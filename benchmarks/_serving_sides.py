"""What `vitrine serve` is compared with: the simplest servers that somebody would write for the same net.

    python _serving_sides.py bare|kserve MODEL PORT [FOLDER ...]

`bare` is a FastAPI handler that decodes a photo, asks the net and answers. `kserve` is KServe's SDK, whose model does
the same behind the Open Inference Protocol. Both ask about one photo at a time, in the event loop. Folders are searched
for modules last: an interpreter that has KServe's packages finds Vitrine and torch there.
"""

import base64
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    """Serves until it is ended."""
    name, folder, port, *further = sys.argv[1:]
    sys.path += further
    {"bare": serve_bare, "kserve": serve_kserve}[name](Path(folder), int(port))


class Asked:
    """A model folder that is asked about one photo after another."""

    def __init__(self, folder: Path) -> None:
        from vitrine.predict import Model

        self._model = Model.load(folder)

    def answer(self, photo: bytes, top: int) -> dict[str, Any]:
        """What `vitrine predict` prints."""
        import numpy as np

        from vitrine.catalog.photos import decode_photo
        from vitrine.data.pixels import Query

        pixels = self._model.task.shown(self._model.config, decode_photo(photo, self._model.config["image_size"]))
        (reply,) = self._model.reply([Query(np.stack([pixels]), ["photo"], top)])
        return dict(reply.records[0])


def serve_bare(folder: Path, port: int) -> None:
    """What somebody writes first."""
    import uvicorn
    from fastapi import FastAPI, Request

    model, app = Asked(folder), FastAPI()

    @app.get("/v2/health/ready")
    async def is_ready() -> dict[str, bool]:
        return {"ready": True}

    @app.post("/predict")
    async def predict(request: Request, top: int = 5) -> dict[str, Any]:
        return {"answers": [model.answer(await request.body(), top)]}

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error", access_log=False)


def serve_kserve(folder: Path, port: int) -> None:
    """The example of KServe's documentation, with this model in it."""
    import numpy as np
    from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer

    asked = Asked(folder)

    class Photos(Model):
        def load(self) -> bool:
            self.ready = True
            return self.ready

        async def predict(self, payload: InferRequest, headers: Any = None, response_headers: Any = None) -> Any:
            (photo,) = payload.inputs[0].as_numpy().ravel()
            outputs = []
            for question, said in asked.answer(base64.b64decode(photo), 1).items():
                if question != "image":
                    output = InferOutput(question, [1, len(said)], "BYTES")
                    output.set_data_from_numpy(np.array([[one["label"] for one in said]], object), binary_data=False)
                    outputs.append(output)
            return InferResponse(payload.id, self.name, outputs)

    model = Photos("model")
    model.load()
    ModelServer(http_port=port, enable_grpc=False, enable_latency_logging=False, access_log_format=None).start([model])


if __name__ == "__main__":
    main()
