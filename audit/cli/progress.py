"""A progress bar for work that takes more than a second, on a terminal only."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

_PATIENCE = 1.0


@contextmanager
def progress(title: str, total: int, *, in_bytes: bool = False) -> Generator[Callable[[int], None]]:
    """Yield a function that is told how far the work has come. The bar goes to stderr. A total of 0 is not known."""
    if not sys.stderr.isatty():
        yield lambda _done: None
        return
    from rich.console import Console
    from rich.progress import DownloadColumn, Progress, TransferSpeedColumn

    columns = (DownloadColumn(), TransferSpeedColumn()) if in_bytes else ()
    started = time.monotonic()
    with Progress(*Progress.get_default_columns(), *columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=total or None, visible=False)

        def on_progress(done: int) -> None:
            bar.update(task, completed=done, visible=time.monotonic() - started > _PATIENCE)

        yield on_progress
