"""Holds the schemas of nodes, so that the nodes can be imported and run without ComfyUI.

The marker `comfyui` runs the same tests with the real `comfy_api`.
"""

from . import io, ui


class InputImpl:
    class VideoFromFile:
        def __init__(self, file, *, start_time=0, duration=0):
            self.file, self.window = file, (start_time, duration)

        def get_stream_source(self):
            return self.file

        def get_active_trim_window(self):
            return self.window


class ComfyExtension:
    async def on_load(self):
        pass


__all__ = ["ComfyExtension", "InputImpl", "io", "ui"]
