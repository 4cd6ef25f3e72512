"""Model folders below a temporary directory, with ComfyUI's rules."""

import os
import tempfile
from pathlib import Path

supported_pt_extensions = {".ckpt", ".pt", ".bin", ".pth", ".safetensors"}
models_dir = tempfile.mkdtemp(prefix="gpen-models-")
folder_names_and_paths = {
    "detection": ([str(Path(models_dir) / "detection")], supported_pt_extensions)
}


def get_temp_directory():
    return str(Path(models_dir) / "temp")


def add_model_folder_path(key, path, is_default=False):
    paths, _ = folder_names_and_paths.setdefault(key, ([], set()))
    if path not in paths:
        paths.append(path)


def get_folder_paths(key):
    return list(folder_names_and_paths[key][0])


def get_filename_list(key):
    folders, extensions = folder_names_and_paths[key]
    files = (p for folder in folders for p in Path(folder).rglob("*") if p.is_file())
    return sorted({p.name for p in files if not extensions or p.suffix.lower() in extensions})


def get_full_path(key, name):
    name = os.path.relpath(f"/{name}", "/")  # nothing leads out of the folder
    paths = (Path(folder) / name for folder in folder_names_and_paths[key][0])
    return next((str(path) for path in paths if path.is_file()), None)
