"""Holds the schemas of nodes, so that the nodes can be imported and run without ComfyUI.

The marker `comfyui` runs the same tests with the real `comfy_api`.
"""

from . import io, ui


class ComfyExtension:
    async def on_load(self):
        pass


__all__ = ["ComfyExtension", "io", "ui"]
