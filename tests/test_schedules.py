"""Learning-rate schedules: PyTorch's values, hand values, and what a Trainer makes of them."""

import json
import warnings

import numpy as np
import pytest

import fastnet as fn
from fastnet import files, schedules

EPSILON = np.finfo(np.float64).eps
COUNTS = 150


def torch_rates(make, learning_rate, n=COUNTS):
    """The rates of n steps with a scheduler of PyTorch's: ``make(torch.optim.lr_scheduler, optimizer)``."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=learning_rate)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's SequentialLR calls what PyTorch's LRScheduler deprecates
        scheduler = make(torch.optim.lr_scheduler, optimizer)
        rates = []
        for _ in range(n):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
    return np.array(rates)


def one_cycle(**options):
    return lambda lr, optimizer: lr.OneCycleLR(optimizer, 0.3, total_steps=COUNTS, cycle_momentum=False, **options)


def warm(steps, factor, make):
    """PyTorch's warm-up: LinearLR, then another scheduler."""

    def sequence(lr, optimizer):
        ramp = lr.LinearLR(optimizer, factor, total_iters=steps)
        return lr.SequentialLR(optimizer, [ramp, make(lr, optimizer)], [steps])

    return sequence


# A schedule, and PyTorch's scheduler with its optimizer's rate.
PAIRS = [
    (schedules.Constant(0.3), lambda lr, o: lr.ConstantLR(o, factor=1.0), 0.3),
    (schedules.Step(0.3, 7, gamma=0.8), lambda lr, o: lr.StepLR(o, 7, 0.8), 0.3),
    (schedules.Step(0.3, 40), lambda lr, o: lr.StepLR(o, 40), 0.3),
    (schedules.Piecewise([10, 40, 41], [1.0, 0.5, 0.25, 0.125]), lambda lr, o: lr.MultiStepLR(o, [10, 40, 41], 0.5), 1.0),
    (schedules.Exponential(0.3, 0.97), lambda lr, o: lr.ExponentialLR(o, 0.97), 0.3),
    (schedules.Polynomial(0.3, 90), lambda lr, o: lr.PolynomialLR(o, 90), 0.3),
    (schedules.Polynomial(0.3, 90, power=2.5), lambda lr, o: lr.PolynomialLR(o, 90, 2.5), 0.3),
    (schedules.Cosine(0.3, 40, end=0.01), lambda lr, o: lr.CosineAnnealingLR(o, 40, 0.01), 0.3),
    (schedules.Cosine(0.3, COUNTS), lambda lr, o: lr.CosineAnnealingLR(o, COUNTS), 0.3),
    (schedules.CosineRestarts(0.3, 11), lambda lr, o: lr.CosineAnnealingWarmRestarts(o, 11), 0.3),
    (schedules.CosineRestarts(0.3, 5, multiplier=2, end=0.02), lambda lr, o: lr.CosineAnnealingWarmRestarts(o, 5, 2, 0.02), 0.3),
    (schedules.CosineRestarts(0.3, 3, multiplier=3), lambda lr, o: lr.CosineAnnealingWarmRestarts(o, 3, 3), 0.3),
    (schedules.OneCycle(0.3, COUNTS), one_cycle(), 1.0),
    (schedules.OneCycle(0.3, COUNTS, anneal="linear", peak_share=0.41), one_cycle(anneal_strategy="linear", pct_start=0.41), 1.0),
    (schedules.OneCycle(0.3, COUNTS, start_divisor=10, end_divisor=100, three_phases=True),
     one_cycle(div_factor=10, final_div_factor=100, three_phase=True), 1.0),
    (schedules.Warmup(0.3, 9, start=0.03), lambda lr, o: lr.LinearLR(o, 0.1, total_iters=9), 0.3),
    (schedules.Warmup(schedules.Cosine(0.3, 60), 20, start=0.03), warm(20, 0.1, lambda lr, o: lr.CosineAnnealingLR(o, 60)), 0.3),
    (schedules.Warmup(schedules.Step(0.3, 30), 20, start=0.15), warm(20, 0.5, lambda lr, o: lr.StepLR(o, 30)), 0.3),
]  # fmt: skip


@pytest.mark.parametrize("schedule, make, learning_rate", PAIRS, ids=[repr(pair[0]) for pair in PAIRS])
def test_agrees_with_torch(schedule, make, learning_rate):
    expected = torch_rates(make, learning_rate)
    # PyTorch mostly multiplies the last rate: a rounding, of a handful of operations, for each count. Where it adds the
    # way down to a small end, roundings are of the peak. Its cosine divides by what is left of the wave, which is small
    # just before the bottom, so that there they are of the peak, too, and as many as counts.
    of_peak = 20 * COUNTS if isinstance(schedule, schedules.Cosine | schedules.Warmup) else 4
    atol = of_peak * EPSILON * expected.max()
    np.testing.assert_allclose(schedule.rates(0, COUNTS, 0), expected, rtol=10 * COUNTS * EPSILON, atol=atol)


def test_after_one_cycle_the_rate_stays():
    schedule = schedules.OneCycle(1.0, 50)
    assert schedule.rates(49, 3, 0).tolist() == [schedule(49)] * 3 == [1 / 25 / 1e4] * 3


@pytest.mark.parametrize("steps, share", [(1, 0.3), (2, 0.5), (3, 1 / 3), (4, 0.0), (4, 1.0)])
def test_a_cycle_of_few_steps(steps, share):
    """The phase up may be shorter than a step, or the only one."""
    for three_phases in (False, True) if share <= 0.5 else (False,):
        rates = schedules.OneCycle(1.0, steps, peak_share=share, three_phases=three_phases).rates(0, 10, 0)
        assert (rates > 0).all() and (rates <= 1).all()
        assert rates[-1] == 1 / 25 / 1e4 if share < 1 else rates[3] == 1


def test_hand_values():
    assert schedules.InverseTime(0.3, 0.5, decay_steps=4).rates(0, 3, 0).tolist() == [0.3, 0.3 / 1.125, 0.3 / 1.25]
    assert schedules.Exponential(1.0, 0.25, decay_steps=2).rates(3, 2, 0).tolist() == [0.125, 0.0625]
    assert schedules.Polynomial(1.0, 2, end=0.5).rates(0, 4, 0).tolist() == [1.0, 0.75, 0.5, 0.5]
    restarts = schedules.CosineRestarts(1.1, 2, multiplier=1.5, decay=0.5, end=0.1)  # cycles begin at 0, 2, 5, 9.5
    np.testing.assert_allclose(restarts.rates(0, 6, 0), [1.1, 0.6, 0.6, 0.475, 0.225, 0.35], rtol=4 * EPSILON)
    warmup = schedules.Warmup(schedules.Piecewise([2], [0.4, 0.2]), 2)
    assert warmup.rates(0, 6, 0).tolist() == [0, 0.2, 0.4, 0.4, 0.2, 0.2]


@pytest.mark.parametrize("multiplier", [1, 1.1, 2, 3, 7])
def test_every_restart_is_at_the_peak(multiplier):
    """However the logarithm that finds a cycle is rounded."""
    period = 10
    schedule = schedules.CosineRestarts(1.0, period, multiplier=multiplier)
    for cycle in range(12):
        begin = sum(period * multiplier**i for i in range(cycle))
        assert schedule(np.ceil(begin)) > 0.9, "the first count of a cycle is near its peak"
        if cycle:
            assert schedule(np.ceil(begin) - 1) < 0.1, "and the one before it near the end of another"


class Own(schedules.Schedule):
    """A schedule in Python, of whole counts."""

    def __call__(self, t):
        assert type(t) is int
        return 0.1 / (1 + t)


class Doubled(schedules.Cosine):
    def __call__(self, t):
        return 2 * super().__call__(t)


EVERY = [pair[0] for pair in PAIRS] + [
    schedules.InverseTime(0.3, 0.5, decay_steps=4),
    schedules.Cosine(0.3, 50, by="epoch"),
    schedules.Warmup(schedules.Warmup(schedules.OneCycle(0.1, 20, by="epoch"), 3), 4, start=0.1),
]


@pytest.mark.parametrize("schedule", [*EVERY, Own(), Doubled(0.3, 50), schedules.Warmup(Own(), 4)], ids=repr)
def test_rates_are_those_of_single_counts_however_they_are_split(schedule):
    if schedule.by == "epoch":
        assert schedule.rates(99, 4, 7).tolist() == [schedule(7)] * 4
        return
    whole = schedule.rates(0, 100, 0)
    assert whole.dtype == np.float64 and whole.tolist() == [schedule(t) for t in range(100)]
    for n in (1, 3, 7, 32):
        parts = [schedule.rates(t, min(n, 100 - t), 5) for t in range(0, 100, n)]
        assert np.concatenate(parts).tobytes() == whole.tobytes()


@pytest.mark.parametrize("schedule", EVERY, ids=repr)
def test_configuration(schedule):
    """Config, repr and file give an equal schedule, by itself and in an optimizer."""
    back = files.from_config(json.loads(json.dumps(files.to_config([schedule, fn.SGD(schedule)]))))
    for other in (
        type(schedule)(**schedule.config()),
        eval(repr(schedule), vars(schedules)),
        back[0],
        back[1].learning_rate,
    ):
        assert other == schedule and hash(other) == hash(schedule)
    with pytest.raises(AttributeError):
        schedule.by = "epoch"


def test_every_schedule_is_tested():
    classes = {cls for cls in vars(schedules).values() if isinstance(cls, type)} - {schedules.Schedule}
    assert {type(pair[0]) for pair in PAIRS} == classes - {schedules.InverseTime}


def test_a_schedule_of_ones_own_in_a_file():
    class Halving(schedules.Schedule):
        def __init__(self, first, by="epoch"):
            self.first, self.by = first, by

        def __call__(self, t):
            return self.first / 2**t

    optimizer = fn.SGD(schedules.Warmup(Halving(0.5), 2))
    assert optimizer.learning_rate.by == "epoch" and optimizer.learning_rate.rates(0, 2, 3).tolist() == [0.25, 0.25]
    data = json.loads(json.dumps(files.to_config(optimizer)))
    back = files.from_config(data, custom_objects={"Halving": Halving})
    assert repr(back) == repr(optimizer) and "Halving(first=0.5, by='epoch')" in repr(back)


X = np.random.default_rng(0).normal(size=(70, 5)).astype("float32")
Y = X @ np.arange(5, dtype="float32") + 1


def make_net():
    return fn.Network([fn.Dense(6, activation="tanh"), fn.BatchNorm(), fn.Dense(1)], input_shape=(5,), seed=0)


def bits(net):
    return {name: value.tobytes() for name, value in net.state_dict().items()}


class EachBatch(fn.Callback):
    """Keeps each update's rate, and makes each step a run of its own."""

    def __init__(self):
        self.rates = []

    def on_batch_end(self, trainer, logs):
        self.rates.append(trainer.control.learning_rate)


@pytest.mark.parametrize("by", ["step", "epoch"])
@pytest.mark.parametrize("make", [
    lambda by: schedules.Warmup(schedules.Cosine(0.1, 12, by=by), 3),
    lambda by: type("Own", (Own,), {"by": by})(),
    lambda by: schedules.OneCycle(0.1, 18, by=by),
])  # fmt: skip
def test_same_bits_in_one_run_step_by_step_and_on_batches(make, by):
    schedule = make(by)
    options = {"batch_size": 16, "shuffle": False, "verbose": 0, "epochs": 4}
    whole, single, batches = (fn.Trainer(make_net(), loss="mse", optimizer=fn.SGD(schedule)) for _ in range(3))
    whole.fit(X, Y, **options)
    watch = EachBatch()
    single.fit(X, Y, **options, callbacks=[watch])
    counts = range(20) if by == "step" else np.repeat(range(4), 5)
    assert watch.rates == [schedule(int(t)) for t in counts]
    for epoch in range(4):
        for start in range(0, 70, 16):
            assert batches.learning_rate == watch.rates[batches.step]
            batches.train_on_batch(X[start : start + 16], Y[start : start + 16])
        if by == "epoch" and epoch < 3:
            # A loop of batches counts no epochs: it sets the rate itself.
            batches.optimizer.learning_rate = schedule(epoch + 1)
    assert bits(whole.net) == bits(single.net) == bits(batches.net)
    assert whole.learning_rate == schedule(20 if by == "step" else 4)


def test_any_split_into_runs_gives_the_same_bits(monkeypatch):
    from fastnet.training import trainer as module

    found = []
    for most in (1, 2, 3, 4096):
        monkeypatch.setattr(module, "MOST_STEPS", most)
        net = make_net()
        net.fit(X, Y, loss="mse", optimizer=fn.SGD(schedules.Cosine(0.01, 100)), epochs=5, batch_size=4, verbose=0)
        found.append(bits(net))
    assert all(other == found[0] for other in found)


def test_a_schedule_is_taken_at_once_and_goes_on_with_the_trainer():
    optimizer = fn.SGD(0.25)
    trainer = fn.Trainer(make_net(), loss="mse", optimizer=optimizer)
    trainer.train_on_batch(X, Y)
    assert trainer.learning_rate == 0.25
    schedule = optimizer.learning_rate = schedules.Piecewise([2, 3], [1e-2, 1e-3, 1e-4])
    assert optimizer.learning_rate is schedule
    found = []
    for _ in range(3):
        found.append(trainer.learning_rate)
        trainer.train_on_batch(X, Y)
        assert trainer.control.learning_rate == found[-1]
    assert found == [1e-2, 1e-3, 1e-4]
    optimizer.learning_rate = schedules.Piecewise([1, 2], [1e-2, 1e-3, 1e-4], by="epoch")
    for rate in (1e-2, 1e-3, 1e-4):
        assert trainer.learning_rate == rate
        trainer.fit(X, Y, verbose=0)
    trainer.rate_factor = 0.5
    assert trainer.learning_rate == 0.5e-4
    trainer.train_on_batch(X, Y)
    assert trainer.control.learning_rate == 0.5e-4
    optimizer.learning_rate = 3
    assert optimizer.learning_rate == 3.0 and trainer.learning_rate == 1.5
    for wrong, error in ((-1, ValueError), (np.nan, ValueError), ("half", TypeError)):
        with pytest.raises(error, match="rate_factor must be"):
            trainer.rate_factor = wrong


def test_apply_gradients_follows_the_schedule():
    net = fn.Network([fn.Dense(1, use_bias=False)], input_shape=(1,), dtype="float64", seed=0)
    trainer = fn.Trainer(net, loss="mse", optimizer=fn.SGD(schedules.Piecewise([1], [0.5, 0.25])))
    for rate in (0.5, 0.25):
        before = net[0].weight.value.copy()
        net.forward(np.ones((1, 1)), training=True)
        net.backward(np.ones((1, 1)))
        trainer.apply_gradients()
        assert net[0].weight.value == before - rate


def test_steps_that_failed_do_not_count():
    # In float32 the square of 1e30 overflows: the third batch has an infinite loss.
    x = np.ones((8, 2), np.float32)
    x[5] = 1e30
    y = np.zeros((8, 1), np.float32)
    found = []
    for data, target in ((x, y), (np.delete(x, [4, 5], axis=0), y[:6])):
        net = fn.Network([fn.Dense(1)], input_shape=(2,), seed=0)
        trainer = fn.Trainer(net, loss="mse", optimizer=fn.SGD(schedules.Exponential(0.1, 0.5)))
        trainer.fit(data, target, batch_size=2, shuffle=False, epochs=3, on_nonfinite="continue", verbose=0)
        assert trainer.step == 9 and trainer.learning_rate == 0.1 * 0.5**9
        found.append(bits(net))
    assert found[0] == found[1]


class Bad(schedules.Schedule):
    def __init__(self, value):
        self.value = value

    def __call__(self, t):
        return self.value if t == 3 else 0.1


@pytest.mark.parametrize("schedule, text", [
    (Bad(-0.5), r"the learning rate of Bad\(value=-0.5\) at step 3 must be at least 0; got -0.5"),
    (Bad(float("nan")), r"the learning rate of Bad.* at step 3 must be finite; got nan"),
    (Bad("fast"), r"the learning rate of Bad.* at step 3 must be a number; got str 'fast'"),
    (schedules.Exponential(0.1, 1e200), r"the learning rate of Exponential.* at step 2 must be finite; got inf"),
    (type("Nothing", (schedules.Schedule,), {})(), r"schedule Nothing does not define __call__\(t\)"),
    (type("Weeks", (Own,), {"by": "week"})(), "by 'week' is not one of step, epoch"),
])  # fmt: skip
def test_rates_that_are_refused_change_nothing(schedule, text):
    trainer = fn.Trainer(make_net(), loss="mse", optimizer=fn.SGD(0.0))
    while trainer.step < 2:
        trainer.train_on_batch(X, Y)
    trainer.optimizer.learning_rate = schedule
    before = None
    with pytest.raises((ValueError, TypeError), match=text):
        for _ in range(3):
            before = bits(trainer.net), trainer.step
            trainer.train_on_batch(X, Y)
    assert (bits(trainer.net), trainer.step) == before


@pytest.mark.parametrize("make, text", [
    (lambda: schedules.Constant(-1), "learning_rate must be at least 0"),
    (lambda: schedules.Step(0.1, 0), "step_size must be at least 1; got 0"),
    (lambda: schedules.Step(0.1, 2.5), "step_size must be a whole number"),
    (lambda: schedules.Step(0.1, 2, gamma=-1), "gamma must be at least 0"),
    (lambda: schedules.Step(0.1, 2, by="epochs"), "by 'epochs' is not one of step, epoch; did you mean 'epoch'"),
    (lambda: schedules.Piecewise([3, 3], [1, 2, 3]), "boundaries must rise"),
    (lambda: schedules.Piecewise([0], [1, 2]), r"boundaries\[0\] must be at least 1"),
    (lambda: schedules.Piecewise([1], [1]), "values must have one rate more .*: 2; got 1"),
    (lambda: schedules.Piecewise([1], [1, -1]), r"values\[1\] must be at least 0"),
    (lambda: schedules.Piecewise([], 0.1), "values must be a list of learning rates"),
    (lambda: schedules.Exponential(0.1, 0), "gamma must be above 0"),
    (lambda: schedules.Exponential(0.1, 0.5, decay_steps=0), "decay_steps must be above 0"),
    (lambda: schedules.InverseTime(0.1, -1), "decay_rate must be at least 0"),
    (lambda: schedules.Polynomial(0.1, 0), "steps must be at least 1"),
    (lambda: schedules.Polynomial(0.1, 5, power=0), "power must be above 0"),
    (lambda: schedules.Cosine(float("inf"), 5), "learning_rate must be finite"),
    (lambda: schedules.Cosine(0.1, 5, end=-1), "end must be at least 0"),
    (lambda: schedules.CosineRestarts(0.1, 5, multiplier=0.5), "multiplier must be at least 1"),
    (lambda: schedules.CosineRestarts(0.1, 5, decay=2), "decay must be at least 0 and at most 1"),
    (lambda: schedules.OneCycle(0.1, 5, anneal="cos"), "anneal 'cos' is not one of cosine, linear"),
    (lambda: schedules.OneCycle(0.1, 5, peak_share=0.6, three_phases=True), "peak_share must be .*at most 0.5"),
    (lambda: schedules.OneCycle(0.1, 5, start_divisor=0), "start_divisor must be above 0"),
    (lambda: schedules.Warmup(schedules.Cosine, 5), r"learning_rate is the class Cosine; make a schedule of it"),
    (lambda: schedules.Warmup(0.1, 5, by="week"), "by 'week' is not one of"),
    (lambda: schedules.Warmup(schedules.Cosine(0.1, 5, by="epoch"), 5, by="step"), "both must count the same"),
    (lambda: schedules.Cosine(0.1, 5)(-1), "t must be at least 0"),
    (lambda: fn.Adam(lambda t: 0.1), "learning_rate must be a number or a schedule; .*subclass of fn.schedules.Schedule"),
    (lambda: fn.Adam(schedules.Cosine), "learning_rate is the class Cosine"),
])  # fmt: skip
def test_impossible_settings(make, text):
    with pytest.raises((ValueError, TypeError), match=text):
        make()
