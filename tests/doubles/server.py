class PromptServer:
    """A server that is not running: `instance` is None."""

    instance = None
