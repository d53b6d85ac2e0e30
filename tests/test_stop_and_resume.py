"""Trainings that are stopped anywhere and gone on with have the bits of those that are not."""

import functools
import time

import numpy as np
import pytest
from small_models import BATCH, CLASSES, LOSS, SAMPLES, SHAPE, all_threads, data, make, models  # noqa: F401 (a fixture)
from stopping import StopAfter, Stopped, outcome, stop_and_go_on

import fastnet as fn

EPOCHS = 3

RULES = {
    "adam": lambda: fn.Adam(1e-3),
    "momentum": lambda: fn.SGD(fn.schedules.Cosine(0.01, steps=12), momentum=0.9, weight_decay=1e-3),
}


def trainer_of(name, rule):
    return fn.Trainer(make(name), loss=LOSS, optimizer=RULES[rule](), metrics=["accuracy"])


def fit_model(trainer, callbacks=None):
    going_on = trainer.unfinished is not None
    settings = {} if going_on else {"epochs": EPOCHS, "batch_size": BATCH}
    trainer.fit(*data(), validation=data(), callbacks=callbacks, verbose=0, **settings)


@functools.cache
def whole(name, rule):
    trainer = trainer_of(name, rule)
    with fn.threads(1):
        fit_model(trainer)
    return outcome(trainer)


@models
@pytest.mark.parametrize("rule", RULES)
def test_every_model_goes_on_within_an_epoch_and_at_its_end(name, rule, tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    for batches in (1, 4, 5, 8):
        trainer = stop_and_go_on(lambda: trainer_of(name, rule), fit_model, list, batches, path)
        assert outcome(trainer) == whole(name, rule) | {"settings": trainer.history.settings}, batches


# One small network, with everything that has a state


def small_net(**settings):
    layers = [
        fn.Conv2D(6, 3, padding="same", name="body"),
        fn.BatchNorm(),
        fn.Activation("relu"),
        fn.MaxPool2D(2),
        fn.Flatten(),
        fn.Dropout(0.3),
        fn.Dense(8, activation="tanh", regularizer=fn.L2(1e-3), constraint=fn.MaxNorm(1.0)),
        fn.Dense(CLASSES, name="head"),
    ]
    return fn.Network(layers, input_shape=SHAPE, seed=3, **settings)


def composite_net():
    """Its parameters are in two segments, one of them with others in between that are not in the network."""
    nodes = [
        fn.Node("a", fn.Dense(5), ["input"]),
        fn.Node("aside", fn.Dense(7), ["input"]),
        fn.Node("b", fn.Dense(4, activation="relu"), ["a"]),
        fn.Node("both", fn.Concatenate(), ["aside", "b"]),
    ]
    body = fn.Network.from_nodes(nodes, input_shape=(192,), seed=1).up_to("b")
    return fn.Network(
        [fn.Flatten(), body, fn.Dense(6), body_of_its_own(), fn.Dense(CLASSES)], input_shape=SHAPE, seed=2
    )


def body_of_its_own():
    return fn.Network([fn.Dense(5, activation="relu"), fn.BatchNorm()], input_shape=(6,), seed=4)


def groups():
    return [fn.ParameterGroup("head", learning_rate=fn.schedules.Step(0.01, 3, by="epoch"))]


WEIGHTS = np.linspace(0.5, 2, SAMPLES).astype("float32")
AUGMENT = [fn.augment.RandomCrop(1), fn.augment.RandomFlip(), fn.augment.Cutout(2)]

# What the trainer gets, what fit gets, and the callbacks.
CASES = {
    "all at once": (
        lambda: fn.Trainer(small_net(), loss=LOSS, optimizer=fn.Adam(0.02, amsgrad=True), metrics=["accuracy"], clip_norm=0.5,
                           accumulate=3, average=fn.EMA(0.9)),
        {"augment": AUGMENT, "sample_weight": WEIGHTS, "class_weight": {0: 2.0, 3: 0.5},
         "validation": (*data(), WEIGHTS[::-1])},
        lambda: [fn.EarlyStopping(patience=2, mode="max"), fn.ReduceLROnPlateau(patience=0, threshold=0.3),
                 fn.HealthMonitor(every=2)],
    ),
    "SWA": (
        lambda: fn.Trainer(small_net(), loss=LOSS, optimizer=fn.SGD(0.05, momentum=0.9, nesterov=True), average=fn.SWA(2)),
        {"validation": 0.25},
        list,
    ),
    "a number for each segment": (
        lambda: fn.Trainer(small_net(dtype="float64"), loss=LOSS, optimizer=fn.NAdam(0.01, groups=groups()), clip_value=0.1),
        {"drop_last": True, "class_weight": "balanced"},
        lambda: [fn.EarlyStopping("loss", restore_best=False)],
    ),
    "two rules": (
        lambda: fn.Trainer(small_net(), loss=LOSS, optimizer=fn.Muon(0.02, exclude=["head"]), clip_parameter_norm=0.3,
                           accumulate=2),
        {"augment": [fn.augment.Mixup(0.4)], "shuffle": False},
        list,
    ),
    "segments of other networks": (
        lambda: fn.Trainer(composite_net(), loss=LOSS, optimizer=fn.RMSprop(0.01), clip_norm=0.05),
        {"validation": data()},
        lambda: [fn.ReduceLROnPlateau(patience=0, cooldown=1, threshold=0.5)],
    ),
}  # fmt: skip
EPOCHS_OF_CASES = 4


def fit_case(name, trainer, callbacks=None):
    settings = CASES[name][1]
    if trainer.unfinished is not None:
        settings = {key: value for key, value in settings.items() if key in ("validation", "sample_weight")}
    else:
        settings = {"epochs": EPOCHS_OF_CASES, "batch_size": BATCH, **settings}
    trainer.fit(*data(), callbacks=callbacks, verbose=0, **settings)


@functools.cache
def whole_case(name):
    make_trainer, _, callbacks = CASES[name]
    trainer = make_trainer()
    fit_case(name, trainer, callbacks())
    return outcome(trainer), trainer


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(
    ("batches", "stage"), [*((n, None) for n in range(1, 14)), (3, "end"), (7, "end"), (13, "end")]
)
@pytest.mark.filterwarnings("ignore::fastnet.health.monitor.HealthWarning")
def test_every_state_goes_on_at_every_step_and_at_the_end_of_an_epoch(name, batches, stage, tmp_path):
    make_trainer, _, callbacks = CASES[name]
    expected, whole_trainer = whole_case(name)
    go_on = functools.partial(fit_case, name)
    trainer = stop_and_go_on(make_trainer, go_on, callbacks, batches, tmp_path / "c", stage=stage)
    assert outcome(trainer) == expected
    before, after = whole_trainer.history.health, trainer.history.health
    if before is not None:
        assert after.table.to_csv() == before.table.to_csv() and after.findings == before.findings
        assert np.array_equal(after.table.histograms(), before.table.histograms())


def test_the_cases_have_in_them_what_they_are_for():
    found = {name: whole_case(name)[0] for name in CASES}
    assert found["all at once"]["stopped"] == "early stopping" and found["all at once"]["epochs"] < EPOCHS_OF_CASES
    assert found["all at once"]["counts"][5] < 1, "the plateau has lowered the rate"
    assert len(whole_case("all at once")[1].history.health.table) > 3
    assert any(name.endswith(" c") for name in found["a number for each segment"]["optimizer"])
    assert {name.split()[1] for name in found["two rules"]["optimizer"]} == {"Muon", "AdamW", "NoneType"}
    assert len(composite_net().graph.layout()) == 3


@pytest.mark.filterwarnings("ignore::fastnet.health.monitor.HealthWarning")
def test_the_time_of_a_step_is_known_before_the_next_look(tmp_path):
    """It says how often a monitor looks."""
    seen = []

    class Ask(StopAfter):
        def on_epoch_begin(self, trainer, logs):
            (monitor,) = (callback for callback in trainer.running.callbacks if isinstance(callback, fn.HealthMonitor))
            probe = trainer.state(monitor)["statistics"]
            seen.append((probe.step_work, probe.own_work))

    def fit(*callbacks):
        trainer.fit(*data(), epochs=2, batch_size=BATCH, callbacks=callbacks, verbose=0)

    trainer = fn.Trainer(small_net(), loss=LOSS, optimizer="adam")
    fit(fn.HealthMonitor(), Ask())
    whole = seen[1]
    seen.clear()
    trainer = fn.Trainer(small_net(), loss=LOSS, optimizer="adam")
    with pytest.raises(Stopped):
        fit(fn.HealthMonitor(), Ask(tmp_path / "c", 5, "end"))
    trainer = fn.Trainer.resume(tmp_path / "c", callbacks=[Ask()])
    trainer.fit(*data(), verbose=0)
    assert seen[1] == whole and min(whole) > 0


def test_what_an_epoch_has_taken_before_the_stop_counts(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    class Slow(StopAfter):
        def on_batch_end(self, trainer, logs):
            now[0] += 10

    trainer = trainer_of("mlp", "adam")
    with pytest.raises(Stopped):
        trainer.fit(*data(), epochs=2, batch_size=BATCH, callbacks=[Slow(tmp_path / "c", 7)], verbose=0)
    now[0] = 5000.0
    trainer = fn.Trainer.resume(tmp_path / "c", callbacks=[Slow()])
    now[0] = 6000.0
    trainer.fit(*data(), verbose=0)
    assert trainer.history.seconds == [50, 50]


def test_folders_of_images_go_on_too(tmp_path):
    image = pytest.importorskip("PIL.Image")
    pixels = np.random.default_rng(0).integers(0, 256, (SAMPLES, *SHAPE), np.uint8)
    for i, rows in enumerate(pixels):
        (tmp_path / "images" / "abcd"[i % 4]).mkdir(parents=True, exist_ok=True)
        image.fromarray(rows).save(tmp_path / "images" / "abcd"[i % 4] / f"{i:02}.png")

    def fit(trainer, callbacks=None):
        found = fn.datasets.image_folder(tmp_path / "images", size=8, test=0)
        settings = {} if trainer.unfinished else {"epochs": 3, "batch_size": BATCH, "augment": AUGMENT}
        trainer.fit(found.x, found.y, validation=0.2, callbacks=callbacks, verbose=0, **settings)

    def make_trainer():
        return fn.Trainer(small_net(), loss=LOSS, optimizer=fn.Adam(0.01))

    whole = make_trainer()
    fit(whole)
    for batches in (2, 7):
        trainer = stop_and_go_on(make_trainer, fit, list, batches, tmp_path / "c")
        assert outcome(trainer) == outcome(whole)
    with pytest.raises(ValueError, match="x has (other values|files of other sizes)"):
        stop_and_go_on(make_trainer, changing(fit, tmp_path / "images" / "a" / "00.png"), list, 2, tmp_path / "c")


def of_map(path):
    x, y = data()
    if not path.exists():
        np.save(path, x)
    return {"x": np.load(path, mmap_mode="r"), "y": y}, {"batch_size": BATCH, "validation": 0.2}


def of_batches(path, steps=None):
    x, y = data()

    def batches():
        for start in range(0, SAMPLES, BATCH):
            yield x[start : start + BATCH], y[start : start + BATCH]

    return {"x": batches}, {"steps_per_epoch": steps, "validation": (x, y)}


@pytest.mark.parametrize(
    "give", [of_map, of_batches, functools.partial(of_batches, steps=3)], ids=["map", "batches", "batches in steps"]
)
@pytest.mark.parametrize("batches", [1, 4, 6, 9])
def test_memory_maps_and_batches_go_on_too(give, batches, tmp_path):
    def fit(trainer, callbacks=None):
        found, settings = give(tmp_path / "x.npy")
        if trainer.unfinished:
            settings = {name: value for name, value in settings.items() if name == "validation"}
        else:
            settings["epochs"] = 3
        trainer.fit(**found, callbacks=callbacks, verbose=0, **settings)

    def make_trainer():
        return fn.Trainer(small_net(), loss=LOSS, optimizer=fn.Adam(0.01))

    whole = make_trainer()
    fit(whole)
    assert outcome(stop_and_go_on(make_trainer, fit, list, batches, tmp_path / "c")) == outcome(whole)


def changing(fit, path):
    """`fit` that finds one image changed when it goes on."""

    def other_fit(trainer, callbacks=None):
        if trainer.unfinished:
            path.write_bytes(path.with_name("04.png").read_bytes())
        fit(trainer, callbacks)

    return other_fit
