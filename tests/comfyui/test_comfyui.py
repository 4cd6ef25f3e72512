"""The pack in a real ComfyUI, driven through its `/prompt`."""

from __future__ import annotations

import os
import re
import subprocess
import time

import numpy as np
import pytest
from comfyui_graphs import (
    build_four_nodes,
    build_one_node,
    find_outside,
    put_photo,
    read_pixels,
)
from comfyui_host import (
    COMFYUI_PATH,
    COMFYUI_PYTHON,
    REAL_HOST,
    ROOT,
    describe_error,
    find_message,
    find_nodes_that_ran,
)
from comfyui_pictures import FACES_PER_FRAME, draw_clip, save_clip
from safetensors.torch import load_file, save_file

pytestmark = pytest.mark.comfyui

NODE_IDS = {
    "LoadGPEN", "LoadGPENFaceDetector", "GPENDetectFaces", "GPENCropFaces", "GPENSelectFaces",
    "GPENRestoreFaces", "GPENPasteBack", "GPENRestoreImage", "GPENDegrade",
    "GPENExamplePhotograph", "LoadGPENFaceRestorer", "GPENColorizeFaces", "GPENInpaintFaces",
    "GPENFacesFromSegmentation", "GPENRestoreVideo", "GPENFaceInfo",
}  # fmt: skip
DIRECT_TESTS = (
    "test_nodes.py", "test_run.py", "test_inputs.py", "test_host.py", "test_files.py",
    "test_degrade.py", "test_detections.py", "test_messages.py", "test_ranges.py",
    "test_restorers.py", "test_masks.py", "test_video.py", "test_tasks.py",
    "test_restore_image.py", "test_other_hosts.py", "test_face_info.py", "test_crop_faces.py",
)  # fmt: skip


@pytest.fixture(scope="module")
def photo(comfyui):
    """The file name of a photograph in ComfyUI's input folder."""
    return put_photo(comfyui)


def test_the_direct_tests_pass_with_the_modules_of_comfyui():
    done = subprocess.run(
        [COMFYUI_PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "filterwarnings=",
         *(str(ROOT / "tests" / "nodes" / name) for name in DIRECT_TESTS)],
        cwd=ROOT, env={**os.environ, REAL_HOST: "1", "COMFYUI_PATH": COMFYUI_PATH},
        capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]


def test_the_host_lists_all_nodes_and_reports_no_failed_import(comfyui):
    info = comfyui.get("object_info")
    assert {name for name in info if "GPEN" in name} == NODE_IDS
    for name in NODE_IDS:
        assert info[name]["python_module"] == "custom_nodes.gpen-restore"
    assert "IMPORT FAILED" not in comfyui.log()


def test_the_host_imports_the_pack_quickly(comfyui):
    seconds = re.search(r"([\d.]+) seconds: .*gpen-restore", comfyui.log())
    assert float(seconds[1]) <= 0.4  # 0.1 on an idle machine


def test_restore_image_equals_the_single_nodes_on_a_photo(comfyui, photo):
    original = read_pixels(comfyui.base / "input" / photo)
    results = {}
    for name, prompt in (("one", build_one_node(photo)), ("four", build_four_nodes(photo))):
        entry = comfyui.run(prompt)
        (picture,) = comfyui.pictures(entry, "save")
        (mask,) = comfyui.pictures(entry, "mask")
        results[name] = read_pixels(picture)
        outside = find_outside(mask)
        assert results[name].shape == original.shape
        assert 0.5 < outside.mean() < 0.99
        assert np.array_equal(results[name][outside], original[outside])
        assert np.abs(results[name] - original)[~outside].mean() > 0.5
    assert np.abs(results["one"] - results["four"]).max() <= 1


def test_a_photo_is_degraded_as_the_seed_says_and_restored_again(comfyui, photo):
    original = read_pixels(comfyui.base / "input" / photo)
    prompt = build_one_node(photo)
    prompt["degrade"] = {
        "class_type": "GPENDegrade",
        "inputs": {
            "image": prompt["restore"]["inputs"]["image"],
            "seed": 2**63 + 7,
            "preset": "second-order",
            "strength": 1.0,
            "face_size": 128,
        },
    }
    prompt["restore"]["inputs"]["image"] = ["degrade", 0]
    prompt["degraded"] = {
        "class_type": "SaveImage",
        "inputs": {"images": ["degrade", 0], "filename_prefix": "degraded"},
    }
    (degraded,) = comfyui.pictures(comfyui.run(prompt), "degraded")
    worse = read_pixels(degraded)
    assert worse.shape == original.shape
    assert 2 < np.abs(worse - original).mean() < 60
    prompt["degrade"]["inputs"]["seed"] = 8
    (other,) = comfyui.pictures(comfyui.run(prompt), "degraded")
    assert not np.array_equal(read_pixels(other), worse)
    prompt["degrade"]["inputs"]["seed"] = 2**63 + 7
    prompt["degrade"]["inputs"]["strength"] = 0.0
    (same,) = comfyui.pictures(comfyui.run(prompt), "degraded")
    assert np.array_equal(read_pixels(same), original)


def test_the_preview_of_detect_faces_is_sent_to_the_page(comfyui, photo):
    entry = comfyui.run(build_four_nodes(photo, threshold=0.01))
    preview, sheet = comfyui.pictures(entry, "detect")
    assert read_pixels(preview).shape == (512, 512, 3)
    assert read_pixels(sheet).shape[0] >= 100  # the small faces found at a threshold of 0.01


def test_only_nodes_that_depend_on_a_changed_widget_run_again(comfyui, photo):
    first = build_four_nodes(photo, strength=0.9)
    comfyui.run(first)
    again = comfyui.run(first)
    assert find_nodes_that_ran(again, first) <= {"save", "mask"}
    stronger = build_four_nodes(photo, strength=0.7)
    entry = comfyui.run(stronger)
    assert find_nodes_that_ran(entry, stronger) == {"restore", "paste", "save", "mask"}
    stricter = build_four_nodes(photo, strength=0.7, threshold=0.3)
    entry = comfyui.run(stricter)
    assert find_nodes_that_ran(entry, stricter) == {"detect", "restore", "paste", "save", "mask"}


def test_a_replaced_model_file_takes_effect(comfyui, photo):
    source = ROOT / "weights" / "gpen-builtin-256.safetensors"
    path = comfyui.extra_models / "mine.safetensors"
    tensors = load_file(source)
    save_file(tensors, path)
    prompt = build_one_node(photo)
    prompt["model"]["inputs"]["file"] = "mine.safetensors"
    (before,) = comfyui.pictures(comfyui.run(prompt), "save")
    bias = "generator.to_rgb1.bias"
    save_file({**tensors, bias: tensors[bias] + 0.5}, path)
    entry = comfyui.run(prompt)
    (after,) = comfyui.pictures(entry, "save")
    assert {"model", "restore"} <= find_nodes_that_ran(entry, prompt)
    assert read_pixels(after).mean() > read_pixels(before).mean() + 1


def test_a_missing_model_is_an_error_that_says_where_it_goes(comfyui, photo):
    prompt = build_one_node(photo)
    prompt["model"]["inputs"]["file"] = "GPEN-BFR-2048.pth"
    answer = comfyui.post("prompt", {"prompt": prompt})
    (error,) = answer["node_errors"]["model"]["errors"]
    assert "models/gpen" in error["details"]
    assert "https://" in error["details"]


def test_a_missing_detector_is_an_error_that_says_where_it_is_published(comfyui, photo):
    prompt = build_one_node(photo, detector=["detector", 0])
    prompt["detector"] = {
        "class_type": "LoadGPENFaceDetector",
        "inputs": {"detector": "retinaface_resnet50", "file": "none"},
    }
    entry = comfyui.wait(comfyui.queue(prompt))
    assert entry["status"]["status_str"] == "error"
    assert "detection_Resnet50_Final.pth" in describe_error(entry)
    assert "facedetection" in describe_error(entry)
    assert "https://" in describe_error(entry)


def test_no_frame_of_sixty_is_lost_and_pixels_outside_faces_stay(comfyui):
    frames = draw_clip(60)
    save_clip(comfyui.base / "input" / "clip.webp", frames)
    prompt = build_four_nodes("clip.webp")
    prompt["count"] = {"class_type": "PreviewAny", "inputs": {"source": ["detect", 3]}}
    entry = comfyui.run(prompt, seconds=600)
    faces = sum(FACES_PER_FRAME[n % len(FACES_PER_FRAME)] for n in range(60))
    assert entry["outputs"]["count"]["text"] == [str(faces)]
    pictures, masks = comfyui.pictures(entry, "save"), comfyui.pictures(entry, "mask")
    assert len(pictures) == len(masks) == 60
    for number, (frame, picture, mask) in enumerate(zip(frames, pictures, masks, strict=True)):
        before, after = np.asarray(frame).astype(int), read_pixels(picture)
        outside = find_outside(mask)
        assert np.array_equal(after[outside], before[outside]), f"frame {number}"
        assert outside.all() == (FACES_PER_FRAME[number % len(FACES_PER_FRAME)] == 0)
        assert outside.all() or not np.array_equal(after, before)
        # Each frame got the right face back. With another frame's face this would be far larger.
        assert outside.all() or 0.5 < np.abs(after - before)[~outside].mean() < 12


def test_host_nodes_between_detection_and_paste_never_see_an_empty_batch(comfyui):
    save_clip(comfyui.base / "input" / "empty.webp", [draw_clip(7)[0], draw_clip(7)[6]])
    prompt = build_four_nodes("empty.webp")
    prompt["sharpen"] = {
        "class_type": "ImageSharpen",
        "inputs": {"image": ["restore", 0], "sharpen_radius": 1, "sigma": 1.0, "alpha": 0.5},
    }
    prompt["paste"]["inputs"]["crops"] = ["sharpen", 0]
    entry = comfyui.run(prompt)
    assert len(comfyui.pictures(entry, "save")) == 2


def test_a_run_is_cancelled_within_a_few_faces(comfyui):
    save_clip(comfyui.base / "input" / "long.webp", draw_clip(240))
    prompt_id = comfyui.queue(build_one_node("long.webp"))
    deadline = time.monotonic() + 60
    while not comfyui.get("queue")["queue_running"] and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(4)
    start = time.monotonic()
    comfyui.post("interrupt", {})
    entry = comfyui.wait(prompt_id, seconds=60)
    assert find_message(entry, "execution_interrupted"), entry["status"]
    assert time.monotonic() - start < 10


def test_repeated_runs_do_not_leak_memory(comfyui, photo):
    def memory() -> int:
        comfyui.post("free", {"unload_models": True, "free_memory": True})
        time.sleep(1.5)
        return comfyui.resident_bytes()

    for strength in (0.11, 0.12):
        comfyui.run(build_one_node(photo, strength=strength))
    before = memory()
    for strength in range(13, 25):
        comfyui.run(build_one_node(photo, strength=strength / 100))
    assert memory() < before + 150 * 2**20
