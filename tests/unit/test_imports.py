"""The design held by a test: imports run one way, requirements equal imports, no private or version-1 API."""

import ast
import re
import sys

from tests.conftest import ROOT

ORDER = [
    "config",
    "files",
    "utils",
    "model",
    "cache",
    "huggingface",
    "checkpoint",
    "sources",
    "data",
    "distribute",
    "evaluation",
    "runs",
    "training",
    "cli",
    "metrics",
    "images",
    "superres.pictures",
    "superres.upscale",
    "superres.batch_norm",
    "superres.subpixel",
    "superres.espcn",
    "superres.srgan",
    "superres.networks",
    "superres.sheets",
    "superres.data",
    "superres.soap",
    "superres.perceptual",
    "superres.training",
    "superres.adversarial",
    "superres.export",
    "superres.mode_upscale",
    "superres.mode_eval",
    "superres.mode_train",
    "superres.flags",
]
LEAVES = ["sampling", "transfer"]
DISTRIBUTIONS = {"ml_dtypes": "ml-dtypes", "PIL": "pillow", "sklearn": "scikit-learn"}
TOOLS = {"ruff", "tensorboard", "tf2onnx"}  # run, or loaded by TensorFlow or Keras


def sources(*folders):
    return [p for f in folders for p in sorted((ROOT / f).glob("**/*.py" if f else "*.py"))]


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (
                [f"{node.module}.{a.name}" for a in node.names]
                if node.module in ("src", "src.superres")
                else [node.module]
            )


def test_imports_run_one_way():
    for path in sources("src"):
        name = ".".join(path.relative_to(ROOT / "src").with_suffix("").parts)
        if path.stem == "__init__":
            continue
        assert name in ORDER + LEAVES, f"{path}: put it into ORDER or LEAVES"
        below = ORDER[: ORDER.index(name)] if name in ORDER else ORDER
        for module in imported(path):
            if module.startswith("src."):
                assert module.removeprefix("src.") in below, f"{path} imports {module}"


def test_requirements_equal_imports():
    lines = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if line and line[0] != "#"]
    required = {re.split(r"[=<>~\[]", line)[0] for line in lines}
    own = {"src", "tests", "benchmarks"} | {p.stem for p in sources("")}
    used = (
        {m.split(".")[0] for p in sources("", "src", "tests") for m in imported(p)}
        - own
        - {"urllib3"}
        - set(sys.stdlib_module_names)
    )
    assert {DISTRIBUTIONS.get(m, m) for m in used} | TOOLS == required


def test_no_private_or_version_1_api():
    for path in sources("", "src", "benchmarks"):
        assert not re.search(r"compat\.v1|tensorflow\.python|keras\.src", path.read_text()), path
