"""Face parsers: the published networks, their label conventions, and their files."""

from __future__ import annotations

import pytest
import torch

from gpen_core import CheckpointError, MismatchError, load_parser
from gpen_core.checkpoints import catalog
from gpen_core.names import FACE_REGIONS, REGIONS
from gpen_core.pasting.parsing import CONVENTIONS, LabelParser, make_network, parse_regions

PUBLISHED = {
    "parsenet": {
        "skin": [1], "nose": [2], "glasses": [3], "eyes": [4, 5], "brows": [6, 7], "ears": [8, 9],
        "mouth": [10], "lips": [11, 12], "hair": [13], "hat": [14], "neck": [17],
    },
    "bisenet": {
        "skin": [1], "brows": [2, 3], "eyes": [4, 5], "glasses": [6], "ears": [7, 8], "nose": [10],
        "mouth": [11], "lips": [12, 13], "neck": [14], "hair": [17], "hat": [18],
    },
}  # fmt: skip
"""Labels of each region, as their authors number them."""

SMALL = 64


class Labels(torch.nn.Module):
    """A network that gives every label once, column by column, and keeps what it was given."""

    def forward(self, faces):
        self.given = faces
        columns = torch.arange(faces.shape[-1]) % 19
        scores = torch.nn.functional.one_hot(columns, 19).float()
        return scores.T[None, :, None].expand(len(faces), -1, faces.shape[-2], -1), None


@pytest.fixture(scope="module")
def networks():
    torch.manual_seed(3)
    return {name: make_network(name).eval() for name in PUBLISHED}


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_every_region_is_found_by_its_name_in_both_orders(name):
    assert len(CONVENTIONS[name].labels) == 19
    assert {*REGIONS} == {*PUBLISHED[name]}
    parser = LabelParser(name, Labels(), torch.device("cpu"), size=38)
    faces = torch.rand(2, 3, 38, 38)
    for region, labels in PUBLISHED[name].items():
        mask = parser.find_regions(faces, [region])
        assert mask.shape == (2, 1, 38, 38)
        assert mask[1, 0, 5].nonzero()[:, 0].tolist() == [*labels, *(19 + n for n in labels)]
    several = parser.find_regions(faces, ["skin", "hat"])
    assert several[0, 0, 0].sum() == 4


@pytest.mark.parametrize(
    ("name", "white"),
    [("parsenet", (1.0, 1.0, 1.0)), ("bisenet", (2.24891, 2.42857, 2.64))],
)
def test_faces_are_normalised_as_the_network_was_trained(name, white):
    parser = LabelParser(name, Labels(), torch.device("cpu"))
    parser.label(torch.ones(1, 3, 20, 20))
    assert parser.network.given.shape == (1, 3, 512, 512)
    assert torch.allclose(parser.network.given[0, :, 9, 9], torch.tensor(white), atol=1e-4)


@pytest.mark.parametrize(("name", "prefix"), [("parsenet", ""), ("bisenet", "module.")])
def test_a_file_with_the_published_names_becomes_that_network(networks, tmp_path, name, prefix):
    path = tmp_path / f"parsing_{name}.pth"
    torch.save({prefix + key: value for key, value in networks[name].state_dict().items()}, path)
    parser = load_parser(device="cpu", folders=[tmp_path])
    assert (parser.name, parser.size) == (name, 512)
    parser.size = SMALL
    faces = torch.rand(1, 3, SMALL, SMALL)
    mean, deviation = (
        torch.tensor(values)[:, None, None]
        for values in (CONVENTIONS[name].mean, CONVENTIONS[name].deviation)
    )
    with torch.no_grad():
        scores = networks[name]((faces - mean) / deviation)[0]
    assert torch.equal(parser.label(faces), scores.argmax(dim=1))
    other = "bisenet" if name == "parsenet" else "parsenet"
    with pytest.raises(CheckpointError, match=f"weights of {name}, not of {other}"):
        load_parser(other, device="cpu", weights=path)


def test_files_that_are_no_parser_are_named(networks, tmp_path):
    path = tmp_path / "other.pth"
    torch.save({"a.weight": torch.zeros(2)}, path)
    with pytest.raises(CheckpointError, match=r"other\.pth.*not a face parser.*'a\.weight'"):
        load_parser(device="cpu", weights=path)
    torch.save(dict(list(networks["bisenet"].state_dict().items())[100:]), path)
    with pytest.raises(CheckpointError, match=r"other\.pth` is not a complete bisenet"):
        load_parser(device="cpu", weights=path)


def test_a_missing_file_is_named_with_its_folder_and_nothing_is_downloaded(tmp_path, monkeypatch):
    monkeypatch.setattr(catalog, "search_folders", lambda: (tmp_path,))
    for name, file in (("auto", "parsing_parsenet.pth"), ("bisenet", "parsing_bisenet.pth")):
        with pytest.raises(CheckpointError, match=f"`{file}`.*was not found") as caught:
            load_parser(name, device="cpu")
        assert str(tmp_path) in str(caught.value)
        assert "models/facedetection" in str(caught.value)
    with pytest.raises(MismatchError, match="Unknown face parser 'pspnet'"):
        load_parser("pspnet")


def test_regions_are_parsed_from_text():
    assert parse_regions("Skin, eyes  lips") == ("skin", "eyes", "lips")
    assert parse_regions(", ".join(FACE_REGIONS)) == FACE_REGIONS
    for text in ("", " , ", "skin, beard"):
        with pytest.raises(MismatchError, match="regions must be some of skin, brows"):
            parse_regions(text)
