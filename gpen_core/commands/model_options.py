"""Load the model that the options of a command name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ..errors import CheckpointError
from ..runner import check_task
from ..runners.spandrel import load_face_restorer

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..runner import Runner


class ModelOptions(Protocol):
    """The options that choose a model, as `commands.restore.add_model_options` defines them."""

    model: str
    size: int | None
    device: str
    dtype: str
    engine: str
    no_verify: bool
    fidelity: float | None


def load_model(options: ModelOptions, task: str, on_notice: Callable[[str, str], None]) -> Runner:
    """Load the model that the options name.

    Args:
        options: the options.
        task: what it shall do, one of `names.TASKS`.
        on_notice: called with the model's name and what the user should know of it.

    Raises:
        GPENError: it cannot be loaded, is known to be trained for another task, or its size is not
            `--size`.
    """
    model = load_face_restorer(
        options.model,
        device=options.device,
        dtype=options.dtype,
        fidelity=options.fidelity,
        engine=options.engine,
        verify=not options.no_verify,
        on_notice=lambda message: on_notice(options.model, message),
    )
    check_task(model, task)
    if options.size not in (None, model.config.out_size):
        raise CheckpointError(
            f"{options.model} restores at {model.config.out_size} px, but --size "
            f"{options.size} was given. Leave it out, or name a model of that size "
            "(`gpen models` lists some)."
        )
    return model
