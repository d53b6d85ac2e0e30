"""The ops that begin and end a step, replayed as a plan does."""

import numpy as np

from fastnet import config
from fastnet.native.plan import Call, ControlBlock, Plan


def step_plan(control, rates, code=0, batch=32):
    """step_begin, an op that finds fault in the third step if `code`, step_end."""
    bad = np.array([0.0, 0.0, np.nan])
    plan = Plan(3, control)
    plan.append(Call(config.kernel("step_begin", "float64"), ["learning_rates", "control"], {}),
                {"learning_rates": (1, 0), "control": (2, 0)})  # fmt: skip
    if code:
        plan.append(Call(config.kernel("check_finite", "float64"), ["x", "control"], {"n": 3, "code": code}),
                    {"x": (3, 0), "control": (2, 0)})  # fmt: skip
    plan.append(Call(config.kernel("step_end", "float64"), ["control"], {"batch": batch}), {"control": (2, 0)})
    plan.bind_buffer(1, rates)
    plan.bind(2, control.block)
    plan.bind_buffer(3, bad)
    return plan


def counters(control):
    return control.step, control.forward, control.cursor, control.run_step


def test_good_steps_count():
    control = ControlBlock()
    control.step, control.forward, control.cursor, control.gradient_scale = 10, 20, 64, 0.25
    rates = np.array([0.1, 0.2, 0.3, 0.4])
    plan = step_plan(control, rates)
    plan.run(3)
    assert counters(control) == (13, 23, 64 + 3 * 32, 3)
    assert (control.learning_rate, control.gradient_scale, control.status) == (0.3, 1.0, 0)
    plan.run()
    assert counters(control) == (14, 24, 64 + 4 * 32, 4)
    assert control.learning_rate == 0.4


def test_a_bad_step_is_taken_back():
    control = ControlBlock()
    control.step, control.forward, control.cursor = 10, 20, 64
    step_plan(control, np.array([0.1, 0.2]), code=5).run(2)
    assert control.status == 5
    assert counters(control) == (10, 20, 64, 1)
