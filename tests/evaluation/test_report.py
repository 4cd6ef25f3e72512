"""Reports: a contact sheet shows every triple; a table that cannot be written is refused."""

from __future__ import annotations

import pytest
import torch
from training_faces import crop_astronaut

from gpen_core import ImageError
from gpen_core.evaluation.report import draw_contact_sheet, write_table
from gpen_core.evaluation.scores import DEFAULT_ROUNDS


def test_a_contact_sheet_shows_degraded_restored_and_clean_faces():
    clean = torch.cat([crop_astronaut(), crop_astronaut()])
    sheet = draw_contact_sheet(lambda x: 1 - x, clean)
    assert sheet.shape == (1, 3, 2 * 64 + 8, 3 * (3 * 64) + 2 * 8)
    target, degraded = DEFAULT_ROUNDS.make_pair(clean, 3, 3)
    below = slice(72 + 16, 136)  # under the number
    assert torch.equal(sheet[0, :, below, 0:64], degraded[0, :, 16:])
    assert torch.equal(sheet[0, :, below, 64:128], 1 - degraded[0, :, 16:])
    assert torch.equal(sheet[0, :, below, 128:192], target[0, :, 16:])


def test_a_table_that_cannot_be_written_is_refused_by_name(tmp_path):
    with pytest.raises(ImageError, match=r"nowhere.*cannot be written"):
        write_table(tmp_path / "nowhere" / "t.tsv", {})
