"""What an evaluation in a test looks at."""

from pathlib import Path

import pytest

from tests.golden_cases import golden_image


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    golden_image("img0").save(folder / "a.png")
    return folder
