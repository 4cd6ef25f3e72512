"""ComfyUI's door to the pack: where its web files lie, and its nodes."""

WEB_DIRECTORY = "./web"


async def comfy_entrypoint():
    """The extension that ComfyUI asks for; imported here so that nothing else pays for it."""
    from .nodes import GPENExtension

    return GPENExtension()


__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]
