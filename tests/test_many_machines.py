"""The scripts in docs/many_machines.md."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from gpen_core.cli import make_parser

PAGE = (Path(__file__).resolve().parents[1] / "docs/many_machines.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_shell_scripts_have_no_syntax_error():
    if (bash := shutil.which("bash")) is None:
        pytest.skip("needs bash")
    assert len(blocks("sh")) >= 2
    for script in blocks("sh"):
        done = subprocess.run(
            [bash, "-n"], input=script, text=True, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr


def test_every_command_has_options_that_exist():
    commands = [
        line.split("#")[0].split()
        for block in [*blocks("sh"), *blocks("yaml")]
        for line in re.findall(r"\bgpen ((?:restore|chunk|run-chunk|join|status) [^\n|]*)", block)
    ]
    assert len(commands) >= 6
    for words in commands:
        words = [re.sub(r'^"?\$\w+"?$', "7", word) for word in words]
        make_parser(words).parse_args(words)


def test_the_kubernetes_job_is_an_indexed_job():
    yaml = pytest.importorskip("yaml", reason="pip install pyyaml to run this")
    (job,) = [d for b in blocks("yaml") for d in yaml.safe_load_all(b) if d.get("kind") == "Job"]
    spec = job["spec"]
    assert job["apiVersion"] == "batch/v1"
    assert spec["completionMode"] == "Indexed"  # backoffLimitPerIndex needs it, and Never below
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    (container,) = spec["template"]["spec"]["containers"]
    assert "$JOB_COMPLETION_INDEX" in container["args"][0]
    names = {volume["name"] for volume in spec["template"]["spec"]["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == names


def test_the_cluster_file_has_the_keys_of_rays_schema():
    if importlib.util.find_spec("ray") is None:
        pytest.skip("pip install ray to run this")
    import jsonschema
    import yaml

    files = [d for b in blocks("yaml") for d in yaml.safe_load_all(b)]
    (cluster,) = [file for file in files if "cluster_name" in file]
    (folder,) = importlib.util.find_spec("ray").submodule_search_locations
    schema = json.loads(Path(folder, "autoscaler/ray-schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(cluster, schema)
    assert all(
        "RAY_AUTH_MODE=token" in cluster[f"{role}_start_ray_commands"][1]
        for role in ("head", "worker")
    )
