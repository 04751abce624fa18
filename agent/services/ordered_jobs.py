"""Jobs that a backend orders of files and keys: whatever goes wrong in one ends that job, never the process."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeAlias

BeginTask: TypeAlias = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]
"""Begins a task. The station begins it in its ``TaskGroup``."""


def describe_defect(e: BaseException) -> str:
    """Kind and place of an error that was not expected. Its text may hold an address with a password: not shown."""
    frames = traceback.extract_tb(e.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(e).__name__}{place}: a defect, please report"
