"""The thresholds of this room, from `configs/quality.yaml` and an optional overlay of the user's."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from vitrine import configs
from vitrine.errors import InputError
from vitrine.untrusted import parse_yaml


@dataclass(frozen=True)
class RuleSettings:
    """How one rule is called and judged; see `configs/quality.yaml`."""

    title: str
    explanation: str
    warn_above: float | None = None
    fail_above: float | None = None


@dataclass(frozen=True)
class Settings:
    """What catalogs are held to; the meaning of each field stands in `configs/quality.yaml`."""

    tiny_side: int
    huge_pixels: int
    grey_colourfulness: float
    unusable_side: int
    blank_spread: float
    dark_highlights: float
    bright_clipped: float
    bright_blown: float
    bright_shadows: float
    blurred_focus: float
    odd_aspect: float
    low_information: float
    background_share: float
    near_duplicate_distance: int
    label_noise_rows: int
    embedding: bool
    min_class_count: int
    no_label: tuple[str, ...]
    keywords: tuple[str, ...]
    judged_keywords: tuple[str, ...]
    keyword_max_share: float
    rules: dict[str, RuleSettings]


KINDS: dict[Any, tuple[str, tuple[type, ...]]] = {  # type of a field -> what it is called, and what YAML gives for it
    str: ("a text", (str,)),
    bool: ("true or false", (bool,)),
    int: ("a whole number", (int,)),
    float: ("a number", (int, float)),
    float | None: ("a number or null", (int, float, type(None))),
    tuple[str, ...]: ("a list of words", (list,)),
}


def load_settings(overlay: Path | None = None) -> Settings:
    """Reads the shipped settings, with the lines of `overlay` on top.

    Raises:
        InputError: if the overlay cannot be read, or names an unknown setting or rule, or a value has the wrong type.
    """
    shipped = _read(configs.path("quality.yaml"))
    merged = shipped if overlay is None else _merged(shipped, _read(overlay), str(overlay))
    where = str(overlay or "quality.yaml")
    rules = {
        name: RuleSettings(**_checked(RuleSettings, rule, f"{where}: {name}")) for name, rule in merged["rules"].items()
    }
    return Settings(**_checked(Settings, merged["settings"], where), rules=rules)


def _checked(kind: type, values: dict[str, Any], where: str) -> dict[str, Any]:
    """The values, each of its field's type.

    Raises:
        InputError: if one is of another.
    """
    checked: dict[str, Any] = {}
    for field in fields(kind):
        if field.name not in values:
            continue
        value = values[field.name]
        called, types = KINDS[field.type]
        if types == (int,) and isinstance(value, float) and value.is_integer():
            value = int(value)  # 4.0e+7
        if type(value) not in types:
            raise InputError(f"{where}: {field.name}: {value!r} is not {called}")
        if isinstance(value, list):
            for word in value:
                if type(word) not in (str, int, float):  # `off` and `no` are false to YAML
                    raise InputError(f"{where}: {field.name}: {word!r} is not a word (put it in quotes)")
        checked[field.name] = tuple(map(str, value)) if isinstance(value, list) else value
    return checked


def _read(path: Path) -> dict[str, Any]:
    try:
        content = parse_yaml(path.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise InputError(f"{path}: is not YAML ({' '.join(str(error).split())})") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds no settings")
    return content


def _merged(base: dict[str, Any], over: dict[str, Any], where: str) -> dict[str, Any]:
    result = dict(base)
    for name, value in over.items():
        if name not in base and not ("title" in base and name in ("warn_above", "fail_above")):
            raise InputError(f"{where}: unknown setting {name!r} (known: {', '.join(base)})")
        if not isinstance(base.get(name), dict):
            result[name] = value
        elif isinstance(value, dict):
            result[name] = _merged(base[name], value, where)
        else:
            raise InputError(f"{where}: {name}: {value!r} is not lines of the form name: value")
    return result
