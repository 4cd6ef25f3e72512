"""The callbacks by which long functions report their progress."""

from __future__ import annotations

from collections.abc import Callable

OnProgress = Callable[[int, int], None]
"""Called with (done, all). It may raise to stop the work."""

OnBytes = Callable[[int, int | None], None]
"""Called with (bytes so far, all bytes or None where nobody knows). It may raise to stop."""
