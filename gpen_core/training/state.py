"""The files of a run: the state to resume from, and the weights to use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from ..checkpoints.metadata import sharpen_metadata, task_metadata
from ..checkpoints.tensor_files import DOWNLOAD_AGAIN, read_tensor_file, write_safetensors
from ..errors import CheckpointError
from ..files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ..arch import GPEN
    from .plan import TrainingPlan

STATE_NAME = "state.pt"
WEIGHTS_NAME = "weights.safetensors"


def write_state(state: Mapping[str, Any], folder: Path) -> None:
    """Write a state to `folder`, whole or not at all."""
    with write_atomically(folder / STATE_NAME, overwrite=True) as scratch:
        torch.save(state, scratch)


def write_weights(model: GPEN, folder: Path, *, sharpen: float, task: str) -> None:
    """Write the weights of `model` in float16 to `folder`, whole or not at all.

    Args:
        model: the network.
        folder: the folder of the run.
        sharpen: amount of sharpening that the file asks for.
        task: what the network was trained for; see `GPEN.task`.
    """
    weights = {name: value.half() for name, value in model.state_dict().items()}
    metadata = {**sharpen_metadata(sharpen), **task_metadata(task)}
    write_safetensors(weights, folder / WEIGHTS_NAME, overwrite=True, metadata=metadata)


def read_state(path: Path, plan: TrainingPlan, face_count: int) -> dict[str, Any]:
    """Read a state that a run can continue from.

    Args:
        path: the file.
        plan: the plan of the run.
        face_count: number of faces of the run.

    Raises:
        CheckpointError: the file is damaged, or belongs to another plan or number of faces.
    """
    weights = path.with_name(WEIGHTS_NAME)
    try:
        state = read_tensor_file(path).contents
    except CheckpointError as error:
        raise CheckpointError(
            f"{str(error).removesuffix(DOWNLOAD_AGAIN).strip()} This run resumes from it: restore "
            f"a copy of it, or move it away and start a run --from {weights}."
        ) from error
    stored_count = state.get("faces", face_count)
    if stored_count != face_count:
        raise CheckpointError(
            f"{path} was trained on {stored_count} faces, and now there are {face_count}: every "
            "random draw would differ. Give the run the same faces, or start one with other faces "
            f"--from {weights}."
        )
    changed = plan.find_differences(state["plan"])
    if changed:
        raise CheckpointError(
            f"{path} was trained with another {', '.join(changed)}: "
            + "; ".join(f"{k} was {before}, now {now}" for k, (before, now) in changed.items())
            + ". Repeat the earlier options, or train into another folder."
        )
    return state
