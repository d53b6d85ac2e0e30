"""A user's program that goes through the public API: it must pass `mypy --strict`. It is never run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, assert_type

import numpy as np
from numpy.typing import NDArray

import fastnet as fn
from fastnet.estimators import NetClassifier, NetRegressor
from fastnet.io import onnx
from fastnet.types import ActivationLike, Array, Init, Shape

(x, y), (x_test, y_test) = fn.datasets.digits()
assert_type(x, Array)


# Layers, as users configure and write them


def body(activation: ActivationLike, init: Init | None = None) -> list[fn.Layer]:
    return [
        fn.Normalize(0.5, [0.25]),
        fn.Conv2D(8, 3, padding="same", activation=activation, init=init, regularizer=fn.L2(1e-4)),
        fn.Conv2D(8, (3, 3), stride=(2, 1), padding=((1, 0), (0, 1)), dilation=1, groups=2, use_bias=False),
        fn.BatchNorm(momentum=0.1, epsilon=1e-5),
        fn.Activation(fn.LeakyReLU(0.2)),
        fn.Activation(fn.ELU()),
        fn.PReLU(init=0.1 * np.ones(8), shared=False),
        fn.Residual([fn.Conv2D(8, 3, padding="same")], shortcut=fn.Conv2D(8, 1), activation="relu"),
        fn.Concat([fn.MaxPool2D(2), [fn.AvgPool2D((2, 2), stride=2), fn.Dropout(0.5)], []]),
        fn.Multiply([[], fn.Conv2D(8, 1)]),
        fn.DepthwiseConv2D(3, multiplier=2, padding=1),
        fn.SeparableConv2D(4, 3),
        fn.Conv2DTranspose(4, 3, stride=2, output_padding=1),
        fn.UpSample2D(2, interpolation="bilinear"),
        fn.ZeroPad2D(1),
        fn.ReflectPad2D(((1, 1), (0, 1))),
        fn.Crop2D((1, 1)),
        fn.GroupNorm(4),
        fn.LayerNorm(axes=1),
        fn.RMSNorm(),
        fn.SpatialDropout2D(0.1),
        fn.GlobalAvgPool2D(keep_dims=True),
        fn.Reshape((1, 1, 8)),
        fn.Flatten(),
        fn.Sequential([fn.Dense(4), fn.Dense(4)], name="head"),
        fn.Dense(10, constraint={"weight": fn.MaxNorm(3), "bias": fn.NonNeg()}, bias_init="zeros"),
    ]


sequences: list[fn.Layer] = [fn.Conv1D(4, 3), fn.MaxPool1D(2), fn.AvgPool1D(2), fn.GlobalMaxPool2D()]
for name in ("relu", "tanh"):
    sequences.append(fn.Dense(4, activation=name))


class Scale(fn.Layer):
    def __init__(self, factor: float, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.factor = factor

    def build(self, shape: Shape) -> Shape:
        self.weight = self.add_parameter("weight", shape, init="ones")
        return shape

    def forward(self, x: NDArray[Any], training: bool = False) -> NDArray[Any]:
        self.x = x
        return x * self.weight.value * self.factor

    def backward(self, dy: NDArray[Any]) -> NDArray[Any]:
        self.weight.add_gradient((dy * self.x).sum(axis=0))
        return dy * self.weight.value * self.factor

    def config(self) -> dict[str, Any]:
        return {"factor": self.factor, **super().config()}


class Join(fn.Layer):
    many_inputs = True

    def build(self, shape: list[tuple[int, ...]]) -> tuple[int, ...]:
        return shape[0]

    def forward(self, x: list[NDArray[np.float32]], training: bool = False) -> NDArray[np.float32]:
        return x[0] + x[1]

    def backward(self, dy: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        return [dy, dy]


@fn.register
class Ramp(fn.Initializer):
    def draw(self, shape: tuple[int, ...], dtype: str, key: tuple[int, int], fan_in: int | None = None,
             fan_out: int | None = None) -> NDArray[Any]:  # fmt: skip
        return np.linspace(0, 1, int(np.prod(shape)), dtype=dtype).reshape(shape)


@fn.register(name="LogCosh")
class LogCosh(fn.Loss):
    def per_sample(self, y_predicted: NDArray[Any], y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        e = y_predicted - y
        return np.log(np.cosh(e)).mean(axis=1), np.tanh(e) / e.shape[1]


class Within(fn.Metric):
    name = "within"

    def __call__(self, y_predicted: NDArray[Any], y: NDArray[Any]) -> NDArray[Any]:
        result: NDArray[Any] = (abs(y_predicted - y) < 0.1).all(axis=1)
        return result


class Halving(fn.schedules.Schedule):
    def __call__(self, t: float) -> float:
        return float(0.1 * 0.5**t)


class Report(fn.Callback):
    def on_epoch_end(self, trainer: fn.Trainer, logs: dict[str, float]) -> None:
        trainer.state(self)["best"] = min(logs["loss"], trainer.state(self).get("best", 1.0))
        if logs["loss"] < 0.1:
            trainer.stop("good enough")

    def on_pause(self, trainer: fn.Trainer) -> None:
        trainer.save_checkpoint(Path("run") / "last.safetensors")

    def batches_until_pause(self, trainer: fn.Trainer) -> int | None:
        return 100


# Networks

net = fn.Network(
    body("relu", "he_normal"), input_shape=(8, 8, 1), dtype=np.float32, seed=0, regularizer=fn.L1L2(l1=1e-5)
)
graph = fn.Network.from_nodes(
    [
        fn.Node("a", fn.Dense(4, activation="relu", init=Ramp()), ["input"]),
        fn.Node("b", fn.Dense(4, init=np.ones((3, 4)), bias_init=fn.initializers.Constant(0.1)), ["input"]),
        fn.Node("sum", fn.Add(activation="relu"), ["a", "b"]),
        fn.Node("product", fn.Product(), ["a", "sum"]),
        fn.Node("both", fn.Concatenate(), ["product", "sum"]),
        fn.Node("joined", Join(), ["a", "b"]),
    ],
    input_shape=(3,),
    output="both",
)
assert_type(graph.output_shape, tuple[int, ...])
assert_type(net.layers, list[fn.Layer])
norm = np.linalg.norm(net["head"].weight.value - net["head"].bias.value) + net["head"].units
assert_type(net["head"].weight.value, Array)
print(net["head"].weight.grad.round(4), norm, net[0].name)
layer = net["head"]
if isinstance(layer, fn.Dense):
    weights: NDArray[Any] = layer.weight.value
    if layer.bias is not None and layer.bias.grad is not None:
        print(layer.bias.grad.mean(), layer.units + 1)
layer.trainable = False
layer.regularizer = None
layer.constraint = fn.UnitNorm()
for parameter in net.parameters():
    print(parameter.name.upper(), parameter.shape[0], parameter.value.mean())
    with parameter.edit() as view:
        view[...] = 0
    parameter.assign(np.zeros(parameter.shape))
print(len(net), [part.name for part in net], net.penalty(), net.summary(), net.buffers())
twin = net.copy()
twin.load_state_dict(net.state_dict())
twin.reinitialize(["head"], seed=1)
head = net.up_to("flatten_1")
net.extra["classes"] = ["a", "b"]
net.save("net.safetensors")
assert_type(fn.load(Path("net.safetensors"), custom_objects={"Scale": Scale}), fn.Network)

assert_type(net.predict(x), Array)
probabilities = net.predict_proba(x_test, batch_size=64)
print(probabilities.argmax(axis=1), net.predict_class([[0.0]]).tolist())
out = np.empty((len(x), 10), np.float32)
net.predict(x, out=out)
hidden = net.activations(x, ["head"])["head"].shape
dx = net.backward(net.forward(x, training=True))

# Training

optimizers: list[fn.Optimizer] = [
    fn.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=1e-4),
    fn.Adam(fn.schedules.Cosine(1e-3, 1000), beta_1=0.9, amsgrad=True, decay_biases=False),
    fn.AdamW(1e-3, weight_decay=0.05, epsilon=1e-8),
    fn.RMSprop(rho=0.9, centered=True),
    fn.Adagrad(),
    fn.Adadelta(),
    fn.Adamax(),
    fn.NAdam(),
    fn.RAdam(decoupled_weight_decay=True),
    fn.Lion(weight_decay=0.1, groups=[fn.ParameterGroup("head", learning_rate=1e-5)]),
    fn.Muon(0.02, others=fn.AdamW(1e-3), exclude=["head"], adjust_learning_rate="match_rms_adamw"),
]
optimizers[0].learning_rate = fn.schedules.Warmup(fn.schedules.Step(0.1, 30, 0.1), 5)
schedules: list[fn.schedules.Schedule] = [
    fn.schedules.Constant(0.1),
    fn.schedules.Piecewise((10, 20), (0.1, 0.01, 0.001), by="epoch"),
    fn.schedules.Exponential(0.1, 0.9),
    fn.schedules.InverseTime(0.1, 0.5),
    fn.schedules.Polynomial(0.1, 100, power=2),
    fn.schedules.CosineRestarts(0.1, 10),
    fn.schedules.OneCycle(0.1, 100, three_phases=True),
    Halving(),
]

history = net.fit(
    x, y, epochs=3, batch_size=64, loss=fn.SoftmaxCrossEntropy(label_smoothing=0.1), optimizer=optimizers[0],
    metrics=["accuracy", "top_3_accuracy", fn.metrics.TopKAccuracy(2), Within()], validation=(x_test, y_test),
    sample_weight=np.ones(len(x)), class_weight={0: 1.0, 1: 2.0}, shuffle=True, drop_last=True, verbose=0,
    augment=[fn.augment.RandomCrop(1), fn.augment.RandomFlip(), fn.augment.Cutout(2), fn.augment.Mixup()],
    clip_norm=1.0, accumulate=2, average=fn.EMA(0.99), health=fn.HealthMonitor(on_problem="stop"), on_nonfinite="stop",
    callbacks=[
        fn.EarlyStopping("val_loss", patience=3, mode="min"), fn.ReduceLROnPlateau(factor=0.5), fn.TerminateOnNaN(),
        fn.ModelCheckpoint("run", every=1, keep=2), fn.CSVLogger("log.csv"), fn.JSONLogger(Path("log.jsonl")),
        fn.LearningRateLogger(), fn.TensorBoard("tb"), fn.ProgressBar(by_epoch=True), Report(),
        fn.LambdaCallback(on_epoch_end=lambda trainer, logs: print(trainer.history.epochs, logs["loss"])),
    ],
)  # fmt: skip
assert_type(history, fn.History)
assert_type(history["loss"], list[float])
assert_type(net.evaluate(x_test, y_test, metrics="accuracy"), dict[str, float])
print(history.epochs, history.stopped, history.to_csv(), history.learning_rates[-1])
for finding in history.findings:
    print(finding.code, finding.severity, str(finding))
history.save("history.csv")
print(history.health.table.by_depth("norm", "gradient"))
net.fit(x, y, loss="mse", optimizer="adam", validation=0.1, class_weight="balanced", callbacks=Report())

trainer = fn.Trainer(net, loss=LogCosh(), optimizer="sgd", metrics=(), average=fn.SWA(3))
assert_type(trainer.train_on_batch(x[:8], y[:8]), dict[str, float])
value, dy = trainer.loss.gradient(net.forward(x[:8], training=True), y[:8])
net.backward(dy)
trainer.apply_gradients()
trainer.rate_factor *= 0.5
trainer.fit(x, y, epochs=2)
resumed = fn.Trainer.resume("run", callbacks=[Report()])
print(resumed.step, resumed.learning_rate, resumed.unfinished)
search = fn.find_learning_rate(net, x, y, loss="softmax_cross_entropy", steps=50)
print(search.suggestion, search.rates.shape)
search.plot("search.png")

# Looking at networks

checked = fn.preflight(net, x, y, loss="softmax_cross_entropy", seconds=2.0)
assert_type(checked, fn.Preflight)
gradients = fn.check_gradients(net, x[:2], y[:2], loss=fn.Huber(0.5))
print(gradients.ok, gradients.worst, max(gradients.errors.values()))
print([scale.layer for scale in fn.lsuv(net, x)])
assert_type(
    fn.report(history, "report.html", net=net, data=(x_test, y_test), class_names=list("0123456789")), list[str]
)
fn.lab.write("neuron", "lab", quick=True)
for make in (fn.models.mlp, fn.models.lenet, fn.models.resnet20):
    assert_type(make(input_shape=(16, 16, 3), classes=10, seed=0), fn.Network)

# Losses, metrics, data


def values_of(loss: fn.Loss) -> float:
    return loss.value(np.zeros((2, 3)), [0, 1], sample_weight=[1.0, 2.0])


print(values_of(fn.Poisson()), values_of(fn.SigmoidCrossEntropy()), values_of(fn.losses.MeanSquaredError()))
data = fn.datasets.load("table.csv", target="price", task="regression", missing="mean", test=0.25)
assert_type(data, fn.datasets.Dataset)
net.fit(data.x, data.y, loss="mse")
folder = fn.datasets.image_folder("photos", size=(32, 32), channels=3, on_error="skip")
net.fit(folder.x, folder.y)
(x_train, y_train), held_out = fn.datasets.train_test_split(x, y, test=0.3)
net.fit(x_train, y_train, validation=held_out)
settings: Mapping[str, Any] = fn.Dense(3).config()
looked_at = fn.augment.apply([fn.augment.RandomFlip(), fn.augment.Brightness(), fn.augment.Contrast()], x)

# Kernels

k = fn.kernels
assert_type(k.matmul(x, x, trans_b=True, activation="relu"), Array)
assert_type(k.conv2d(x, np.zeros((3, 3, 1, 4)), stride=2, padding="same"), Array)
pooled, places = k.max_pool(x, 2, return_argmax=True)
assert_type(k.max_pool(x, (2, 2)), Array)
assert_type(k.relu(k.gelu(k.softmax(x))), Array)
activated, slope = k.activate(x, "gelu", return_slope=True)
cost, dlogits = k.softmax_cross_entropy(out, y, label_smoothing=0.1)
print(cost + 1, dlogits.shape, places.shape, slope.mean(), k.regression_loss(out, out, "huber")[0])
normed, statistics = k.batch_norm(x)
print(statistics.mean.shape, k.layer_norm(x)[0].shape, k.rms_norm(x)[1].shape, k.group_norm(x, 1)[0].shape)
noise = k.normal((3, 4), std=0.1, seed=0, path="noise") + k.uniform(5, seed=1) + k.permutation(5, seed=2)
print(k.count_correct(out, y)[0], k.gradient_norm(x, clip_norm=1.0), k.dropout(x, 0.5, seed=0).shape)
k.adam_update(out, out, out, out, step=1, learning_rate=0.1)
print(k.upsample(x, 2).shape, k.pad(x, 1, mode="reflect").shape, k.crop(x, ((1, 1), (0, 0))).shape)

# The machine, other programs

with fn.threads(2):
    print(fn.get_num_threads(), os.cpu_count(), fn.__version__)
fn.set_num_threads(1)
fn.show_config()
onnx.export(net, "net.onnx", layout="nchw", probabilities=True)
assert_type(onnx.load("net.onnx", input_shape=(8, 8, 1)), fn.Network)
classifier = NetClassifier((64,), activation="relu", solver="adam", max_iter=10).fit(x, y)
print(classifier.predict(x), classifier.predict_proba(x), NetRegressor(dropout=0.1).fit(x, y).predict(x))
