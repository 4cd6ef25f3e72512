"""Exports that the tests of the ONNX reader share."""

import pytest
from onnx_exports import Exports


@pytest.fixture(scope="session")
def exports(tmp_path_factory):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    return Exports(tmp_path_factory.mktemp("exports"))
