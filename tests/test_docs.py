"""The documentation's Python runs and prints what it says; pages on findings agree with the rules that find them."""

import ast
import importlib
import importlib.util
import inspect
import math
import pkgutil
import re
import warnings
from pathlib import Path

import pytest
from script_loading import load_script

import fastnet as fn
from fastnet.health import findings, preflight_data, preflight_loss, preflight_network, preflight_trial
from fastnet.health.monitor import HealthWarning

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
FINDINGS = DOCS / "findings"
SECTIONS = [
    "What it means",
    "How it is found",
    "Severity",
    "Before training",
    "When it is harmless",
    "What to do",
    "An example",
]
BLOCK = re.compile(r"^```(python|text|text approximate)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
NUMBER = re.compile(r"(?<![\w.])[-−]?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?")
#: What looks at networks before they are trained.
CHECKS = {
    module.__name__.rpartition(".")[2]: module
    for module in (preflight_data, preflight_loss, preflight_network, preflight_trial)
}
#: What the examples of a page need.
PACKAGES = {
    "from-sklearn.md": ["sklearn", "distributed"],
    "onnx.md": ["onnx"],
    "torch-keras.md": ["torch", "h5py", "keras"],
    "distributed.md": ["mpi4py"],
}
#: Instruction sets round differently, and training amplifies it: figures of a training agree to a tenth, or to their last digit.
RELATIVE = 0.1


def blocks(path):
    """Pairs of Python and the text that stands for its output: "", where there is none; and whether its numbers are rounded."""
    found = []
    for kind, text in BLOCK.findall(path.read_text(encoding="utf-8")):
        if kind == "python":
            found.append([text, "", False])
        else:
            assert found and not found[-1][1], f"{path.name}: a text block without Python in front of it"
            found[-1][1:] = text, kind == "text approximate"
    return found


def value(text):
    return float(text.replace(",", "").replace("−", "-"))


def unit(text):
    """That of a number's last digit."""
    digits, _, exponent = text.partition("e")
    return 10.0 ** (int(exponent or 0) - len(digits.partition(".")[2]))


def agree(printed, promised):
    """Whether texts have the same words, and numbers that differ by little."""
    if NUMBER.sub("#", printed) != NUMBER.sub("#", promised):
        return False
    pairs = zip(NUMBER.findall(printed), NUMBER.findall(promised), strict=True)
    return all(math.isclose(value(a), value(b), rel_tol=RELATIVE, abs_tol=1.001 * unit(b)) for a, b in pairs)


def run(path, capsys):
    """Run a file's blocks one after the other; yields their names after each."""
    names = {}
    for code, promised, approximate in blocks(path):
        if "fn.TensorBoard(" in code:
            pytest.importorskip("tensorboard", reason="TensorBoard is not installed")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", HealthWarning)
            exec(compile(code, str(path), "exec"), names)
        printed = capsys.readouterr().out
        same = agree(printed, promised) if approximate else printed == promised
        assert same, f"{path.name} prints\n{printed}instead of\n{promised}"
        yield names


@pytest.mark.parametrize(
    "path",
    [*sorted(DOCS.glob("*.md")), *sorted(DOCS.glob("guide/*.md")), FINDINGS / "README.md"],
    ids=lambda path: path.relative_to(DOCS).as_posix(),
)
def test_the_examples_run_and_print_what_the_page_says(path, tmp_path, monkeypatch, capsys):
    for package in PACKAGES.get(path.name, ()):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    for _ in run(path, capsys):
        pass


@pytest.mark.parametrize("code", findings.CODES)
def test_the_first_example_has_the_finding_and_the_second_has_not(code, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    found = [[finding.code for finding in names["history"].findings] for names in run(FINDINGS / f"{code}.md", capsys)]
    assert found[0][0] == code
    assert code not in found[1]


@pytest.mark.parametrize("code", findings.CODES)
def test_each_code_has_a_page_with_its_sections(code):
    text = (FINDINGS / f"{code}.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## (.*)\n((?:(?!## ).*\n)*)", text, re.MULTILINE))
    assert text.startswith(f"# {code}\n")
    before = any(f'"{code}"' in inspect.getsource(module) for module in CHECKS.values())
    assert list(sections) == [section for section in SECTIONS if section != "Before training" or before]
    named = re.findall(r"\*\*(\w+)\*\*", sections["Severity"] + sections.get("Before training", ""))
    assert set(named) == set(index()[code])


def index():
    """Code -> severities, as the list of findings has them."""
    text = (FINDINGS / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[([\w-]+)\]\((.*?)\.md\) \| .* \| ([\w, ]+) \|$", text, re.MULTILINE)
    assert all(name == target for name, target, _ in rows)
    return {name: severities.split(", ") for name, _, severities in rows}


def test_the_index_has_all_codes_in_their_order():
    assert list(index()) == list(findings.CODES)
    assert {severity for row in index().values() for severity in row} == set(findings.SEVERITIES)
    assert {path.stem for path in FINDINGS.glob("*.md")} == {*findings.CODES, "README"}


@pytest.mark.parametrize("code", findings.CODES)
def test_thresholds_are_those_of_the_rule(code):
    rule = importlib.import_module(f"fastnet.health.rules.{code.replace('-', '_')}")
    text = (FINDINGS / f"{code}.md").read_text(encoding="utf-8")
    cells = re.findall(r"^\| (`[A-Z_]+ = .*?) \|", text, re.MULTILINE)
    listed = {name: float(number) for cell in cells for name, number in re.findall(r"`([A-Z_]+) = ([\d.]+)`", cell)}
    for name, number in listed.items():
        assert number == pytest.approx(getattr(rule, name), rel=1e-6), name
    assert own_numbers(rule) <= set(listed)
    for module, name, number in re.findall(r"`(\w+)\.([A-Z_]+) = ([\d.]+)`", text):
        assert float(number) == getattr(importlib.import_module(f"fastnet.health.{module}"), name), name


def own_numbers(module):
    """Names of the numbers that a module defines."""
    found = set()
    for statement in ast.parse(inspect.getsource(module)).body:
        if isinstance(statement, ast.Assign):
            found |= {
                name.id for target in statement.targets for name in ast.walk(target) if isinstance(name, ast.Name)
            }
    return {name for name in found if isinstance(getattr(module, name), (int, float))}


def test_the_figures_of_weights_are_small_and_made_by_the_script():
    script = load_script("make_figures")
    shown = re.findall(r"^!\[.+\]\(figures/(.*)\)$", (DOCS / "weights.md").read_text(encoding="utf-8"), re.MULTILINE)
    sizes = {path.name: path.stat().st_size for path in (DOCS / "figures").iterdir()}
    assert len(shown) == len(set(shown)) <= 15
    assert set(shown) == set(script.FIGURES) == set(sizes)
    assert max(sizes.values()) < 60_000
    assert {experiment for experiment, _ in script.FIGURES.values()} <= set(fn.lab.EXPERIMENTS)


@pytest.mark.parametrize(
    "path", [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))], ids=lambda path: path.relative_to(ROOT).as_posix()
)
def test_links_lead_to_files_and_sections(path):
    text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        file = path if not name else path.parent / name
        assert file.exists(), target
        if anchor:
            titles = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}, target


def test_the_reference_has_every_public_name():
    listed = {
        name
        for path in (DOCS / "api").glob("*.md")
        for name in re.findall(r"^::: (\S+)$", path.read_text(), re.MULTILINE)
    }

    def is_listed(module, name):
        return f"{module}.{name}" in listed or module in listed or module.rpartition(".")[0] in listed

    assert [f"{m}.{n}" for n, m in fn._MODULE_OF.items() if not is_listed(m, n)] == []
    modules = {f"fastnet.{name}" for name in fn._MODULES}
    assert {m for m in modules if not any(found == m or found.startswith(f"{m}.") for found in listed)} == set()
    kernels = {f"fastnet.kernels.{module}" for module in fn.kernels._MODULE_OF.values()}
    assert {m for m in kernels if m not in listed and m.rpartition(".")[0] not in listed} == set()
    for name in listed:
        pkgutil.resolve_name(name)


def test_the_site_has_every_page():
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    pages = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    assert set(re.findall(r"[\w/-]+\.md", text)) == pages


@pytest.mark.parametrize(
    "printed, promised, same",
    [
        ("loss 0.21\n", "loss 0.20\n", True),
        ("loss 0.26\n", "loss 0.20\n", False),
        ("step 261, 1.4e-06\n", "step 264, 1.3e-06\n", True),
        ("1.4e-06\n", "1.4e-05\n", False),
        ("dense_1: 99%\n", "dense_2: 99%\n", False),
    ],
)
def test_figures_of_a_training_agree_to_a_tenth(printed, promised, same):
    assert agree(printed, promised) == same
