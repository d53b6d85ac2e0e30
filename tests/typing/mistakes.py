"""Mistakes that `mypy --strict` must report, each in the line whose comment names the code of the error. It is never run."""

import numpy as np

import fastnet as fn

x, y = np.zeros((8, 4)), np.zeros(8)
net = fn.Network([fn.Dense(4)], input_shape=(4,))

fn.Dense("ten")  # error: arg-type
fn.Dense(10, activaton="relu")  # error: call-arg
fn.Dense(10, activation=3)  # error: arg-type
fn.Dense(10, use_bias="no")  # error: arg-type
fn.Dense(10, init=0.5)  # error: arg-type
fn.Dense(10, regularizer=1e-4)  # error: arg-type
fn.Dense(10, constraint=fn.L2())  # error: arg-type
fn.Conv2D(8, 3, padding=1.5)  # error: arg-type
fn.Conv2D(8, 3, padding="full")  # error: arg-type
fn.Conv2D(8, kernel_size="3")  # error: arg-type
fn.Conv2D(8)  # error: call-arg
fn.UpSample2D(2, interpolation="cubic")  # error: arg-type
fn.MaxPool2D(2, stride=0.5)  # error: arg-type
fn.Sequential([10])  # error: list-item
fn.Sequential(fn.Dense)  # error: arg-type
fn.Network([fn.Dense(4)], 4)  # error: call-arg
fn.Network([fn.Dense(4)], input_shape="4")  # error: arg-type
fn.Network([fn.Dense(4)], input_shape=(4,), seed="zero")  # error: arg-type
fn.Adam("fast")  # error: arg-type
fn.Adam(1e-3, beta1=0.9)  # error: call-arg
fn.Adam(1e-3, weight_decay="strong")  # error: arg-type
fn.AdamW(1e-3, decoupled_weight_decay=False)  # error: call-arg
fn.Lion(1e-3, decoupled_weight_decay=False)  # error: call-arg
fn.Muon(adjust_learning_rate="new")  # error: arg-type
fn.ParameterGroup(3)  # error: arg-type
fn.SGD(lambda step: 0.1)  # error: arg-type
fn.schedules.Cosine("0.1", 100)  # error: arg-type
net.fit(x, y, epoch=3)  # error: call-arg
net.fit(x, y, epochs="3")  # error: arg-type
net.fit(x, y, loss=fn.Adam())  # error: arg-type
net.fit(x, y, loss=fn.SoftmaxCrossEntropy)  # error: arg-type
net.fit(x, y, optimizer=1e-3)  # error: arg-type
net.fit(x, y, metrics=[1])  # error: list-item
net.fit(x, y, validation=(x,))  # error: arg-type
net.fit(x, y, callbacks=[print])  # error: list-item
net.fit(x, y, on_nonfinite="ignore")  # error: arg-type
net.fit(x, y, average=0.99)  # error: arg-type
net.fit(x, y, augment=["flip"])  # error: list-item
net.fit(x, y, health="yes")  # error: arg-type
net.evaluate(x, y, batches=3)  # error: call-arg
net.predict(x, 32)  # error: call-arg
net.prdict(x)  # error: attr-defined
net.layers[0].unts  # error: attr-defined
fn.Dense(10).wieght  # error: attr-defined
net["head"].weight.valu  # error: attr-defined
net["head"].trainable = "no"  # error: assignment
net.output_shape = (3,)  # error: misc
net.save(3)  # error: arg-type
fn.Trainer(net, loss="mse")  # error: call-arg
fn.Trainer(net, loss="mse", optimizer="adam", clip_norm="1")  # error: arg-type
fn.EarlyStopping(patience=2.5)  # error: arg-type
fn.EarlyStopping(mode="best")  # error: arg-type
fn.LambdaCallback(on_epoch_end=len)  # error: arg-type
fn.ModelCheckpoint()  # error: call-arg
fn.L2("much")  # error: arg-type
fn.EMA(decay="0.9")  # error: arg-type
fn.augment.RandomCrop(mode="mirror")  # error: arg-type
fn.kernels.matmul(x)  # error: call-arg
fn.kernels.conv2d(x, x, padding=1.5)  # error: arg-type
fn.kernels.activate(x, 3)  # error: call-overload
fn.models.resnet20(classes=10)  # error: call-arg
fn.set_num_threads("two")  # error: arg-type
fn.Desne(10)  # error: attr-defined
fn.kernels.mamtul(x, x)  # error: attr-defined
fn.load(net)  # error: arg-type
fn.Normalize()  # error: call-arg


class Wrong(fn.Layer):
    def forward(self, x: np.ndarray) -> np.ndarray:  # error: override
        return x


class Silent(fn.Callback):
    def on_epoch_end(self, trainer: fn.Trainer) -> None:  # error: override
        pass
