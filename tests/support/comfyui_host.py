"""Fixtures: the pack as ComfyUI loads it, and a real ComfyUI that runs it.

COMFYUI_PATH is a checkout of ComfyUI. COMFYUI_PYTHON is an interpreter with its requirements and
those of the pack; if unset, it is the running interpreter. Without COMFYUI_PATH, tests marked
`comfyui` or `browser` are skipped, and other tests load the pack with `tests/doubles` in place of
ComfyUI.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMFYUI_PATH = os.environ.get("COMFYUI_PATH")
COMFYUI_PYTHON = os.environ.get("COMFYUI_PYTHON", sys.executable)
REAL_HOST = "GPEN_TEST_IN_COMFYUI"
"""Set when the direct tests run a second time, with the modules of ComfyUI itself."""
START_SECONDS = 600  # 10 on an idle machine
PACK = "gpen_pack"


def pytest_collection_modifyitems(items):
    if COMFYUI_PATH:
        return
    skip = pytest.mark.skip(reason="set COMFYUI_PATH to a ComfyUI checkout (and COMFYUI_PYTHON)")
    for item in items:
        if item.get_closest_marker("comfyui") or item.get_closest_marker("browser"):
            item.add_marker(skip)


@pytest.fixture(scope="session")
def pack(tmp_path_factory):
    """The repository's root package, loaded under another name as ComfyUI does."""
    if os.environ.get(REAL_HOST):
        sys.path.insert(0, str(COMFYUI_PATH))
        import comfy.cli_args

        comfy.cli_args.args.cpu = True
        # The nodes must not find the models in the checkout.
        comfy.cli_args.args.base_directory = str(tmp_path_factory.mktemp("comfyui"))
    else:
        sys.path.insert(0, str(ROOT / "tests" / "doubles"))
    return load_pack(PACK, ROOT)


def load_pack(name: str, root: Path):
    """Load the package in a folder under a name of our own, as ComfyUI does."""
    spec = importlib.util.spec_from_file_location(
        name, root / "__init__.py", submodule_search_locations=[str(root)]
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def nodes(pack):
    """The pack's `nodes` package, its extension loaded."""
    extension = asyncio.run(pack.comfy_entrypoint())
    asyncio.run(extension.on_load())
    return importlib.import_module(f"{pack.__name__}.nodes")


class ComfyUI:
    """A running ComfyUI with this repository as its only custom node pack.

    Args:
        base: folder for its models, inputs and outputs.
        flags: for its command line.
        main: the script to start, and its first arguments; it decides on the device.
        pack: the folder of the pack.
    """

    def __init__(
        self,
        base: Path,
        *flags: str,
        main: tuple[str, ...] = ("main.py", "--cpu"),
        pack: Path = ROOT,
    ):
        self.base = base
        for folder in ("custom_nodes", "input", "output", "temp", "models", "user"):
            (base / folder).mkdir(parents=True, exist_ok=True)
        link = base / "custom_nodes" / "gpen-restore"
        if not link.exists():
            link.symlink_to(pack, target_is_directory=True)
        # A second folder of models, as users with several installations have.
        self.extra_models = base / "elsewhere" / "gpen"
        self.extra_models.mkdir(parents=True, exist_ok=True)
        extra = base / "extra_model_paths.yaml"
        extra.write_text(f"elsewhere:\n  gpen: {self.extra_models}\n", encoding="utf-8")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/"
        self.log_path = base / "comfyui.log"
        self._log = self.log_path.open("w", encoding="utf-8")
        command = [
            COMFYUI_PYTHON, *main, "--listen", "127.0.0.1", "--port", str(port),
            "--base-directory", str(base), "--disable-api-nodes",
            "--database-url", "sqlite:///:memory:",
            "--extra-model-paths-config", str(extra), *flags,
        ]  # fmt: skip
        self._run = subprocess.Popen(
            command, cwd=COMFYUI_PATH, stdout=self._log, stderr=subprocess.STDOUT
        )
        self._wait_until_up()

    def _wait_until_up(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._run.poll() is None:
            try:
                self.get("system_stats")
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.3)
            else:
                return
        self.stop()
        raise RuntimeError(f"ComfyUI did not start:\n{self.log()[-3000:]}")

    def log(self) -> str:
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def get(self, path: str):
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:
            return json.loads(answer.read() or "null")

    def post(self, path: str, value) -> dict:
        """Send a POST; return the answer even if it is an error."""
        request = urllib.request.Request(
            self.url + path, json.dumps(value).encode(), {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.loads(answer.read() or "null")
        except urllib.error.HTTPError as error:
            return json.loads(error.read())

    def queue(self, graph: dict) -> str:
        """Queue an API-format graph; return its prompt id."""
        answer = self.post("prompt", {"prompt": graph})
        assert not answer.get("node_errors") and "prompt_id" in answer, json.dumps(answer, indent=1)
        return answer["prompt_id"]

    def wait(self, prompt_id: str, seconds: float = 300) -> dict:
        """Wait until a prompt has ended; return its history entry."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            entry = self.get(f"history/{prompt_id}").get(prompt_id)
            if entry:
                return entry
            assert self._run.poll() is None, self.log()[-3000:]
            time.sleep(0.1)
        raise TimeoutError(f"Still running after {seconds} s:\n{self.log()[-2000:]}")

    def run(self, graph: dict, seconds: float = 300) -> dict:
        """Run a graph to its end; return its history entry, which must say success."""
        entry = self.wait(self.queue(graph), seconds)
        succeeded = entry["status"]["status_str"] == "success"
        assert succeeded, describe_error(entry) or self.log()[-3000:]
        return entry

    def pictures(self, entry: dict, node: str) -> list[Path]:
        """Return the files that an output node of a finished prompt wrote."""
        return [
            self.base / image["type"] / image["subfolder"] / image["filename"]
            for image in entry["outputs"][node]["images"]
        ]

    def resident_bytes(self) -> int:
        """Return the memory that the process holds, as Linux reports it."""
        status = Path(f"/proc/{self._run.pid}/status")
        if not status.exists():
            pytest.skip("needs /proc")
        line = next(row for row in status.read_text().splitlines() if row.startswith("VmRSS"))
        return int(line.split()[1]) * 1024

    def stop(self) -> None:
        self._run.terminate()
        try:
            self._run.wait(20)
        except subprocess.TimeoutExpired:
            self._run.kill()
            self._run.wait()
        self._log.close()


def find_message(entry: dict, kind: str) -> dict | None:
    """Return the data of the first status message of a kind in a history entry."""
    return next((data for name, data in entry["status"]["messages"] if name == kind), None)


def describe_error(entry: dict) -> str:
    error = find_message(entry, "execution_error")
    return f"{error['node_type']}: {error['exception_message']}" if error else ""


def find_nodes_that_ran(entry: dict, graph: dict) -> set[str]:
    """Return the ids of the nodes that ran; the results of the others came from the cache."""
    cached = find_message(entry, "execution_cached") or {"nodes": []}
    return {*graph} - {*cached["nodes"]}


@pytest.fixture(scope="session")
def comfyui(tmp_path_factory):
    """A real ComfyUI on the CPU, shared by all tests."""
    base = tmp_path_factory.mktemp("comfyui")
    # As after a user's first start, so that the time of the import in the log is a typical one.
    folders = [str(ROOT / name) for name in ("nodes", "gpen_core")]
    subprocess.run([COMFYUI_PYTHON, "-m", "compileall", "-q", *folders], check=True)
    running = ComfyUI(base)
    yield running
    running.stop()
    shutil.rmtree(base, ignore_errors=True)
