"""The mode with guard pages: an access one element past a buffer ends the process, and nothing else does."""

import os
import signal
from pathlib import Path

import pytest
import subprocesses

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the mode needs mmap, and these tests fork")

# Each case runs in a child of its own, and its name is printed with the child's status.
CASES = """
import ctypes, os, resource, sys
sys.path.append({tests!r})
import guarded_arrays
guarded_arrays.install()
import numpy as np
import fastnet as fn
from fastnet import config
from fastnet.native.arena import GUARD_PAGES, PAGE, Block
from fastnet.native.plan import Call, ControlBlock, Plan
from fastnet.recording import Memory, Program, Recording, Workspace

N = 37
before = GUARD_PAGES == "start"

def activation(n, beyond):
    "relu of n numbers that lie `beyond` elements past the end of their array (or before its start)."
    kernel = config.kernel("activation", "float32")
    plan = Plan(3)
    plan.append(Call(kernel, ["x", "y"], dict(n=n, kind=1, alpha=0.0)), dict(x=(1, 0), y=(2, 0)))
    plan.bind_buffer(1, np.ones(n, np.float32), offset=(-4 if before else 4) * beyond)
    plan.bind_buffer(2, np.empty(n, np.float32), writable=True)
    plan.run()

def workspace(n, beyond):
    "The same from a value in the workspace, behind another one that is as large."
    recording = Recording("float32")
    values = [recording.keep(recording.tensor((n,))) for _ in range(3)]
    x = values[1].shifted(-beyond if before else beyond)
    source = recording.outside(Memory("source", Block(4 * n)), (n,))
    for value in values:
        recording.call("activation", reads=dict(x=source), writes=dict(y=value), n=n, kind=1, alpha=0.0)
    y = recording.keep(recording.tensor((n,)))
    recording.call("activation", reads=dict(x=x), writes=dict(y=y), n=n, kind=1, alpha=0.0)
    program = Program(recording, Workspace(), ControlBlock())
    program.run()
    assert not program.view(y).any()

def touch(address, size):
    ctypes.string_at(address - 1 if before else address + size, 1)

def train():
    net = fn.Network([fn.Conv2D(8, 3, padding="same", activation="relu"), fn.BatchNorm(), fn.MaxPool2D(2), fn.Flatten(),
                      fn.Dropout(0.3), fn.Dense(3)], input_shape=(9, 7, 5), seed=0)
    x = np.random.default_rng(0).random((11, 9, 7, 5))
    net.fit(x, np.arange(11) % 3, loss="softmax_cross_entropy", batch_size=4, epochs=2, verbose=0)
    assert np.isfinite(net.predict(x)).all()
    grown = np.arange(3)
    grown.resize(5000, refcheck=False)
    assert (grown[:3] == range(3)).all() and not grown[3:].any() and guarded_arrays.is_guarded(grown)

def block():
    b = Block(N)
    touch(b.address, N)

def array():
    a = np.ones(N)
    touch(a.__array_interface__["data"][0], a.nbytes)

cases = dict(
    kernel=lambda: activation(N, 0), kernel_too_far=lambda: activation(N, 1), values=lambda: workspace(N, 0),
    value_too_far=lambda: workspace(N, 1), block_too_far=block, array_too_far=array, train=train,
    empty=lambda: (Block(0), np.empty(0), np.zeros((3, 0)).copy()),
)
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
for name, case in cases.items():
    child = os.fork()
    if child == 0:
        status = 1
        try:
            case()
            status = 0
        finally:
            sys.stderr.flush()
            os._exit(status)
    print(name, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.parametrize("side", ["end", "start"])
def test_an_access_too_far_is_a_fault(side):
    found = subprocesses.run(CASES.format(tests=str(Path(__file__).parents[1])), FASTNET_GUARD_PAGES=side)
    statuses = {name: int(status) for name, status in map(str.split, found.splitlines())}
    too_far = {name for name, status in statuses.items() if status in (-signal.SIGSEGV, -signal.SIGBUS)}
    assert too_far == {"kernel_too_far", "value_too_far", "block_too_far", "array_too_far"}
    assert {name for name, status in statuses.items() if status == 0} == {"kernel", "values", "train", "empty"}


def test_a_wrong_side_is_refused():
    result = subprocesses.finished("import fastnet.native.arena", FASTNET_GUARD_PAGES="middle")
    assert result.returncode == 1
    assert "FASTNET_GUARD_PAGES must be 'end' or 'start'; got 'middle'" in result.stderr
