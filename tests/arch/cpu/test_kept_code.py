"""Machine code that is kept on disk: what is run, and what is compiled anew."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from kernel_inputs import needs_kernels

from gpen_core.arch.cpu import launch

pytest.importorskip("llvmlite", reason="pip install llvmlite to run this")

from llvmlite import binding

from gpen_core.arch.cpu import compiler, kept_code, simd
from gpen_core.arch.cpu.instructions import LANES
from gpen_core.arch.cpu.simd import BFloat16s, Code, Floats, Index
from gpen_core.cache import LARGEST_PRIVATE

pytestmark = needs_kernels

Damage = Callable[[Path], object]


def double(code: Code, row: Index, x: Floats, out: Floats, count: Index) -> None:
    """Double a row."""
    for c in code.range(0, count, LANES):
        value = (x + row * count + c).load()
        (out + row * count + c).store(value + value)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GPEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("GPEN_KERNEL_CACHE", raising=False)
    return tmp_path / "cache" / "kernels"


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of kernels whose instructions were written, to be compiled."""
    names: list[str] = []
    write = compiler._write_function

    def note(module: object, kernel: compiler.Kernel, *rest: object) -> None:
        names.append(kernel.__name__)
        write(module, kernel, *rest)

    monkeypatch.setattr(compiler, "_write_function", note)
    return names


def compute(*, keep: bool = True) -> None:
    """Make the kernel, in a new engine, and run it."""
    openmp = launch._openmp()
    assert openmp is not None
    x, out = torch.randn(5, 32), torch.zeros(5, 32)
    kernels = compiler.CompiledKernels([double], Floats, openmp, keep=keep)
    kernels.run("double", 5, x, out, 32)
    assert torch.equal(out, 2 * x)


def test_code_is_compiled_once_and_then_taken_from_the_cache(
    folder: Path, written: list[str]
) -> None:
    compute()
    compute()
    assert written == ["double"]
    (file,) = folder.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_kept_code_is_private_whatever_the_umask(folder: Path, written: list[str]) -> None:
    before = os.umask(0)
    try:
        compute()
        compute()
    finally:
        os.umask(before)
    assert written == ["double"]


def flip_last_byte(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def put_under_another_key(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(bytes([content[0] ^ 1]) + content[1:])


def link_to_itself_elsewhere(file: Path) -> None:
    elsewhere = file.parents[2] / "elsewhere"
    file.rename(elsewhere)
    file.symlink_to(elsewhere)


def replace_by_fifo(file: Path) -> None:
    file.unlink()
    os.mkfifo(file, 0o600)


@pytest.mark.parametrize(
    "damage",
    [
        flip_last_byte,
        put_under_another_key,
        link_to_itself_elsewhere,
        replace_by_fifo,
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(file.read_bytes()[:-1]),
        lambda file: file.write_bytes(file.read_bytes() + b"\0"),
        lambda file: os.truncate(file, LARGEST_PRIVATE + 1),
        lambda file: file.chmod(0o620),
        lambda file: file.chmod(0o602),
    ],
)
def test_code_that_is_not_whole_or_not_ours_is_compiled_anew(
    damage: Damage, folder: Path, written: list[str]
) -> None:
    compute()
    (file,) = folder.iterdir()
    damage(file)
    compute()
    assert written == ["double"] * 2
    compute()  # the sound file has replaced the other
    assert written == ["double"] * 2


@pytest.mark.parametrize("levels", [0, 1])
def test_nothing_is_run_from_a_folder_that_others_can_write_into(
    levels: int, folder: Path, written: list[str]
) -> None:
    compute()
    (folder, folder.parent)[levels].chmod(0o777)
    compute()
    assert written == ["double"] * 2


def test_code_of_another_user_is_not_run(
    written: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    compute()
    user = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    compute()
    assert written == ["double"] * 2


def test_another_cpu_compiler_source_type_or_kernel_has_another_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def key() -> str | None:
        return kept_code.find_key("Floats", ["a", "b"])

    assert key() == key()
    keys = [key(), kept_code.find_key(BFloat16s.__name__, ["a", "b"])]
    keys.append(kept_code.find_key("Floats", ["a"]))
    source = tmp_path / "kernels.py"
    source.write_text("SLOPE = 0.2")
    for owner, name, value in (
        (binding, "get_host_cpu_name", lambda: "a CPU"),
        (binding, "get_host_cpu_features", lambda: binding.FeatureMap({"fma": False})),
        (binding, "llvm_version_info", (1, 2, 3)),
        (kept_code.llvmlite, "__version__", "0.0"),
        (kept_code, "SOURCES", (source,)),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, value)
            keys.append(key())
    assert len(set(keys)) == len(keys)


def test_the_sources_are_all_that_the_kernels_are_written_from() -> None:
    names = {path.name for path in kept_code.SOURCES}
    assert {"ops.py", "compiler.py", "simd.py", "kernels.py", "polyphase_kernels.py"} <= names
    assert Path(simd.__file__) in kept_code.SOURCES


def test_kernels_of_others_are_not_kept(folder: Path) -> None:
    compute(keep=False)
    assert not folder.exists()


def test_without_sources_nothing_is_kept(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_code, "SOURCES", (tmp_path / "absent.py",))
    compute()
    assert not folder.exists()


@pytest.mark.parametrize("value", ["0", "off"])
def test_a_variable_turns_it_off(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(compiler, "CompiledKernels", lambda *_, keep: asked.append(keep))
    openmp = launch._openmp()
    assert openmp is not None
    launch._compile(torch.float32, openmp)
    monkeypatch.setenv("GPEN_KERNEL_CACHE", value)
    launch._compile(torch.float32, openmp)
    assert asked == [True, False]


def test_a_cache_that_cannot_be_made_stops_nothing(folder: Path) -> None:
    folder.parent.write_text("a file stands where the folder would be")
    compute()


def test_old_files_are_deleted(folder: Path) -> None:
    for age in range(kept_code.KEPT_FILES + 2):
        kept_code.write(f"{age}", b"code")
        if (file := folder / f"{age}.o").exists():
            os.utime(file, (1000 + age, 1000 + age))
    kept_code.write("newest", b"code")
    kept = {path.stem for path in folder.iterdir()}
    assert len(kept) == kept_code.KEPT_FILES
    assert {"newest", "9"} <= kept
    assert not {"0", "1", "2"} & kept
