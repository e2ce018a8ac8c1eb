"""What /openapi.json says of the bodies, and the page at /docs: no script and no outside address."""

from typing import Any

from jinja2 import Environment, PackageLoader, select_autoescape

FILES = {"type": "array", "items": {"type": "string", "format": "binary"}, "description": "Photos."}


def _form(**options: tuple[str, str]) -> dict[str, Any]:
    """A body of photos with options, as a form, as one photo, or as JSON."""
    fields = {name: {"type": kind, "description": text} for name, (kind, text) in options.items()}
    base64 = {"type": "array", "items": {"type": "string", "format": "byte"}, "description": "Photos, base64."}
    return {
        "parameters": [
            {"name": name, "in": "query", "required": False, "description": text, "schema": {"type": kind}}
            for name, (kind, text) in options.items()
        ],
        "requestBody": {
            "content": {
                "multipart/form-data": {"schema": {"type": "object", "properties": {"photos": FILES, **fields}}},
                "image/*": {"schema": {"type": "string", "format": "binary"}},
                "application/json": {"schema": {"type": "object", "properties": {"photos": base64, **fields}}},
            }
        },
    }


MODEL = ("string", "Which model; default: the first that can answer.")
PREDICT = _form(model=MODEL, top=("integer", "Labels named per question; default 5."))
SEARCH = _form(
    k=("integer", "Products wanted; default 20."),
    product=("string", "A product to begin with, instead of photos."),
    category=("string", "Search below this node of the category tree only."),
    exact=("boolean", "Compare with every photo, instead of nearly all."),
)
VERIFY = _form(model=MODEL)
PHOTOS = {"responses": {"200": {"description": "A JPEG.", "content": {"image/jpeg": {}}}}}
TENSORS = {
    "requestBody": {
        "content": {
            "application/json": {"schema": {"type": "object"}},
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        }
    }
}
EXAMPLES = {
    "/predict": "curl -F photos=@shirt.jpg -F top=3 {}/predict",
    "/search": "curl --data-binary @shirt.jpg -H 'Content-Type: image/jpeg' '{}/search?k=10'",
    "/verify": "curl -F photos=@tag.jpg -F photos=@stamp.jpg {}/verify",
}

_pages = Environment(
    loader=PackageLoader("vitrine.serving", "."), autoescape=select_autoescape(default=True, default_for_string=True)
)


def documentation(schema: dict[str, Any]) -> str:
    """The page of a schema as FastAPI makes it."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            body = operation.get("requestBody", {}).get("content", {})
            groups.setdefault(operation["tags"][0], []).append(
                {
                    "method": method.upper(),
                    "path": path,
                    "text": operation.get("description", operation.get("summary", "")).split("\n\n"),
                    "parameters": operation.get("parameters", []),
                    "bodies": list(body),
                    "example": EXAMPLES.get(path, "").format("$SERVER"),
                }
            )
    return _pages.get_template("docs.html.j2").render(schema=schema, groups=groups)
