"""Text that somebody else wrote: parsed without surprises, and shown on a terminal without effects."""

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import yaml

LARGEST = 1_000_000  # values a YAML file may stand for, those of its aliases counted each time

# What a terminal may act on or reorder lines by: control characters, separators of lines, changes of direction; and
# halves of characters, which cannot be written.
ACTING = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def parse_json(text: str | bytes) -> Any:
    """The value that JSON stands for.

    Raises:
        ValueError: if it is no JSON, nested too deeply, or holds half a character.
    """
    if isinstance(text, bytes):
        text = text.decode(json.detect_encoding(text))
    try:
        value = json.loads(text)
        if re.search(r"\\u[dD][89a-fA-F]", text):
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return value


def parse_yaml(text: str | bytes) -> Any:
    """The value that a YAML document stands for; plain types only.

    Raises:
        ValueError: if it is no YAML, nested too deeply, or its aliases unfold to more than `LARGEST` values.
    """
    import yaml

    try:
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _count(node)
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    except ValueError as error:  # a date or a number that is none; PyYAML lets them through
        raise ValueError(f"holds a value that is none: {error}") from error
    except (yaml.YAMLError, LookupError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from error


def printable(text: str) -> str:
    """Text in which nothing acts on a terminal."""
    return ACTING.sub("\ufffd", text)


def plain(text: str) -> str:
    """Text in which matplotlib finds no `$...$` to read as a formula."""
    return text.replace("$", r"\$")


def json_line(value: object) -> str:
    """A value as one line of JSON that reads well, in which nothing acts on a terminal."""
    line = json.dumps(value, ensure_ascii=False)
    return ACTING.sub(lambda matched: f"\\u{ord(matched[0]):04x}", line)


def _count(node: "yaml.Node") -> None:
    from yaml import MappingNode, SequenceNode

    waiting, count = [node], 0
    while waiting:
        item = waiting.pop()
        count += 1
        if count > LARGEST:
            raise ValueError(f"its aliases unfold to more than {LARGEST:,} values")
        if isinstance(item, SequenceNode):
            waiting += item.value
        elif isinstance(item, MappingNode):
            for pair in item.value:
                waiting += pair
