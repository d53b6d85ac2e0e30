"""What a release is made of: names, versions and dependencies that are written in more than one place, and the checks of wheels."""

import re
import tomllib
import zipfile
from pathlib import Path

import pytest
from script_loading import load_script

import fastnet as fn

ROOT = Path(__file__).parents[1]

if not (ROOT / "scripts").exists():
    pytest.skip("the checkout is not beside the tests", allow_module_level=True)

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
RECIPE = (ROOT / "packaging/conda/recipe.yaml").read_text(encoding="utf-8")


check_release, check_wheel = load_script("check_release"), load_script("check_wheel")


def release():
    """The names of a whole release."""
    platforms = [
        "manylinux2014_x86_64.manylinux_2_17_x86_64", "manylinux_2_28_aarch64", "musllinux_1_2_x86_64", "musllinux_1_2_aarch64",
        "macosx_11_0_arm64", "macosx_11_0_x86_64", "win_amd64",
    ]  # fmt: skip
    pythons = ["cp311-abi3", "cp314-cp314t", "cp315-cp315t"]
    return ["fastnet_cpu-0.1.0.tar.gz", *(f"fastnet_cpu-0.1.0-{a}-{b}.whl" for a in pythons for b in platforms)]


def test_a_whole_release_has_no_problems():
    assert check_release.problems("v0.1.0", release(), "0.1.0") == []


def test_what_a_release_lacks_is_named():
    assert check_release.problems("v0.2.0", release(), "0.1.0") == [
        "the tag is v0.2.0, the version of pyproject.toml 0.1.0"
    ]
    without = [name for name in release() if "cp311-abi3-macosx_11_0_arm64" not in name]
    assert check_release.problems("v0.1.0", without, "0.1.0") == [r"cp311-abi3-macosx_.*_arm64: 0 files, expected 1"]
    # One from a machine of its own, whose tag says nothing of the oldest system.
    more = [*release(), "fastnet_cpu-0.1.0-cp311-abi3-linux_x86_64.whl"]
    assert check_release.problems("v0.1.0", more, "0.1.0") == [f"{more[-1]}: not a part of the release"]


def test_the_release_is_what_cibuildwheel_builds():
    built = PROJECT["tool"]["cibuildwheel"]["build"].split()
    assert built == [
        f"{python.split('-')[1] if 't' in python else python.split('-')[0]}-*" for python in check_release.PYTHONS
    ]
    assert PROJECT["project"]["requires-python"] == ">=3.11"


def test_version_and_dependencies_are_the_same_everywhere():
    assert PROJECT["project"]["version"] == fn.__version__
    assert re.search(r'^  version: "(.*)"$', RECIPE, re.MULTILINE)[1] == fn.__version__
    run = RECIPE.partition("\n  run:\n")[2].partition("\ntests:")[0]
    needs = [line.strip(" -").replace(" ", "") for line in run.splitlines() if ">=" in line]
    assert needs == PROJECT["project"]["dependencies"]
    host = RECIPE.partition("\n  host:\n")[2].partition("\n  run:")[0].replace(" ", "").lower()
    assert all(f"-{need.lower()}\n" in host for need in PROJECT["build-system"]["requires"])


def wheel_of(folder, files):
    path = folder / "fastnet_cpu-0.1.0-cp311-abi3-manylinux2014_x86_64.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, content in files.items():
            wheel.writestr(name, content)
    return str(path)


FILES = {
    "fastnet/__init__.py": b"",
    "fastnet/native/_kernels_avx2_f32.abi3.so": b"\0GLIBC_2.2.5\0GLIBC_2.14\0",
    "fastnet/native/team.abi3.so": b"\0GOMP_4.0\0OMP_1.0\0GLIBC_2.6\0",
    "fastnet_cpu.libs/libgomp-0a1b2c.so.1.0.0": b"\0GOMP_5.0\0GLIBC_2.17\0",
    "fastnet_cpu-0.1.0.dist-info/WHEEL": b"",
}


def test_a_wheel_is_looked_into(tmp_path, capsys):
    assert check_wheel.main(wheel_of(tmp_path, FILES)) == 0
    out = capsys.readouterr().out
    assert "kernels avx2" in out and "newest symbols of glibc: 2.17\n" in out


@pytest.mark.parametrize(
    "change, complaint",
    [
        ({"fastnet/native/gemm.pxi": b""}, "sources have no place here"),
        ({"tests/test_network.py": b""}, "not a part of fastnet"),
        ({"fastnet_cpu.libs/libgomp-0a1b2c.so.1.0.0": None}, "there is no OpenMP runtime"),
        ({"fastnet/native/_kernels_avx2_f32.abi3.so": None}, "there are no kernels"),
        ({"fastnet/native/team.abi3.so": b"\0GOMP_4.0\0GOMP_4.5\0"}, "needs GOMP (4, 5)"),
    ],
)
def test_a_wheel_with_too_much_or_too_little_is_refused(change, complaint, tmp_path, capsys):
    files = {name: content for name, content in (FILES | change).items() if content is not None}
    assert check_wheel.main(wheel_of(tmp_path, files)) == 1
    assert complaint in capsys.readouterr().err


def test_a_wheel_that_is_too_large_is_refused(tmp_path, capsys):
    path = wheel_of(tmp_path, FILES)
    assert check_wheel.main(path, "100") == 1
    assert "bytes are more than 100" in capsys.readouterr().err
    assert check_wheel.main(path, "100000") == 0
