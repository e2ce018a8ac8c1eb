"""How a run begins."""

from datetime import UTC, datetime, timedelta

import pytest

from vitrine.errors import InputError
from vitrine.steps.start import name_period


def test_a_period_is_filled_in():
    assert name_period("s3://new/%Y-%m-%d", "2026-11-25") == "s3://new/2026-11-25"
    assert name_period("s3://new/%Y/%m/%d/%H", "2026-11-25T13") == "s3://new/2026/11/25/13"
    yesterday = datetime.now(UTC) - timedelta(days=1)
    assert name_period("new/%d", "") == f"new/{yesterday:%d}"
    assert name_period("s3://100%/data.dvc", "") == "s3://100%/data.dvc"
    with pytest.raises(InputError, match="period=today: a day such as"):
        name_period("x", "today")
