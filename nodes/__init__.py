"""The pack's nodes. Saved workflows rely on ids, sockets and widgets, so these never change."""

from comfy_api.latest import ComfyExtension, io

from . import host
from .crop import CropFaces
from .degrade import DegradeImages
from .detect import DetectFaces
from .example import ExamplePhotograph
from .face_info import FaceInfo
from .load import LoadFaceDetector, LoadFaceRestorer, LoadGPEN
from .paste import PasteBack
from .restore import RestoreFaces
from .restore_image import RestoreImage
from .select import SelectFaces
from .tasks import ColorizeFaces, FacesFromSegmentation, InpaintFaces
from .video import RestoreVideo

NODES: list[type[io.ComfyNode]] = [
    LoadGPEN,
    LoadFaceDetector,
    DetectFaces,
    CropFaces,
    SelectFaces,
    RestoreFaces,
    PasteBack,
    RestoreImage,
    DegradeImages,
    ExamplePhotograph,
    LoadFaceRestorer,
    ColorizeFaces,
    InpaintFaces,
    FacesFromSegmentation,
    RestoreVideo,
    FaceInfo,
]


class GPENExtension(ComfyExtension):
    """Face restoration with GPEN."""

    async def on_load(self) -> None:
        host.add_model_folders()

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return NODES
