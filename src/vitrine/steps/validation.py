"""The report on the quality of the data, what changed since the last one, and whether a run may go on."""

import contextlib
import io
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from vitrine import files
from vitrine.errors import InputError
from vitrine.journal import Note, publish, write_note
from vitrine.steps.data import open_table
from vitrine.steps.rules import as_files
from vitrine.words import counted

LAST = "last.zip"  # of a validation, in `quality` below the reports


def validate(
    table: Path | str,
    out: Path,
    photos: Sequence[Path] = (),
    reports: str = "",
    quality: Mapping[str, str] | None = None,
) -> dict[str, float]:
    """The data-quality report. Failed rules do not fail it: `check_quality` does, cleaning comes next.

    The last validation is kept below `reports`, so that the next one shows what changed since. `quality` has the texts
    of `rules` and a `suite` of one's own.
    """
    from vitrine.quality.validate import validate_catalog

    catalog = open_table(table, check_rows=False)
    kept = files.join(files.absolute(reports), "quality") if reports else ""
    with as_files(quality or {}) as paths, _last_validation(kept) as previous:
        rules, suite = paths.get("rules"), paths.get("suite")
        validation = validate_catalog(catalog, out, rules, suite=suite, previous=previous, photos=photos)
    if kept:
        _keep_validation(out, kept)
    failed = [result for result in validation.results if not result.passed]
    errors = [result for result in failed if result.severity == "error"]
    warnings = [result for result in failed if result.severity == "warning"]
    decided = [
        f"{'passed' if validation.passed else 'failed'}: {counted(len(errors), 'error')}, "
        f"{counted(len(warnings), 'warning')} of {len(validation.results)} rules."
    ]
    decided += [f"{result.title}: {result.count:,}." for result in [*errors, *warnings][:5]]
    tone = "good" if not failed else "warn" if validation.passed else "bad"
    quality = {"data-quality rules broken": f"{len(errors) + len(warnings)} of {len(validation.results)}"}
    note = Note("validate", "Validate", decided, tone, quality)
    write_note(out, note, out / "report.html")
    return {"rows": validation.rows, "errors": len(errors), "warnings": len(warnings)}


@contextlib.contextmanager
def _last_validation(kept: str) -> Iterator[str]:
    """A folder with what `_keep_validation` kept at a place; "" if there is nothing."""
    from vitrine.quality.history import SUMMARY

    packed = files.join(kept, LAST)
    if not kept or not files.exists(packed):
        loose = kept and files.exists(files.join(kept, SUMMARY))  # as version 0.1.0 kept them
        yield kept if loose else ""
        return
    with tempfile.TemporaryDirectory() as folder:
        try:
            with zipfile.ZipFile(io.BytesIO(files.read_bytes(packed))) as parts:
                for name in parts.namelist():
                    Path(folder, Path(name).name).write_bytes(parts.read(name))
        except (zipfile.BadZipFile, zlib.error) as error:
            raise InputError(f"{packed}: damaged ({error}); without it the next validation starts anew") from error
        yield folder


def _keep_validation(report: Path, kept: str) -> None:
    """Keeps what the next validation compares with as one file: of three, a kill could leave some of an older one."""
    from vitrine.quality.history import RESULTS, SAMPLE, SUMMARY

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as parts:
        for name in (RESULTS, SAMPLE, SUMMARY):
            parts.write(report / name, name)
    files.write_bytes(files.join(kept, LAST), packed.getvalue())


def check_quality(results: Path, strict: bool, run: str) -> None:
    """Publishes what the steps so far decided, so that a run that stops here or later shows it.

    Raises:
        InputError: if a rule of severity error is broken and the run is `strict`.
    """
    from vitrine.quality.history import RESULTS

    publish(results, run)
    results_read = files.read_json(results / RESULTS)
    if strict and not results_read["passed"]:
        failed = [rule["title"] for rule in results_read["rules"] if rule["severity"] == "error" and not rule["passed"]]
        raise InputError(f"{results_read['data_version'] or 'the catalog'}: rules failed: {'; '.join(failed)}")
