"""The hash of all that a result depends on."""

from __future__ import annotations

import os
import shutil

from gpen_core.batch.spec import hash_input, hash_spec


def test_the_order_of_parts_does_not_matter_and_every_value_does():
    assert hash_spec({"a": 1, "b": [0.5]}) == hash_spec({"b": [0.5], "a": 1})
    assert len({hash_spec(parts) for parts in ({"a": 1}, {"a": 2}, {"b": 1}, {"a": "1"})}) == 4


def test_an_input_is_told_by_its_size_and_time_or_by_its_contents(tmp_path):
    path, copy = tmp_path / "a", tmp_path / "b"
    path.write_bytes(b"one")
    shutil.copyfile(path, copy)
    os.utime(path, ns=(5, 5))
    os.utime(copy, ns=(6, 6))

    def both(**options):
        return [hash_input("base", file, file.stat(), **options) for file in (path, copy)]

    by_time, by_contents = both(), both(contents=True)
    assert by_time[0] != by_time[1]
    assert by_contents[0] == by_contents[1]
    path.write_bytes(b"two")
    os.utime(path, ns=(5, 5))
    assert both()[0] == by_time[0]  # same size and time
    assert both(contents=True)[0] != by_contents[0]
    assert hash_input("other", path, path.stat()) != by_time[0]
