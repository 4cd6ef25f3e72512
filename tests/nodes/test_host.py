"""How the nodes use the host's devices, memory, progress bar and Cancel.

`test_comfyui.py` runs this file again with the modules of a real ComfyUI.
"""

from __future__ import annotations

import pytest
import torch
from node_fixtures import SIDE, draw_scene
from pretend_device import DEVICE, PretendDevice


class Cancelled(BaseException):
    """As the host raises it: not an Exception."""


@pytest.fixture
def host(nodes):
    return nodes.host


def test_two_names_of_one_gpu_are_the_same_device(nodes):
    same = nodes.hosted._is_same_device
    assert same(torch.device("cuda"), torch.device("cuda:0"))
    assert not same(torch.device("cuda:1"), torch.device("cuda"))
    assert not same(torch.device("cpu"), torch.device("cuda"))


def test_the_host_unloads_a_network_whole_or_not_at_all(model):
    # After a partial unload it would count memory as freed that the network still holds.
    assert model.patcher.partially_unload(torch.device("cpu"), 1) == 0


def test_other_models_make_room_before_faces_are_detected(node, host, detector, monkeypatch):
    done = []
    monkeypatch.setattr(host, "prepare_device", lambda: done.append("room"))
    find = detector.find
    monkeypatch.setattr(
        detector, "find", lambda *args, **options: done.append("find") or find(*args, **options)
    )
    node("GPENDetectFaces", image=draw_scene([10]), detector=detector)
    assert done == ["room", "find"]


def test_fp16_on_a_cpu_is_refused_rather_than_a_hundred_times_slower(node):
    with pytest.raises(Exception, match="fp16 is refused on a CPU"):
        node("LoadGPEN", file="built-in (256)", dtype="fp16")


def test_running_out_of_memory_halves_the_batch_down_to_one(node, model, monkeypatch):
    crops = torch.rand(5, SIDE, SIDE, 3, generator=torch.Generator().manual_seed(0))
    expected = node("GPENRestoreFaces", model=model, crops=crops)[0]
    sizes = []
    forward = model.network.forward

    def scarce(x, **options):
        sizes.append(len(x))
        if len(x) > 1:
            raise torch.OutOfMemoryError("no memory")
        return forward(x, **options)

    monkeypatch.setattr(model.network, "forward", scarce)
    restored = node("GPENRestoreFaces", model=model, crops=crops, batch_size=4)[0]
    assert sizes[:3] == [4, 2, 1]
    assert sizes.count(1) == 5
    assert torch.allclose(restored, expected, atol=1e-4)


def test_other_errors_are_not_mistaken_for_a_lack_of_memory(node, model, monkeypatch):
    def broken(x, **options):
        raise RuntimeError("broken")

    monkeypatch.setattr(model.network, "forward", broken)
    with pytest.raises(RuntimeError, match="broken"):
        node("GPENRestoreFaces", model=model, crops=torch.rand(2, SIDE, SIDE, 3))


def test_weights_are_loaded_before_every_pass_and_moved_if_the_host_leaves_them_behind(
    host, model, monkeypatch
):
    asked = []
    monkeypatch.setattr(
        host.mm, "load_models_gpu", lambda models, **options: asked.append((models, options))
    )
    model.patcher.load_device = torch.device("meta")  # as with --novram, nothing is moved there
    out = model(torch.zeros(2, 3, SIDE, SIDE))
    assert out.shape == (2, 3, SIDE, SIDE)
    assert out.device.type == "meta"
    model(torch.zeros(1, 3, SIDE, SIDE))
    assert [models for models, _ in asked] == [[model.patcher]] * 2
    assert all(options["force_full_load"] for _, options in asked)
    assert asked[0][1]["memory_required"] > asked[1][1]["memory_required"] > 0


@pytest.mark.parametrize("node_id", ["GPENRestoreFaces", "GPENRestoreImage"])
def test_cancel_stops_after_the_current_pass(node, host, model, detector, monkeypatch, node_id):
    ran = []
    forward = model.network.forward

    def count(x, **options):
        ran.append(len(x))
        return forward(x, **options)

    def interrupt():
        if ran:
            raise Cancelled

    monkeypatch.setattr(model.network, "forward", count)
    monkeypatch.setattr(host.mm, "throw_exception_if_processing_interrupted", interrupt)
    inputs = (
        {"crops": torch.rand(3, SIDE, SIDE, 3), "batch_size": 1}
        if node_id == "GPENRestoreFaces"
        else {"image": draw_scene(*[[10]] * 40), "detector": detector}
    )
    with pytest.raises(Cancelled):
        node(node_id, model=model, **inputs)
    assert len(ran) == 1


@pytest.mark.parametrize("node_id", ["GPENCropFaces", "GPENPasteBack"])
def test_cancel_stops_cutting_and_pasting_after_the_current_face(
    node_id, node, host, detector, core, monkeypatch
):
    image = draw_scene([10, 80, 140], [10, 80])
    faces, crops, *_ = node("GPENDetectFaces", image=image, detector=detector).args
    asked = []

    def interrupt():
        asked.append(1)
        if len(asked) == 2:
            raise Cancelled

    monkeypatch.setattr(host.mm, "throw_exception_if_processing_interrupted", interrupt)
    monkeypatch.setattr(core("warp"), "PIXELS_PER_WARP", 1)
    inputs = {"crops": crops} if node_id == "GPENPasteBack" else {}
    with pytest.raises(Cancelled):
        node(node_id, image=image, faces=faces, **inputs)
    assert len(asked) == 2


def test_progress_ends_at_the_number_of_faces(node, host, model, detector, monkeypatch):
    seen = []
    monkeypatch.setattr(
        host, "make_progress", lambda total: lambda done, total: seen.append((done, total))
    )
    image = draw_scene([10, 80], [120])
    faces, crops, *_ = node("GPENDetectFaces", image=image, detector=detector).args
    assert seen[-1] == (1000, 1000)
    assert seen == sorted(seen)
    seen.clear()
    node("GPENPasteBack", image=image, faces=faces, crops=crops)
    assert seen == [(1, 3), (2, 3), (3, 3)]
    seen.clear()
    node("GPENRestoreFaces", model=model, crops=torch.rand(3, SIDE, SIDE, 3), batch_size=1)
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_the_node_warns_of_crops_that_would_fill_the_memory(node, host, detector, monkeypatch):
    messages = []
    monkeypatch.setattr(host, "warn", lambda node_id, message: messages.append(message))
    image = draw_scene([10, 80])
    node("GPENDetectFaces", image=image, detector=detector, crop_size="256")
    assert not messages
    monkeypatch.setattr(host, "measure_free_memory", lambda: 2_000_000)
    node("GPENDetectFaces", image=image, detector=detector, crop_size="256")
    assert len(messages) == 1
    assert "2 crops" in messages[0]


def test_results_have_the_device_and_dtype_that_the_host_keeps(node, host, model, monkeypatch):
    monkeypatch.setattr(host.mm, "intermediate_dtype", lambda: torch.float16)
    restored = node("GPENRestoreFaces", model=model, crops=torch.rand(1, SIDE, SIDE, 3))[0]
    assert (restored.dtype, restored.device.type) == (torch.float16, "cpu")


def test_restore_image_holds_one_chunk_of_crops_at_a_time(node, model, detector, core, monkeypatch):
    cut = core("warp").cut_crops
    held = []

    def record(image, to_image, *others):
        held.append(len(to_image))
        return cut(image, to_image, *others)

    # Room for ten crops of this model, before and after restoring.
    monkeypatch.setattr(core("pipeline"), "CROPS_BUDGET", 10 * 2 * 3 * 4 * SIDE**2)
    for module in ("warp", "align"):
        monkeypatch.setattr(core(module), "cut_crops", record)
    image = draw_scene(*[[10, 80, 140]] * 20)
    node("GPENRestoreImage", image=image, model=model, detector=detector)
    assert sum(held) == 60
    assert max(held) <= 10


@pytest.fixture
def second_device(host, monkeypatch):
    """The host computes on a device that is not the CPU, and keeps results on the CPU."""
    monkeypatch.setattr(host.mm, "get_torch_device", lambda: DEVICE)
    freed = []
    monkeypatch.setattr(host.mm, "free_memory", lambda needed, device: freed.append(device))
    return freed


def test_faces_are_cut_and_pasted_on_the_hosts_device_and_results_kept_on_the_cpu(
    node, detector, monkeypatch, request
):
    image = draw_scene([10, 80], [], [120])
    found = node("GPENDetectFaces", image=image, detector=detector, crop_size="256").args
    white = torch.ones(3, SIDE, SIDE, 3)
    pasted = node("GPENPasteBack", image=image, faces=found[0], crops=white).args
    freed = request.getfixturevalue("second_device")
    crops, both = slice(1, 2), slice(0, 2)
    for node_id, inputs, expected, places in (
        ("GPENDetectFaces", {"detector": detector, "crop_size": "256"}, found[1:2], crops),
        ("GPENCropFaces", {"faces": found[0]}, found[1:2], crops),
        ("GPENPasteBack", {"faces": found[0], "crops": white}, pasted, both),
    ):
        freed.clear()
        with PretendDevice() as device:
            result = node(node_id, image=image, **inputs).args
        assert device.operations > 10, node_id
        assert freed == [DEVICE]
        for here, there in zip(expected, result[places], strict=True):
            assert there.device.type == "cpu"
            assert torch.allclose(here, there, atol=1e-5)


def test_with_novram_the_network_still_runs_on_the_device(host, node, detector, model, monkeypatch):
    """With --novram, ComfyUI leaves the weights on the CPU despite `force_full_load`."""
    image = draw_scene([10, 80], [120])
    expected = node("GPENRestoreImage", image=image, model=model, detector=detector).args
    if hasattr(host.mm, "VRAMState"):
        monkeypatch.setattr(host.mm, "vram_state", host.mm.VRAMState.NO_VRAM)
        monkeypatch.setattr(host.mm, "cpu_state", host.mm.CPUState.GPU)
    monkeypatch.setattr(host.mm, "get_torch_device", lambda: DEVICE)
    monkeypatch.setattr(host.mm, "get_free_memory", lambda *_, **__: 8 << 30)
    ran = []
    forward = model.network.forward

    def record(x, **options):
        ran.append({x.device, *(p.device for p in model.network.parameters())})
        return forward(x, **options)

    monkeypatch.setattr(model.network, "forward", record)
    model.patcher.load_device = DEVICE
    with PretendDevice():
        result = node("GPENRestoreImage", image=image, model=model, detector=detector).args
    assert ran == [{DEVICE}]
    for here, there in zip(expected[:2], result[:2], strict=True):
        assert there.device.type == "cpu"
        assert torch.allclose(here, there, atol=1e-4)
