"""The notebook runs from top to bottom, and what it shows is of such a run."""

import base64
import io
import json

import pytest
from PIL import Image

from src.files import read_json
from tests.conftest import ROOT, run_command
from tests.notebook import code_cells, run_cell

NOTEBOOK = ROOT / "docs" / "image_gpt.ipynb"


def shown(notebook):
    """What every cell prints, without its numbers, and the sizes of its pictures."""
    found = []
    for cell in code_cells(notebook):
        for output in cell["outputs"]:
            text = "".join(output.get("text", output.get("data", {}).get("text/plain", "")))
            picture = output.get("data", {}).get("image/png")
            size = Image.open(io.BytesIO(base64.b64decode(picture))).size if picture else None
            found.append(("".join(c for c in text if not c.isdigit()).split(), size))
    return found


def test_the_notebook_is_small_and_names_no_folder_of_one_machine():
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert len(text) < 300_000
    assert str(ROOT) not in text and "/home/" not in text and "Traceback" not in text
    cells = code_cells(json.loads(text))
    assert [cell["execution_count"] for cell in cells] == [*range(1, len(cells) + 1)]


@pytest.mark.slow
def test_the_notebook_runs(tmp_path):
    """Started where Jupyter starts it, in the notebook's own folder, with nothing on the path but the standard."""
    copy = tmp_path / "renewed.ipynb"
    copy.write_bytes(NOTEBOOK.read_bytes())
    start = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from tests.notebook import run, write; sys.path.pop(0)"
    run_command("-c", f"{start}; path = {str(copy)!r}; write(path, run(path))", cwd=NOTEBOOK.parent)
    found, expected = (shown(read_json(path, dict)) for path in (copy, NOTEBOOK))
    assert found == expected
    assert sum(size is not None for _, size in found) == 5


def test_a_cell_shows_what_jupyter_would():
    names = {}
    assert run_cell("a = 1", names) == []
    assert run_cell("print(a)\na + 1", names) == [
        {"name": "stdout", "output_type": "stream", "text": ["1\n"]},
        {"data": {"text/plain": ["2"]}, "metadata": {}, "output_type": "display_data"},
    ]
    names["picture"] = Image.new("RGB", (3, 2), "red")
    (output,) = run_cell("picture", names)
    assert Image.open(io.BytesIO(base64.b64decode(output["data"]["image/png"]))).size == (3, 2)
    with pytest.raises(ZeroDivisionError):
        run_cell("1 / 0", names)
