import numpy as np
import pytest
from PIL import Image

from src.images import sheet, write_png


def test_png_is_written_whole_and_read_back(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, [5, 7, 3], np.uint8)
    write_png(tmp_path / "a.png", image)
    np.testing.assert_array_equal(Image.open(tmp_path / "a.png"), image)
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("n, size", [(1, (14, 12)), (4, (26, 22)), (5, (38, 22))])
def test_sheet(n, size):
    images = np.arange(n, dtype=np.uint8)[:, None, None, None] * np.ones([1, 4, 5, 3], np.uint8)
    canvas = sheet(images, scale=2, gap=2)
    assert canvas.shape == (size[1], size[0], 3)
    columns = int(np.ceil(np.sqrt(n)))
    for i in range(n):
        y, x = 2 + i // columns * 10, 2 + i % columns * 12
        assert (canvas[y : y + 8, x : x + 10] == i).all()
    assert (canvas[:2] == 255).all() and (canvas[:, -2:] == 255).all()
