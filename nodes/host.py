"""The only module that touches ComfyUI: its model folders, memory, progress and messages."""

from __future__ import annotations

import contextlib
import inspect
import logging
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Any

import comfy.model_management as mm
import comfy.model_patcher
import comfy.utils
import folder_paths
import torch
from server import PromptServer

from ..gpen_core.errors import MismatchError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..gpen_core.progress import OnProgress

CUT_AND_PASTE_MEMORY = 1 << 30
"""Bytes that cutting and pasting need at most for the faces of a 20-megapixel photograph."""

GPEN_FOLDERS = ("gpen", "facerestore_models")
DETECTOR_FOLDERS = ("facedetection", "detection")
HOST_KEYS = ("detection",)
"""Keys of the host's own: their sets of extensions stay as they are."""

BAR_STEPS = 1000

log = logging.getLogger("gpen")


def add_model_folders() -> None:
    """Register our model folders. Paths that others registered for the same keys stay first."""
    for key in (*GPEN_FOLDERS, *DETECTOR_FOLDERS):
        is_hosts = key in HOST_KEYS and key in folder_paths.folder_names_and_paths
        folder_paths.add_model_folder_path(key, str(Path(folder_paths.models_dir) / key))
        if is_hosts:
            continue  # the host's own loaders would offer our kinds of files
        paths, extensions = folder_paths.folder_names_and_paths[key]
        # A new set, because the host uses one set for several keys.
        wanted = set(extensions or folder_paths.supported_pt_extensions)
        folder_paths.folder_names_and_paths[key] = (paths, wanted)
    # Texts send people there. A folder that cannot be made, as on a read-only disk, stops nothing.
    with contextlib.suppress(OSError):
        (Path(folder_paths.models_dir) / GPEN_FOLDERS[0]).mkdir(parents=True, exist_ok=True)


def list_model_files(folders: tuple[str, ...]) -> list[str]:
    """List the names of the files in these model folders, each once, in the folders' order."""
    names = []
    for key in folders:
        names += folder_paths.get_filename_list(key)
        names += _list_onnx(key)
    return list(dict.fromkeys(names))


def _list_onnx(key: str) -> list[str]:
    """List the .onnx files in the folders of a key; the host lists none there."""
    roots = [Path(path) for path in folder_paths.get_folder_paths(key)]
    files = [(root, path) for root in roots for path in root.rglob("*")]
    return sorted(
        str(path.relative_to(root))
        for root, path in files
        if path.suffix.lower() == ".onnx" and path.is_file()
    )


def find_model_file(folders: tuple[str, ...], name: str) -> Path | None:
    """Return the path of a file in the first folder that has it, or None."""
    if not isinstance(name, str) or not _is_inside(name):
        return None
    for key in folders:
        path = folder_paths.get_full_path(key, name)
        if path is not None:
            return Path(path)
    return None


def _is_inside(name: str) -> bool:
    """Tell whether a relative name stays inside the folder that it is joined to."""
    path = PureWindowsPath(name)  # which knows both slashes
    return bool(name) and "\0" not in name and not path.anchor and ".." not in path.parts


def list_model_folders(folders: tuple[str, ...]) -> list[Path]:
    """List the paths that are searched for these keys, in that order."""
    return [Path(path) for key in folders for path in folder_paths.get_folder_paths(key)]


def find_temporary_folder() -> Path:
    """Return the folder that the host empties when it starts."""
    return Path(folder_paths.get_temp_directory())


def get_device() -> torch.device:
    """Return the device that the host computes on."""
    return mm.get_torch_device()


def get_offload_device() -> torch.device:
    """Return the device on which the host keeps weights that are not needed now."""
    return mm.unet_offload_device()


def prepare_device() -> torch.device:
    """Move other models out of the way of cutting or pasting faces; return the device for it."""
    device = mm.get_torch_device()
    if device != mm.intermediate_device():
        mm.free_memory(CUT_AND_PASTE_MEMORY, device)
    return device


def make_room(memory: int, device: torch.device) -> None:
    """Move models out until `memory` bytes are free on a device."""
    mm.free_memory(memory, device)


def choose_dtype(device: torch.device) -> str:
    """Return the dtype for "auto". The user may have told the host to avoid fp16."""
    if mm.should_use_fp16(device):
        return "fp16"
    return "bf16" if mm.should_use_bf16(device) else "fp32"


def keep(tensor: torch.Tensor) -> torch.Tensor:
    """Convert a result to the device and dtype in which the host keeps results between nodes."""
    dtype = _call("intermediate_dtype", lambda: torch.float32)()
    return tensor.to(mm.intermediate_device(), dtype)


def measure_free_memory() -> int:
    """Return the bytes that are free where the host keeps results."""
    return int(mm.get_free_memory(mm.intermediate_device()))


def is_oom(error: Exception) -> bool:
    """Tell whether an error says that the device ran out of memory."""
    try:
        _call("raise_non_oom", _raise_non_oom)(error)
    except Exception as other:
        if other is not error:
            raise
        return False
    return True


def _raise_non_oom(error: Exception) -> None:
    """Raise an error unless it says that memory ran out."""
    if not isinstance(error, torch.OutOfMemoryError):
        raise error


def load_model(patcher: Any, memory: int) -> None:
    """Load the whole of a model to its device, beside `memory` bytes that it will need."""
    options: dict[str, Any] = {"memory_required": memory, "force_full_load": True}
    known = inspect.signature(mm.load_models_gpu).parameters
    takes_all = any(one.kind is one.VAR_KEYWORD for one in known.values())
    taken = {name: value for name, value in options.items() if takes_all or name in known}
    mm.load_models_gpu([patcher], **taken)


def _call(name: str, otherwise: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of the host's memory management, or `otherwise` where a host lacks it."""
    return getattr(mm, name, otherwise)


def stop_if_cancelled() -> None:
    """Raise the host's exception if the user pressed Cancel."""
    mm.throw_exception_if_processing_interrupted()


def make_progress(total: int) -> OnProgress:
    """Return an `on_progress(done, total)` that moves the node's bar and raises on Cancel."""
    bar = comfy.utils.ProgressBar(total)

    def on_progress(done: int, total: int) -> None:
        stop_if_cancelled()
        bar.update_absolute(done, total)

    return on_progress


def make_stages(*shares: float) -> list[OnProgress]:
    """Return an `on_progress(done, total)` for each stage of a node's work, all in one bar.

    Args:
        shares: the part of the bar that each stage moves, 1 together.
    """
    move = make_progress(BAR_STEPS)
    stages, start = [], 0.0
    for share in shares:

        def on_progress(done: int, total: int, start: float = start, share: float = share) -> None:
            part = min(1.0, done / total) if total else 1.0
            move(round(BAR_STEPS * (start + share * part)), BAR_STEPS)

        stages.append(on_progress)
        start += share
    return stages


def split(on_progress: OnProgress, share: float) -> tuple[OnProgress, OnProgress]:
    """Split a stage in two: the first moves it by `share`, the second by the rest."""

    def first(done: int, total: int) -> None:
        on_progress(round(BAR_STEPS * share * done / max(total, 1)), BAR_STEPS)

    def second(done: int, total: int) -> None:
        part = share + (1 - share) * done / max(total, 1)
        on_progress(round(BAR_STEPS * part), BAR_STEPS)

    return first, second


def upscale(model: Any, image: torch.Tensor) -> torch.Tensor:
    """Enlarge one image [1, 3, H, W] with a value of UPSCALE_MODEL, in the host's own tiles."""
    try:
        from comfy_extras.nodes_upscale_model import ImageUpscaleWithModel

        enlarge = ImageUpscaleWithModel.execute
    except (ImportError, AttributeError) as error:
        raise MismatchError(
            "This ComfyUI has no Upscale Image (using Model) that a node can call. Disconnect "
            "upscale_model, enlarge the image by a node, and connect that to background."
        ) from error
    enlarged = enlarge(model, image.movedim(1, -1))[0]
    return enlarged.movedim(-1, 1).float()


def say(node_id: str | None, message: str) -> None:
    """Show a message on the node and, as information, in the log."""
    log.info("%s", message)
    _show(node_id, message)


def warn(node_id: str | None, message: str) -> None:
    """Show a message on the node and in the log. The run continues."""
    log.warning("%s", message)
    _show(node_id, message)


def _show(node_id: str | None, message: str) -> None:
    server = getattr(PromptServer, "instance", None)
    send = getattr(server, "send_progress_text", None)  # None while no server runs
    if node_id is not None and send is not None:
        send(message, node_id)


class WholePatcher(comfy.model_patcher.ModelPatcher):
    """Unloads the network as a whole, never in part.

    After moving some parameters away, the host would count their memory as freed. But the network
    keeps the layouts that it prepared from them for the GPU until all parameters have moved.
    """

    def partially_unload(self, *_: object, **__: object) -> int:
        """Free no bytes; the host then unloads everything."""
        return 0
