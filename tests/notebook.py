"""Runs a notebook's cells as Jupyter would, without Jupyter: `python -m tests.notebook docs/image_gpt.ipynb` renews it.

Standard output and the value of a cell's last line are kept, the latter as a PNG where it is a picture.
"""

import ast
import base64
import contextlib
import io
import json
import sys
from pathlib import Path

from src.files import read_json, whole


def code_cells(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def lines(text):
    """Text as a notebook keeps it."""
    return text.splitlines(keepends=True)


def run_cell(source, names):
    """What a cell prints and shows, as a notebook's outputs."""
    tree, last, printed = ast.parse(source), None, io.StringIO()
    if tree.body and isinstance(tree.body[-1], ast.Expr):
        last = ast.Expression(tree.body.pop().value)
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, "cell", "exec"), names)
        value = eval(compile(last, "cell", "eval"), names) if last else None
    outputs = []
    if printed.getvalue():
        outputs.append({"name": "stdout", "output_type": "stream", "text": lines(printed.getvalue())})
    if value is not None:
        data = {"text/plain": lines(type(value).__name__ if hasattr(value, "_repr_png_") else repr(value))}
        if hasattr(value, "_repr_png_"):
            data["image/png"] = base64.b64encode(value._repr_png_()).decode()
        outputs.append({"data": data, "metadata": {}, "output_type": "display_data"})
    return outputs


def run(path):
    """Run all cells in order in one namespace and put what they make into the notebook, which is returned."""
    notebook, names = read_json(path, dict), {"__name__": "__main__"}
    for number, cell in enumerate(code_cells(notebook), 1):
        cell |= {"execution_count": number, "outputs": run_cell("".join(cell["source"]), names)}
    return notebook


def write(path, notebook):
    with whole(path) as part:
        part.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    here = Path(sys.argv[1]).resolve()
    write(here, run(here))
