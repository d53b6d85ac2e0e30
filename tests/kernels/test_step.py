"""The ops that begin and end a step, replayed as a plan does."""

import numpy as np

from fastnet import config
from fastnet.kernels.update import RANGE
from fastnet.native.plan import Call, ControlBlock, Plan


def step_plan(control, rates, ranges, code=0, batch=32):
    """step_begin, an op that finds fault in the third step if `code`, step_end."""
    bad = np.array([0.0, 0.0, np.nan])
    plan = Plan(4, control)
    numbers = {"n_ranges": len(ranges), "n_groups": rates.shape[1]}
    plan.append(Call(config.kernel("step_begin", "float64"), ["learning_rates", "ranges", "control"], numbers),
                {"learning_rates": (1, 0), "ranges": (4, 0), "control": (2, 0)})  # fmt: skip
    if code:
        plan.append(Call(config.kernel("check_finite", "float64"), ["x", "control"], {"n": 3, "code": code}),
                    {"x": (3, 0), "control": (2, 0)})  # fmt: skip
    plan.append(Call(config.kernel("step_end", "float64"), ["control"], {"batch": batch}), {"control": (2, 0)})
    plan.bind_buffer(1, rates)
    plan.bind(2, control.block)
    plan.bind_buffer(3, bad)
    plan.bind_buffer(4, ranges, True)
    return plan


def counters(control):
    return control.step, control.forward, control.cursor, control.run_step


def test_good_steps_count():
    control = ControlBlock()
    control.step, control.forward, control.cursor = 10, 20, 64
    ranges = np.zeros(3, RANGE)
    ranges["group"], ranges["scale"] = [0, 1, 0], 0.25
    plan = step_plan(control, np.array([[0.1, 1], [0.2, 2], [0.3, 3], [0.4, 4]]), ranges)
    plan.run(3)
    assert counters(control) == (13, 23, 64 + 3 * 32, 3)
    assert control.status == 0
    np.testing.assert_array_equal(ranges["learning_rate"], [0.3, 3, 0.3])
    np.testing.assert_array_equal(ranges["scale"], 1)
    plan.run()
    assert counters(control) == (14, 24, 64 + 4 * 32, 4)
    np.testing.assert_array_equal(ranges["learning_rate"], [0.4, 4, 0.4])


def test_a_bad_step_is_taken_back():
    control = ControlBlock()
    control.step, control.forward, control.cursor = 10, 20, 64
    step_plan(control, np.array([[0.1], [0.2]]), np.zeros(1, RANGE), code=5).run(2)
    assert control.status == 5
    assert counters(control) == (10, 20, 64, 1)
