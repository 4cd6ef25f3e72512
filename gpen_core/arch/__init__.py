"""The GPEN network and the engines that compute it."""

from .config import GPENConfig, read_config
from .gpen import GPEN

__all__ = ["GPEN", "GPENConfig", "read_config"]
