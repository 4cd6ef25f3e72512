"""Settings that users make by variables of the environment, such as `$GPEN_WEIGHTS`.

The ComfyUI registry flags every file that reads the environment, so the archive that it serves
leaves `environment.py` out. There, every variable counts as unset: ComfyUI has folders of its own.
"""

try:
    from .environment import read_variable as read_setting
except ModuleNotFoundError:

    def read_setting(name: str) -> str | None:
        """Return None: no variable is read."""
        return None


def is_on(name: str) -> bool:
    """Tell whether a switch is on: it is, unless its variable says 0, no, off or false."""
    return (read_setting(name) or "1").strip().lower() not in ("0", "no", "off", "false")


__all__ = ["is_on", "read_setting"]
