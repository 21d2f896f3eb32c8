"""What hears how far work is: a callable, a tqdm bar, or tqdm itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

#: A callable ``(stage, done, total, words)``, ``tqdm.tqdm``, or a bar of it.
Progress = Any


class _Bars:
    """A bar a stage, or one bar that begins again with every stage."""

    def __init__(self, make: Callable[..., Any] | None, bar: Any = None):
        self.make, self.bar, self.stage = make, bar, ""

    def __call__(self, stage: str, done: int, total: int, words: str) -> None:
        if not stage:
            return
        if stage != self.stage:
            self.stage = stage
            if self.make is None:
                self.bar.reset(total=total)
                self.bar.set_description(stage)
            else:
                self.close()
                self.bar = self.make(total=total, desc=stage)
        self.bar.update(done - self.bar.n)
        if words:
            self.bar.set_postfix_str(words)

    def close(self) -> None:
        if self.make is not None and self.bar is not None:
            self.bar.close()


@contextmanager
def heard(progress: Progress) -> Iterator[Callable[[str, int, int, str], Any] | None]:
    """A callable for the compiled half; bars that were made here are closed."""
    is_bar = hasattr(progress, "update") and hasattr(progress, "reset") and hasattr(progress, "set_description")
    if is_bar:
        bars = _Bars(progress) if isinstance(progress, type) else _Bars(None, progress)
        try:
            yield bars
        finally:
            bars.close()
    elif progress is None or callable(progress):
        yield progress
    else:
        found = type(progress).__name__
        raise TypeError(f"progress: found {found}, expected a callable (stage, done, total, words) or tqdm")
