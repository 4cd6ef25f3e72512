"""Everything that the documents name exists, and the examples they show run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import skimage.data
from PIL import Image

from gpen_core import cli
from gpen_core.checkpoints import catalog

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "weights").glob("*.md"), *ROOT.glob("benchmarks/*.md")]


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def make_targets() -> set[str]:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([\w-]+):", makefile, re.MULTILINE))


def targets_named(file: Path) -> list[str]:
    return re.findall(r"(?:^|`)make ([\w-]+)", file.read_text(encoding="utf-8"), re.MULTILINE)


def headings(text: str) -> list[str]:
    return re.findall(r"^#+ (.+)$", text, re.MULTILINE)


def commands(word: str) -> list[str]:
    lines = "\n".join(blocks("sh")).splitlines()
    return [line.split("#")[0].strip() for line in lines if line.startswith(f"{word} ")]


def test_the_readme_opens_with_the_two_commands():
    title, first = README.split("```sh\n")[:2]
    assert re.fullmatch(r"# .+\n\n", title)
    assert [line.split("#")[0].strip() for line in first.splitlines()[:2]] == [
        "make demo",
        "make test",
    ]


def test_every_make_target_named_exists():
    named = {target for file in DOCUMENTS for target in targets_named(file)}
    assert {"demo", "test", "lint", "setup"} <= named <= make_targets()


def test_continuous_integration_runs_only_what_the_readme_names():
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    code = [line for line in lines if line and not line.startswith(("#", "set ", "cd "))]
    assert code == ["make lint", "make test"]
    assert all(command in README for command in code)


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_local_link_leads_somewhere(file):
    text = file.read_text(encoding="utf-8")
    anchors = {re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings(text)}
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if link.startswith("#"):
            assert link[1:] in anchors, link
        elif "://" not in link:
            assert (file.parent / link.split("#")[0]).exists(), link


def test_every_command_line_shown_is_understood():
    shown = commands("gpen")
    assert len(shown) >= 5
    for line in shown:
        words = shlex.split(line)[1:]
        cli.make_parser(words).parse_args(words)


def test_every_subcommand_named_exists():
    named = set(re.findall(r"`gpen ([\w-]+)", README))
    assert {"models", "download"} <= named <= set(cli.COMMANDS)


def test_every_checkpoint_in_the_table_is_one_that_gpen_knows():
    rows = re.findall(r"^\| `(GPEN\S+)` \| (\d+) \| `(\S+)` \|", README, re.MULTILINE)
    assert [int(size) for _, size, _ in rows] == [256, 512, 1024, 2048]
    for name, _, file in rows:
        assert catalog.find(name) == catalog.find(file)


def test_the_python_example_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    photograph = Image.fromarray(skimage.data.astronaut())
    (tmp_path / "photos").mkdir()
    for name in ("photo.jpg", "photos/portrait.jpg"):
        photograph.save(name)
    (example,) = blocks("python")
    names: dict = {}
    exec(compile(example, "README.md", "exec"), names)
    assert len(names["faces"]) == 1
    for name in ("restored.png", "photos/portrait.png"):
        with Image.open(name) as restored:
            assert restored.size == photograph.size


def test_the_readme_is_short():
    assert len(README.splitlines()) < 160
