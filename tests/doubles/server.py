class PromptServer:
    """Keeps what nodes say."""

    instance = None
