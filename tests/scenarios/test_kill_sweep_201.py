"""The kill sweep of ``test_kill_sweep.py`` on OCPP 2.0.1."""

from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.test_kill_sweep import sweep
from tests.support.simulated_station import CAMPAIGN


@pytest.mark.campaign
@pytest.mark.timeout(0 if CAMPAIGN else 900)
async def test_every_step_on_201(tmp_path: Path, record_property: Any) -> None:
    record_property("kills", await sweep(tmp_path, "2.0.1"))
