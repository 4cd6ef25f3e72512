"""Records the schemas of nodes, so that they can be imported and run without ComfyUI.

The same tests run against the real `comfy_api` under the marker `comfyui`.
"""

from . import io, ui


class ComfyExtension:
    async def on_load(self):
        pass


__all__ = ["ComfyExtension", "io", "ui"]
