"""What stops a strict run, and what the next validation compares with."""

from pathlib import Path

import pandas as pd
import pytest
from killing import kills

from vitrine.errors import InputError
from vitrine.steps.validation import _keep_validation, _last_validation, check_quality, validate


def test_a_broken_rule_stops_a_strict_run_with_its_name(catalog, tmp_path):
    rows = pd.read_parquet(catalog / "catalog.parquet").assign(split="tset")
    rows.to_parquet(catalog / "catalog.parquet", index=False)
    found = validate(catalog, tmp_path / "checked")
    assert found["rows"] == 3
    assert found["errors"] >= 1
    check_quality(tmp_path / "checked", False, str(tmp_path / "lenient"))
    with pytest.raises(InputError, match="rules failed: "):
        check_quality(tmp_path / "checked", True, str(tmp_path / "strict"))
    for run in ("lenient", "strict"):  # what failed can be read from the run's summary
        assert (tmp_path / run / "validate.html").exists()


def test_a_kept_validation_is_never_a_mix_of_two(tmp_path):
    kept = str(tmp_path / "kept")
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        for part in ("results.json", "sample.parquet", "summary.json"):
            (tmp_path / name / part).write_text(f"{name} {part}")
    _keep_validation(tmp_path / "old", kept)
    for _ in kills(lambda _: lambda: _keep_validation(tmp_path / "new", kept)):
        with _last_validation(kept) as folder:
            words = {path.read_text().split()[0] for path in Path(folder).iterdir()}
        assert words in ({"old"}, {"new"})
    assert words == {"new"}
    (tmp_path / "kept" / "last.zip").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"last.zip: damaged"), _last_validation(kept):
        pass
