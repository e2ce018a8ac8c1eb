"""What a training takes."""

import pytest

from vitrine.errors import InputError
from vitrine.steps.training import check_settings


def test_settings_may_be_text_or_doubles_as_kubeflow_hands_them_over():
    check_settings("attributes", "student", {"epochs": "7.0", "prior": "false", "seed": 3.0, "batch_size": 8})
    with pytest.raises(InputError, match="did you mean epochs"):
        check_settings("attributes", "student", {"epoch": 7})
