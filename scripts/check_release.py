"""Whether a folder holds what a release needs: the sdist, and a wheel for each platform and kind of Python, of one version.

python scripts/check_release.py TAG FOLDER
"""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
PYTHONS = ["cp311-abi3", "cp314-cp314t", "cp315-cp315t"]
PLATFORMS = [
    r"manylinux.*_x86_64", r"manylinux.*_aarch64", r"musllinux.*_x86_64", r"musllinux.*_aarch64",
    r"macosx_.*_arm64", r"macosx_.*_x86_64", r"win_amd64",
]  # fmt: skip


def problems(tag: str, names: list[str], version: str) -> list[str]:
    """What is missing or too much among the names of files."""
    found = []
    if tag != f"v{version}":
        found.append(f"the tag is {tag}, the version of pyproject.toml {version}")
    wanted = {f"fastnet_cpu-{version}.tar.gz": re.escape(f"fastnet_cpu-{version}.tar.gz")}
    for python in PYTHONS:
        for platform in PLATFORMS:
            wanted[f"{python}-{platform}"] = re.escape(f"fastnet_cpu-{version}-{python}-") + platform + r"\.whl"
    for what, pattern in wanted.items():
        fitting = [name for name in names if re.fullmatch(pattern, name)]
        if len(fitting) != 1:
            found.append(f"{what}: {len(fitting)} files, expected 1")
    known = re.compile("|".join(wanted.values()))
    found += [f"{name}: not a part of the release" for name in names if not known.fullmatch(name)]
    return found


def main(tag: str, folder: str) -> int:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    found = problems(tag, sorted(path.name for path in Path(folder).iterdir()), version)
    for text in found:
        print(text, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
