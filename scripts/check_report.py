"""Reads pytest's JUnit report: fails if a test was skipped, but for reasons that are fine where all packages are there.

    python scripts/check_report.py report.xml

Comparisons skip where a peer is missing, and tests on data outside of the
repository where FASTNET_DATA is not set: fine on a user's machine, but only the latter where this runs.
"""

from __future__ import annotations

import os
import sys
from xml.etree import ElementTree

# What a machine that has every package may lack: the right to be refused.
ALLOWED = ("root may write everywhere",)


def main(path: str) -> int:
    skipped = []
    ran_torch = 0
    for case in ElementTree.parse(path).iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        reason = case.find("skipped")
        if reason is None:
            ran_torch += "torch" in name.lower()
            continue
        message = f"{reason.get('message')} {reason.text or ''}"
        outside = "FASTNET_DATA" in message and "FASTNET_DATA" not in os.environ
        print(f"skipped: {name}: {message}")
        if not outside and not any(allowed in message for allowed in ALLOWED):
            skipped.append(name)
    if skipped or not ran_torch:
        print(f"{len(skipped)} tests that must run were skipped, {ran_torch} comparisons with PyTorch ran")
        return 1
    print(f"{ran_torch} comparisons with PyTorch ran")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
