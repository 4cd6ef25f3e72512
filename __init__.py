"""ComfyUI's entry point to the pack: the folder of its web files, and its nodes."""

WEB_DIRECTORY = "./web"


async def comfy_entrypoint():
    """Return the extension. Its import is in here, since only ComfyUI can import it."""
    from .nodes import GPENExtension

    return GPENExtension()


__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]
