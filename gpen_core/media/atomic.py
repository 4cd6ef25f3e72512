"""Writing files so that nobody sees half of one."""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO


@contextmanager
def atomic_file(path: Path, *, overwrite: bool = True) -> Iterator[BinaryIO]:
    """Open a temporary neighbour of `path` that takes its place when the block ends well.

    When the block raises, an interruption included, the neighbour is removed and `path` is as it
    was.

    Raises:
        ImageError: the file exists and `overwrite` is off, or the disk refuses.
    """
    if not overwrite and path.exists():
        raise ImageError(f"{path} exists; pass --overwrite (overwrite=True) to replace it.")
    # Short and of its own, because a name may already be as long as the file system allows.
    part = path.with_name(f".gpen-{secrets.token_hex(6)}.part")
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise ImageError(f"{path} cannot be written: {error}.") from error
    except BaseException:
        part.unlink(missing_ok=True)
        raise
