"""Everything that can be set, in words: of a pipeline for a terminal, of all of them and of trainings as a page.

python -m pipelines.show > docs/settings.md
"""

from collections.abc import Iterable, Sequence

from google.protobuf import json_format

from pipelines import PIPELINES
from pipelines.form import FORM, PARAMETERS, SETTINGS, TASKS, near
from pipelines.packages import load
from vitrine import tasks
from vitrine.tasks.described import Described, described, of_tasks, shown

HEAD = """# Settings

Made from the models that check them (`python -m pipelines.show > docs/settings.md`). A key that is not known is
refused, and so is a value out of range, before anything starts. `vitrine train --help` and `vitrine pipeline show NAME`
say the same.
"""


def settings_of(pipeline: str) -> list[Described]:
    """The keys of a pipeline's `settings`, by the alphabet; ranges are those of the trainings that read them.

    Raises:
        InputError: for an unknown pipeline.
    """
    near(pipeline, PIPELINES, "pipeline")
    trained = [TASKS[pipeline]] if pipeline in TASKS else ["attributes", "taxonomy"]
    described_settings = {
        setting.name: setting
        for name in trained
        for variant in tasks.get(name).variants
        for setting in described(tasks.get(name).settings(variant))
    }
    kinds = {bool: "true, false", int: "whole number", float: "number", str: "text", dict: "object", list: "list"}
    settings = []
    for key, setting in sorted(SETTINGS[pipeline].items()):
        values = described_settings[key].values if key in described_settings else kinds[type(setting.default)]
        default = str(setting.default) if isinstance(setting.default, dict | list) else shown(setting.default)
        settings.append(Described(key, default, values, setting.about))
    return settings


def parameters_of(pipeline: str, before: str = "") -> list[tuple[str, str, str]]:
    """Names of a pipeline's parameters, their defaults as its package has them (after `before`), and what they are."""
    defaults = load(pipeline).pipeline_spec.root.input_definitions.parameters
    rows = []
    for name in FORM[pipeline]:
        default = json_format.MessageToDict(defaults[name].default_value)
        said = "" if name == "settings" else before + shown(default)  # settings: each is told by itself
        rows.append((name, said, PARAMETERS[name]))
    return rows


def show(pipeline: str) -> list[str]:
    """A pipeline's parameters and settings, a line each.

    Raises:
        InputError: for an unknown pipeline.
    """
    settings = settings_of(pipeline)
    lines = [PIPELINES[pipeline], "", "Parameters (--set KEY=VALUE):"]
    lines += [f"  {name + default:<28} {about}" for name, default, about in parameters_of(pipeline, "=")]
    lines += ["", "Settings (--set KEY=VALUE too):"]
    return lines + [
        f"  {setting.name + '=' + setting.default:<28} {setting.values}; {setting.about}" for setting in settings
    ]


def page() -> str:
    """All of it as Markdown."""
    parts = [HEAD]
    for title, settings in of_tasks().items():
        parts += [f"## Trainings: {title}\n", _table(settings)]
    for name, about in PIPELINES.items():
        parts += [f"## Pipeline `{name}`\n", f"{about}\n"]
        parts.append(
            "\n".join(
                [
                    "| parameter | default | meaning |",
                    "| --- | --- | --- |",
                    *(_row((f"`{parameter}`", *rest)) for parameter, *rest in parameters_of(name)),
                ]
            )
        )
        parts += ["\nKeys of `settings`:\n", _table(settings_of(name))]
    return "\n".join(parts)


def _table(settings: Iterable[Described]) -> str:
    rows = [_row((f"`{setting.name}`", setting.default, setting.values, setting.about)) for setting in settings]
    return "\n".join(["| key | default | values | meaning |", "| --- | --- | --- | --- |", *rows]) + "\n"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


if __name__ == "__main__":
    print(page(), end="")
