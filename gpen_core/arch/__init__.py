"""The GPEN network."""

from .config import GPENConfig, read_config
from .gpen import GPEN

__all__ = ["GPEN", "GPENConfig", "read_config"]
