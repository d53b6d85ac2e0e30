"""Each group of the suite runs in its smallest form, and what is made of its rows: comparisons, pictures, tables."""

import copy
import json
import shlex
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from script_loading import load_script

# Behind the installed packages: the checkout has the sources of fastnet, not always the compiled modules.
sys.path.append(str(Path(__file__).parents[1]))
pytest.importorskip("bench", reason="only in a checkout")

import fastnet as fn
from bench import compare, measuring, memory_child, plots, processes, timing
from bench.groups import GROUPS, gemm, memory, ops, scaling, train
from bench.nets import NETS, Training, mlp
from bench.peers import choose, ours
from bench.results import Run
from bench.rows import Figures, Row, duration, text
from bench.settings import Setup

#: JAX' compilation would take longer than all else; its contenders are in test_contenders.
PEERS = choose("numpy,torch,sklearn")[0]
SHORT = Setup(1, PEERS, seconds=0, slice_seconds=0.001, least=2, quick=True)
HERE = {
    "gemm": {"32x64x64", "1024x1024x1024"},
    "conv": {f"{case} batch 64, {part} gradient" for case, part in [("3x3 64->64 14x14", "weight"), ("3x3 64->64 14x14", "input"),
                                                                    ("3x3 3->64 32x32", "weight")]}
    | {"3x3 64->64 14x14 batch 64, forward", "3x3 3->64 32x32 batch 64, forward"},
    "ops": {"batch norm 16x16x8x64", "max pool 2x2 16x16x8x64", "gelu 16x16x8x64", "softmax cross-entropy 128x10"},
    "import": {"import"},
}  # fmt: skip


def rows_of(group, setup=SHORT):
    found = measuring.rows(setup, f"{group} ")
    return {row.case: row for row in found if row.group == group}


@pytest.fixture(autouse=True)
def one_thread(torch_threads):
    with fn.threads(1):
        yield


@pytest.mark.parametrize(
    "group",
    ["gemm", "conv", "ops", "optimizers", "train", "estimators", "infer", "import", "scaling", "health", "distributed"],
)
def test_group_runs_in_its_smallest_form(group, capsys):
    rows = rows_of(group)
    assert rows and set(rows) == HERE.get(group, set(rows))
    printed = capsys.readouterr().out
    for row in rows.values():
        assert text(row) in printed
        assert Row.from_json(row.to_json()).key == row.key == (group, row.case, 1, "")
        f = row.contenders["fastnet"]
        assert f.median_seconds is not None
        if (
            "torch" in PEERS
            and group not in ("estimators", "health", "import", "distributed")
            and "first calls" not in row.case
        ):
            assert row.ratio("torch") > 0
            assert row.of("torch").ratio_low <= row.ratio("torch") <= row.of("torch").ratio_high
        if group in ("gemm", "conv", "scaling"):
            assert 0 < f.fma_peak_percent == pytest.approx(100 * f.gflops_per_second / row.fma_peak_gflops_per_second)
        if group in ("ops", "optimizers"):
            assert (
                0
                < f.bandwidth_percent
                == pytest.approx(100 * f.gigabytes_per_second / row.bandwidth_gigabytes_per_second)
            )
        if row.case.endswith("one sample"):
            assert all(g.percentile_99_seconds >= g.median_seconds for g in row.contenders.values())
        if group == "scaling":
            assert row.series and row.position


def test_group_memory(monkeypatch):
    monkeypatch.setattr(memory, "SIDES", ("fastnet", *(side for side in memory.SIDES[2:] if "torch" in PEERS)))
    rows = rows_of("memory")
    training = rows.pop("VGG-small training process")
    assert 20 < training.contenders["fastnet"].megabytes < 200
    assert "torch" not in PEERS or training.ratio("torch") > 1
    sizes = rows.pop(f"LeNet, {memory_child.SIZES - 1} further batch sizes")
    assert sizes.figures["workspace megabytes"] == 0
    (workspace,) = rows.values()
    assert 0 <= workspace.figures["percent over that"] < 10


def test_the_least_workspace_is_what_is_live_at_once():
    trained = ours.trainer(NETS["LeNet"])
    trained.train_on_batch(*Training(NETS["LeNet"], 4, 4).batches()[0])
    program = train.program_of(trained)
    bound = memory.most_live(program)
    tensors = {t.storage.root for node in program.recording.nodes for t in (*node.inputs(), *node.outputs())}
    sizes = [storage.nbytes for storage in tensors if storage.memory is None]
    assert max(sizes) < bound < sum(sizes)
    assert bound <= program.workspace_bytes


def test_cases_that_threads_do_not_change_run_once():
    later = Setup(2, frozenset(), quick=True, first=False)
    for group, first in (("import", {"import"}), ("memory", {"ResNet-20 batch 64, workspace"})):
        names = [{case.name for case in measuring.cases_of(group, setup)} for setup in (SHORT, later)]
        assert names[0] - names[1] == first


def test_two_threads_have_a_speedup():
    setup = Setup(2, frozenset(), seconds=0, slice_seconds=0.001, least=2, quick=True)
    rows = measuring.rows(setup, "scaling threads, LeNet")
    assert [row.case for row in rows] == ["threads, LeNet batch 64"]
    assert rows[0].figures["speedup of fastnet"] == rows[0].contenders["fastnet one thread"].ratio


def test_torch_on_one_thread_does_not_limit_fastnet():
    """torch lowers the limit of the OpenMP runtime that both share, and fastnet obeys it."""
    pytest.importorskip("torch")
    tiny = Training(mlp(4, 4, 2), 2, 8)
    sides = scaling.sides_of(Setup(2, choose("torch")[0]), tiny)
    for name, expected in (
        ("fastnet", 2),
        ("torch one thread", 1),
        ("fastnet", 2),
        ("fastnet one thread", 1),
        ("torch", 1),
    ):
        sides[name](1)
        assert fn.get_num_threads() == expected, name


def test_a_slice_begins_when_the_process_is_idle():
    spinning = threading.Thread(target=lambda: sum(range(6_000_000)))
    spinning.start()
    timing.settle()
    assert not spinning.is_alive()


def test_a_case_that_fails_is_named(monkeypatch, capsys):
    def broken(*arguments):
        raise AssertionError("other differs")

    monkeypatch.setattr(gemm, "check", broken)
    with pytest.raises(AssertionError):
        measuring.rows(SHORT, "gemm")
    failed = []
    assert [row.group for row in measuring.rows(SHORT, "gemm", "optimizers Adam, 100,000", failed=failed)] == [
        "optimizers"
    ]
    assert failed == ["gemm 32x64x64", "gemm 1024x1024x1024"]
    assert "other differs" in capsys.readouterr().err


def test_what_takes_too_long_is_not_interleaved():
    notes = []
    kept = timing.fast_enough({"quick": lambda n: None, "slow": lambda n: time.sleep(0.02)}, 0.01, notes)
    assert list(kept) == ["quick"]
    assert len(notes) == 1 and "slow took 0.02" in notes[0]


def test_every_group_has_all_cases_without_quick():
    for group in GROUPS:
        some, every = ({case.name for case in measuring.cases_of(group, Setup(2, quick=q))} for q in (True, False))
        assert some <= every
        assert some != every or group == "import"


def test_bytes_are_counted_as_the_docstring_says():
    assert ops.Op("relu", (2, 4, 4, 8)).moved == 5 * 4 * 256
    assert ops.Op("max pool 2x2", (2, 4, 4, 8)).moved == (2 * 256 + 2 * 64) * 4
    assert ops.Op("softmax cross-entropy", (8, 10)).moved == 2 * 4 * 80


def test_durations_have_the_unit_that_suits():
    assert [duration(x) for x in (2.5, 0.012, 1.5e-5, 0.4567, -0.002)] == ["2.5 s", "12 ms", "15 us", "457 ms", "-2 ms"]


def test_torch_is_compiled_where_that_does_no_harm():
    both = ("eager", "compiled")
    for kind, isa, expected in (
        ("tanh", "", both), ("relu", "", both[:1]), ("max pool 2x2", "", both), ("max pool 2x2", "avx2", both[:1]),
    ):  # fmt: skip
        assert ops.hows_of_torch(Setup(isa=isa), ops.Op(kind, ops.INSIDE)) == expected


def test_peers_are_skipped_with_a_line():
    found, lines = choose("numpy,skorch")
    assert "numpy" in found
    assert len(lines) == ("skorch" not in found)
    with pytest.raises(ValueError, match="--peers"):
        choose("keras")


def test_a_network_counts_its_multiplications():
    training = Training(mlp(64, 64, 10), 32, 1600)
    assert training.net.parameters == 64 * 64 + 64 + 640 + 10
    assert training.flops == 2 * 32 * (2 * 64 * 64 + 3 * 640)


MACHINE = {"cpu_model": "A", "cpus": 2, "system": "S", "isa": "avx512", "isa_vector_bytes": 64, "date": "2026-11-26",
           "versions": {"fastnet": "1", "numpy": "2"}, "command": "python -m bench"}  # fmt: skip


def figures(median, spread=0.01, **more):
    return Figures(median, median * (1 - spread), median * (1 + spread), **more)


def a_run(seconds=1.0, peers=1.0, case="a", spread=0.01, **more):
    """A run of twenty cases, whose first is `case`."""
    rows = [
        Row("gemm", name, 1, {"fastnet": figures(s, spread), "numpy": figures(peers, ratio=peers / s)})
        for name, s in [(case, seconds), *((str(i), 1.0) for i in range(19))]
    ]
    return Run(copy.deepcopy(MACHINE) | more, rows)


def certain(old, new):
    return {(c.row.case, round(c.factor, 2)) for c in compare.changes(old, new)[0] if c.certain}


def test_what_got_slower_and_faster_is_found():
    assert certain(a_run(), a_run(1.5)) == {("a", 1.5)}
    assert certain(a_run(), a_run(0.5)) == {("a", 0.5)}
    assert certain(a_run(), a_run()) == set()


def test_intervals_that_overlap_are_no_change():
    assert certain(a_run(spread=0.3), a_run(1.3, spread=0.3)) == set()


def test_a_machine_that_became_slower_is_no_slowdown():
    old, new = a_run(), a_run(peers=1.3)
    for row in new.rows:
        row.contenders["fastnet"] = figures(1.3)
    found, drift, _ = compare.changes(old, new)
    assert drift == pytest.approx(1.3)
    assert not any(change.certain for change in found)


def test_what_peers_move_by_is_noise():
    old, new = a_run(), a_run(1.15)
    rng = np.random.default_rng(0)
    for row in new.rows:
        row.contenders["numpy"].median_seconds = float(np.exp(rng.normal(0, 0.2)))
    assert certain(old, new) == set()
    new.machine["versions"]["numpy"] = "3"  # other peers say nothing of the machine
    assert certain(old, new) == {("a", 1.15)}


def test_memory_is_compared_too(capsys):
    rows = [Row("memory", "m", 1, {"fastnet": Figures(megabytes=size)}) for size in (100.0, 150.0)]
    old, new = (Run(MACHINE, [row]) for row in rows)
    assert compare.report(old, new, 1.1) == 1
    assert "1.50 times the memory" in capsys.readouterr().out
    assert compare.report(new, old, 1.1) == 0


def test_the_exit_status_follows_the_largest_slowdown(capsys):
    assert compare.report(a_run(), a_run(1.5), 1.1) == 1
    assert "gemm, a" in capsys.readouterr().out
    assert compare.report(a_run(), a_run(1.5), 1.6) == 0
    assert compare.report(a_run(), a_run(0.5), 1.1) == 0


OPTIONS = ["--filter", "gemm 32x64x64", "--threads", "1", "--peers", "numpy", "--seconds", "0.05"]


def bench(tmp_path, *arguments):
    command = [sys.executable, "-m", "bench", *OPTIONS, *arguments]
    environment = processes.with_path(processes.CHECKOUT)
    return subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120)


def test_the_command_compares_with_a_doctored_file(tmp_path):
    path = tmp_path / "old.json"
    made = bench(tmp_path, "--json", str(path))
    assert made.returncode == 0, made.stderr
    fields = json.loads(path.read_text())
    assert fields["machine"]["command"] == shlex.join(["python", "-m", "bench", *OPTIONS, "--json", str(path)])
    assert [row["case"] for row in fields["rows"]] == ["32x64x64"]
    for factor, status in ((0.05, 1), (20.0, 0)):
        doctored = copy.deepcopy(fields)
        ours = doctored["rows"][0]["contenders"]["fastnet"]
        ours |= {name: factor * value for name, value in ours.items() if name.startswith("median")}
        path.write_text(json.dumps(doctored))
        compared = bench(tmp_path, "--compare", str(path))
        assert compared.returncode == status, compared.stderr
        assert ("slower:" if status else "faster:") in compared.stdout


def test_runs_are_joined_case_by_case(tmp_path):
    joined = a_run(1.0).join(a_run(2.0, command="python -m bench --quick"))
    assert [row.contenders["fastnet"].median_seconds for row in joined.rows if row.case == "a"] == [2.0]
    assert len(joined.rows) == 20
    assert joined.machine["command"] == "python -m bench\npython -m bench --quick"
    joined.write(tmp_path / "run.json")
    again = Run.read(tmp_path / "run.json")
    assert again.machine == joined.machine
    assert [row.to_json() for row in again.rows] == [row.to_json() for row in joined.rows]
    with pytest.raises(ValueError, match="two machines: cpus"):
        a_run().join(a_run(cpus=4))


def a_line():
    """Along an axis the peer becomes the faster at 100: the ratio falls in proportion to the square root."""
    return [
        Row("scaling", f"width: {n}", 1, {"fastnet": figures(1e-6 * n), "torch eager": figures(1e-5 * n**0.5, ratio=10 / n**0.5)},
            best={"torch": "torch eager"}, series="width", position=n)
        for n in (1000, 10)
    ]  # fmt: skip


def test_crossovers_are_named():
    assert Run(MACHINE, a_line()).crossovers() == ["width, 1 thread: torch is faster from about 100"]
    unsure = a_line()
    unsure[0].contenders["torch eager"].ratio_low, unsure[0].contenders["torch eager"].ratio_high = 0.3, 1.1
    assert Run(MACHINE, unsure).crossovers() == ["width, 1 thread: torch takes 3.16 to 3.16 times as long, at 10 to 10"]
    slower = [row for row in a_line() if row.position == 10]
    assert Run(MACHINE, slower).crossovers() == ["width, 1 thread: torch takes 3.16 to 3.16 times as long, at 10 to 10"]


def test_pictures(tmp_path):
    pytest.importorskip("matplotlib")
    run = a_run()
    run.rows += a_line()
    paths = plots.draw(run, tmp_path / "figures")
    assert sorted(path.name for path in paths) == ["gemm-1.svg", "scaling-width-1.svg"]
    assert all("<svg" in path.read_text(encoding="utf-8") for path in paths)


@pytest.fixture(scope="module")
def script():
    return load_script("make_benchmark_tables")


def test_the_pages_have_the_tables_of_the_committed_run(script):
    run = Run.read(script.MEASURED)
    found = set()
    for page in script.PAGES:
        page_text = (script.ROOT / page).read_text(encoding="utf-8")
        assert page_text == script.rewritten(page_text, run), f"{page}: run scripts/make_benchmark_tables.py"
        found |= {name for _, name, _, _ in script.BLOCK.findall(page_text)}
    assert found == set(script.TABLES)


def test_the_committed_runs_name_their_machines(script):
    for run in map(Run.read, script.MEASURED.parent.glob("amd-*.json")):
        assert run.machine["cpu_model"] in script.MACHINES
        assert all(line.startswith("python -m bench") for line in run.machine["command"].split("\n"))
        assert not run.failed
    run = Run.read(script.MEASURED)
    missing = [title for title, (group, case) in script.README.items() if run.find(group, case) is None]
    assert not missing


def test_a_table_shows_the_case_that_is_lost(script):
    run = a_run(2.0)
    run.rows[0].contenders["numpy"] = figures(1.0, ratio=0.5, ratio_high=0.6)
    text = script.rewritten("<!-- table losses -->\nold\n<!-- end -->\n<!-- table readme -->\n<!-- end -->\n", run)
    assert "| gemm | a | 2 s | NumPy | numpy | 0.50x |" in text
    assert "| lost by most, to NumPy (0.50x): gemm, a | 2 s |" in text
    assert "faster in 1" in text and "old" not in text
