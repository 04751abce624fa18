"""What was looked at and found good still looks so."""

from __future__ import annotations

import pytest
from PIL import Image, ImageChops, ImageStat

from tests.drivers import golden


@pytest.mark.skipif(bool(golden.why_not()), reason=golden.why_not() or "-")
@pytest.mark.parametrize("panel", golden.PANELS)
def test_the_screens_look_as_they_were_reviewed(panel: str) -> None:
    """The files have 16 colours, another FreeType smooths otherwise: a little is allowed, a moved word not."""
    for case in (*golden.CASES, *golden.SHARED):
        now = golden.picture(case, panel)
        with Image.open(golden.file(case, panel)) as then:
            assert then.size == now.size, f"{panel} {case}: more or fewer faces; look at it, then renew the file"
            difference = ImageChops.difference(then.convert("RGB"), now).convert("L")
        mean = ImageStat.Stat(difference).mean[0]
        assert mean < 1.5, f"{panel} {case} differs by {mean:.2f} of 255; look at it: python -m tests.drivers.golden"


@pytest.mark.skipif(bool(golden.why_not()), reason=golden.why_not() or "-")
def test_the_comparison_sees_another_word() -> None:
    refused, other = golden.picture("refused", "wide"), golden.picture("out_of_service", "wide")
    assert ImageStat.Stat(ImageChops.difference(refused, other).convert("L")).mean[0] > 1.5
