"""Make checkpoint files that try to run, hang, crash or exhaust whoever opens them.

`attacks(folder)` writes one small file per attack. `mutations(seed, count)` alters sound files.
Open the files with gpen_core only.
"""

from __future__ import annotations

import argparse
import io
import json
import pickle
import random
import re
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path

import torch
from hostile_files import COMMON_KINDS, alter_bytes, draw_place
from safetensors.torch import save as save_safetensors

PROTO = b"\x80\x02"
LEGACY_START = b"".join(
    pickle.dumps(part, protocol=2)
    for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
)


def text(words: str) -> bytes:
    data = words.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def call(name: str, *arguments: bytes) -> bytes:
    """The opcodes that call a global."""
    return b"c" + name.replace(" ", "\n").encode() + b"\n(" + b"".join(arguments) + b"tR"


def whole(number: int) -> bytes:
    data = number.to_bytes(number.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def storage(key: str = "0", numel: int = 1, kind: str = "FloatStorage") -> bytes:
    words = text("storage") + f"ctorch\n{kind}\n".encode() + text(key) + text("cpu")
    return b"(" + words + whole(numel) + b"tQ"


def tensor(
    shape: tuple[int, ...], strides: tuple[int, ...], *, offset: int = 0, of: bytes | None = None
) -> bytes:
    sizes, steps = (b"(" + b"".join(map(whole, numbers)) + b"t" for numbers in (shape, strides))
    hooks = call("collections OrderedDict")
    made = (of or storage(), whole(offset), sizes, steps, b"\x89", hooks)
    return call("torch._utils _rebuild_tensor_v2", *made)


def archive(pickled: bytes, *, method: int = zipfile.ZIP_STORED, **data: bytes) -> bytes:
    """A zip archive like those of `torch.save`."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        entries = {"data.pkl": PROTO + pickled + b".", "byteorder": b"little"}
        entries |= {f"data/{key.removeprefix('_')}": values for key, values in data.items()}
        for name, contents in (entries | {"version": b"3\n"}).items():
            entry = zipfile.ZipInfo(f"archive/{name}")  # without the time
            entry.compress_type = method
            file.writestr(entry, contents)
    return buffer.getvalue()


def legacy(pickled: bytes, keys: list[str], *storages: bytes) -> bytes:
    """A file like those that `torch.save` wrote before 1.6."""
    listed = pickle.dumps(keys, protocol=2)
    return LEGACY_START + PROTO + pickled + b"." + listed + b"".join(storages)


def safetensors(header: object, data: bytes = b"") -> bytes:
    words = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(words)) + words + data


def named(value: bytes, name: str = "generator.input.input") -> bytes:
    """A dictionary of one entry."""
    return b"}" + text(name) + value + b"s"


def _shared_tuple(levels: int) -> bytes:
    return b")q\x00" + b"h\x00h\x00\x86q\x00" * levels


def _resize_entry(contents: bytes, size: int) -> bytes:
    """Let an archive say that its last entry has another size."""
    central = contents.rindex(b"PK\x01\x02")
    return contents[: central + 20] + struct.pack("<2L", size, size) + contents[central + 28 :]


def _memoised_tensor() -> bytes:
    """Put the function that makes a tensor into memo 0 and its arguments into memo 1."""
    function, arguments = tensor((1,), (1,)).split(b"\n(", 1)
    return function + b"\nq\x00(" + arguments[:-1] + b"q\x01"


def _nest(opening: bytes, closing: bytes, levels: int = 100_000) -> bytes:
    return opening * levels + closing * levels


def _entry(**changes: object) -> dict[str, object]:
    return {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} | changes


def make_attacks() -> dict[str, bytes]:
    """The contents of one file per attack, by its name."""
    colliding = b"".join(whole(i * ((1 << 61) - 1)) + b"N" for i in range(20_000))
    bomb = text("a" * 1000) + b"q\x00" + (call("_codecs encode", b"h\x00", text("hex")) + b"q\x00")
    hooks = b"h\x00" * 2
    sound = archive(named(tensor((1,), (1,))), _0=b"\0" * 4)
    huge_entry = {"a": _entry(shape=[1 << 40], data_offsets=[0, 1 << 42])}
    return {
        # Hangs
        "shared_tuple_key.pth": archive(b"}" + _shared_tuple(60) + b"Ns"),
        "shared_tuple_value.pth": archive(named(_shared_tuple(60))),
        "shared_tuple_set.pth": archive(call("builtins set", b"]" + _shared_tuple(60) + b"a")),
        "deep_tuples.pth": archive(b")" + b"\x85" * 200_000),
        "deep_lists.pth": archive(_nest(b"]", b"a", 200_000)[:-1]),
        "deep_marks.pth": archive(_nest(b"(", b"t")),
        "list_in_itself.pth": archive(b"]q\x00h\x00a"),
        "dict_in_itself.pth": archive(b"}q\x00" + text("g_ema") + b"h\x00s"),
        "colliding_keys.pth": archive(b"}(" + colliding + b"u"),
        "many_opcodes.pth": archive(b"](" + b"N" * 600_000 + b"e"),
        # Memory
        "hex_bomb.pth": archive(bomb + call("_codecs encode", hooks)),
        "bytearray.pth": archive(call("builtins bytearray", whole(1 << 31))),
        "long_text.pth": archive(b"X" + struct.pack("<I", 0xFFFFFFFF)),
        "stride_0.pth": archive(named(tensor((20_000, 20_000), (0, 0))), _0=b"\0" * 4),
        "beyond_storage.pth": archive(named(tensor((1000,), (1,))), _0=b"\0" * 4),
        "huge_offset.pth": archive(named(tensor((1,), (1,), offset=1 << 60)), _0=b"\0" * 4),
        "huge_shape.pth": archive(named(tensor((1 << 62, 0), (1, 1))), _0=b"\0" * 4),
        "huge_storage.pth": archive(
            named(tensor((1,), (1,), of=storage(numel=1 << 40))), _0=b"\0" * 4
        ),
        "legacy_huge_storage.pth": legacy(
            named(tensor((1,), (1,), of=storage(numel=1 << 33))), ["0"], struct.pack("<Q", 1 << 33)
        ),
        "legacy_other_length.pth": legacy(
            named(tensor((1,), (1,))), ["0"], struct.pack("<Q", 1 << 33) + b"\0" * 4
        ),
        "one_storage_often.pth": archive(
            b"](" + tensor((1 << 20,), (1,), of=storage(numel=1 << 20)) * 100 + b"e",
            _0=bytes(4 << 20),
        ),
        "many_tensors.pth": archive(
            _memoised_tensor() + b"](" + b"h\x00h\x01R" * 25_000 + b"e", _0=b"\0" * 4
        ),
        "deflated.pth": archive(
            named(tensor((1 << 24,), (1,), of=storage(numel=1 << 24))),
            method=zipfile.ZIP_DEFLATED,
            _0=bytes(1 << 26),
        ),
        "larger_than_the_file.pth": _resize_entry(sound, 1 << 31),
        "long_header.safetensors": safetensors(b" " * (1 << 23)),
        "promised_header.safetensors": struct.pack("<Q", 1 << 62) + b"{}",
        "deep_header.safetensors": safetensors(b"[" * 200_000),
        "huge_tensor.safetensors": safetensors(huge_entry, bytes(4)),
        "overflow.safetensors": safetensors({"a": _entry(shape=[1 << 62, 4, 1 << 2])}, bytes(4)),
        # Errors of other packages
        "no_such_encoding.pth": archive(call("_codecs encode", text("abc"), text("none"))),
        "bytearray_without_end.pth": archive(call("builtins bytearray", whole(1 << 62))),
        "nested_tensor.pth": archive(call("torch._utils _rebuild_nested_tensor", b"N" * 4)),
        "sparse_tensor.pth": archive(call("torch._utils _rebuild_sparse_tensor", b"NN")),
        "meta_tensor.pth": archive(call("torch._utils _rebuild_meta_tensor_no_storage", b"NNNN")),
        "hidden_method.pth": archive(
            call("collections OrderedDict") + b"}" + text("values") + b"K\x01sb"
        ),
        "empty_stack.pth": archive(b"aaaa"),
        "unknown_opcode.pth": archive(b"\xff"),
        "wrong_key_type.pth": archive(named(storage(key="no-such-key"))),
        # Texts for the terminal
        "escapes.pth": archive(b"}" + text("\x1b[2J\x1b]0;pwned\x07\r\nall good") + b"K\x01s"),
        "long_names.pth": archive(b"}" + text("n" * 60_000) + b"K\x01s"),
        "escapes.safetensors": safetensors({"\x1b[2J" + "x" * 100_000: _entry()}, bytes(4)),
        # Programs
        "runs_code.pth": archive(call("posix system", text("touch was-run"))),
        "runs_code_by_name.pth": archive(call("builtins eval", text("1"))),
        "plain_pickle.pth": PROTO + call("posix system", text("touch was-run")) + b".",
    }


def sound_files() -> dict[str, bytes]:
    """Small sound files of all three formats, by their names."""
    generator = torch.Generator().manual_seed(5)
    weights = {
        "generator.input.input": torch.randn(1, 8, 4, 4, generator=generator),
        "b.bias": torch.randn(8, generator=generator).half(),
    }
    contents = {"g_ema": weights, "args": argparse.Namespace(size=32, tags=["a"]), "iter": 7}
    zipped = io.BytesIO()
    torch.save(contents, zipped)
    return {
        "sound.safetensors": save_safetensors(weights, metadata={"format": "pt"}),
        "sound.pth": zipped.getvalue(),
        "sound_legacy.pth": _save_legacy(contents, list(weights.values())),
    }


def _save_legacy(contents: object, tensors: list[torch.Tensor]) -> bytes:
    """Save as PyTorch did before 1.6, the same bytes every time.

    PyTorch names the storages by their addresses in memory and orders them so; here they are
    numbered in the order of `tensors`, in which the pickle names them.
    """
    saved = io.BytesIO()
    torch.save(contents, saved, _use_new_zipfile_serialization=False)
    pickled = saved.getvalue()
    pickled = pickled[: pickled.rindex(PROTO + b"]")]  # the list of names begins there
    names = list(dict.fromkeys(re.findall(rb"X.\0{3}(\d{7,})q", pickled, re.DOTALL)))
    assert len(names) == len(tensors)
    for number, name in enumerate(names):
        pickled = pickled.replace(text(name.decode()), text(str(number)))
    storages = [struct.pack("<Q", value.numel()) + value.numpy().tobytes() for value in tensors]
    keys = [str(number) for number in range(len(names))]
    return pickled + pickle.dumps(keys, protocol=2) + b"".join(storages)


def mutations(seed: int, count: int) -> Iterator[tuple[str, bytes]]:
    """Alter sound files at random: bytes, cuts, copies within the file, numbers at their limits.

    The pickle of an archive is altered inside a sound archive too, so that its checksum is right.
    """
    dice = random.Random(seed)
    files = list(sound_files().items())
    for number in range(count):
        name, contents = dice.choice(files)
        if name == "sound.pth" and dice.random() < 0.7:
            altered = _alter_inside(contents, dice)
        else:
            altered = _alter(contents, dice)
        yield f"{number}_{name}", altered


def _alter(contents: bytes, dice: random.Random) -> bytes:
    altered = bytearray(contents)
    for _ in range(dice.choice([1, 1, 2, 4, 16])):
        place = draw_place(altered, dice)
        kind = dice.randrange(COMMON_KINDS + 1)
        if kind < COMMON_KINDS:
            alter_bytes(altered, place, kind, dice, "<")
        else:
            altered[place : place + 1] = dice.choice(
                [b"(", b"t", b"R", b"b", b"h\x00", b"\x85", b"\x86", b"}", b"]", b"s", b"a", b"Q"]
            )
        altered = altered or bytearray(b"\0")
    return bytes(altered)


def _alter_inside(contents: bytes, dice: random.Random) -> bytes:
    """Alter one entry of an archive and pack it again."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(contents)) as old, zipfile.ZipFile(buffer, "w") as new:
        names = old.namelist()
        chosen = dice.choice([name for name in names if name.endswith("data.pkl")] * 4 + names)
        for name in names:
            data = old.read(name)
            altered = _alter(data, dice) if name == chosen and data else data
            new.writestr(zipfile.ZipInfo(name), altered)  # by its name it would hold the time
    return buffer.getvalue()


def write_attacks(folder: Path) -> list[Path]:
    """Write a file per attack into `folder` and return the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, contents in make_attacks().items():
        (folder / name).write_bytes(contents)
        paths.append(folder / name)
    return paths
