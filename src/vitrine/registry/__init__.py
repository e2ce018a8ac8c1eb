"""The registry: which models there are, which one is in use, and why."""

from vitrine.registry.store import MODEL_FILES, Champion, Registry, content_hash

__all__ = ["MODEL_FILES", "Champion", "Registry", "content_hash"]
