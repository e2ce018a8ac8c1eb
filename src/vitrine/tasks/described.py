"""What can be set of a training, in words: every setting with default, range and meaning, from the models."""

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple, get_args, get_origin

import annotated_types
from pydantic.fields import FieldInfo

from vitrine import tasks
from vitrine.settings import Settings

COMMON = "every task"


class Described(NamedTuple):
    """A setting: its key, what it is where nothing is said, which values it takes, and what it means, with its unit."""

    name: str
    default: str
    values: str
    about: str


def described(kind: type[Settings]) -> list[Described]:
    """The settings of a model, in its order."""
    return [
        Described(field.alias or name, shown(field.default), values_of(field), field.description or "")
        for name, field in kind.model_fields.items()
    ]


def of_tasks() -> dict[str, list[Described]]:
    """The settings of every task, then what each task and, where they differ, each variant adds or changes.

    Keys are `every task`, `matching`, `taxonomy (modern, modern-mtl)` ...
    """
    common = described(Settings)
    by_title = {COMMON: common}
    for name in tasks.names():
        task = tasks.get(name)
        variants_of: dict[type[Settings], list[str]] = {}
        for variant in task.variants:
            variants_of.setdefault(task.settings(variant), []).append(variant)
        for kind, variants in variants_of.items():
            title = name if len(variants_of) == 1 else f"{name} ({', '.join(variants)})"
            by_title[title] = [setting for setting in described(kind) if setting not in common]
    return by_title


def shown(value: Any) -> str:
    """A default as one would write it after `=`."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "empty"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value) if value != "" else "empty"


def values_of(field: FieldInfo) -> str:
    """Which values a field takes."""
    kind = field.annotation
    if get_origin(kind) is Literal:
        return ", ".join(map(str, get_args(kind)))
    if kind is bool:
        return "true, false"
    if kind is str:
        return "text"
    if get_origin(kind) is tuple:
        return "comma separated"
    return " ".join(["whole number" if kind is int else "number", *_limits(field.metadata)])


def _limits(metadata: Iterable[object]) -> list[str]:
    words = {
        annotated_types.Ge: "from",
        annotated_types.Gt: "above",
        annotated_types.Le: "to",
        annotated_types.Lt: "below",
    }
    limits = []
    for kind, word in words.items():
        for limit in metadata:
            if isinstance(limit, kind):
                value = getattr(limit, kind.__name__.lower())
                limits.append(f"{word} {value:,}" if isinstance(value, int) else f"{word} {value:g}")
    return limits


def help_lines(width: int = 28) -> list[str]:
    """The settings for a help text."""
    lines = ["", f"Tasks: {', '.join(tasks.names())}"]
    for title, settings in of_tasks().items():
        lines += ["", f"Settings of {title} (--set KEY=VALUE):"]
        for setting in settings:
            key = f"{setting.name}={setting.default}"
            lines.append(f"  {key:<{width}} {setting.values}; {setting.about}")
    return lines
