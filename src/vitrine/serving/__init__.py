"""A server for models in use: photos in, answers out, over HTTP. See docs/serving.md."""
