"""The models: shapes, agreement with PyTorch over several steps, transfer, and what their summaries say."""

import numpy as np
import pytest

import fastnet as fn

IMAGE = (16, 16, 3)


@pytest.mark.parametrize("name", fn.models.MODELS)
def test_each_model_learns_a_batch(name):
    net = fn.models.MODELS[name](input_shape=IMAGE, classes=4, seed=0)
    assert net.output_shape == (4,)
    rng = np.random.default_rng(0)
    x, y = rng.random((16, *IMAGE)), np.arange(16) % 4
    trainer = fn.Trainer(net, loss="softmax_cross_entropy", optimizer=fn.Adam(1e-3))
    losses = [trainer.train_on_batch(x, y)["loss"] for _ in range(25)]
    assert losses[-1] < losses[0] / 2
    again = fn.models.MODELS[name](input_shape=IMAGE, classes=4, seed=0)
    other = fn.models.MODELS[name](input_shape=IMAGE, classes=4, seed=1)
    first = [net_.layers[-1].weight.value for net_ in (again, other)]
    assert not np.array_equal(*first)


def test_resnet20_has_the_parameters_of_the_paper():
    net = fn.models.resnet20(input_shape=(32, 32, 3), classes=10, seed=0)
    convolutions = [layer for layer in net.layers if isinstance(layer, fn.Conv2D)]
    assert len([layer for layer in convolutions if layer.kernel_size == (3, 3)]) == 19
    # 0.27 million (table 6), and the two shortcuts of option B with their norms.
    assert sum(p.size for p in net.parameters()) == 269_722 + 16 * 32 + 32 * 64 + 2 * 32 + 2 * 64


def test_resnet20_agrees_with_torch_over_several_steps():
    torch = pytest.importorskip("torch")
    import torch_models

    theirs = torch_models.resnet20().double()
    net = fn.Network([fn.models.resnet20(input_shape=(8, 8, 3), classes=10, seed=0)], input_shape=(8, 8, 3), seed=0)
    net = fn.Network.from_nodes(
        [fn.Node(n.name, type(n.layer)(**n.layer.config()), list(n.inputs)) for n in net.graph.nodes],
        input_shape=(8, 8, 3), dtype="float64", seed=0,
    )  # fmt: skip
    state = list(net.parameters())
    weights = list(theirs.parameters())
    assert len(state) == len(weights)
    with torch.no_grad():
        for ours, other in zip(state, weights, strict=True):
            value = ours.value
            value = value.transpose(3, 2, 0, 1) if value.ndim == 4 else value.T
            other.copy_(torch.tensor(value.copy()))
    rng = np.random.default_rng(0)
    trainer = fn.Trainer(net, loss="softmax_cross_entropy", optimizer=fn.SGD(0.1, momentum=0.9, weight_decay=1e-4))
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    for _ in range(4):
        x, y = rng.normal(size=(8, 8, 8, 3)), rng.integers(0, 10, 8)
        ours_loss = trainer.train_on_batch(x, y)["loss"]
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(theirs(torch.tensor(x.transpose(0, 3, 1, 2))), torch.tensor(y))
        loss.backward()
        optimizer.step()
        assert ours_loss == pytest.approx(loss.item(), rel=1e-6)
    theirs.eval()
    with torch.no_grad():
        expected = theirs(torch.tensor(x.transpose(0, 3, 1, 2))).numpy()
    np.testing.assert_allclose(net.predict(x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name, last", [("lenet", "dense_1"), ("resnet20", "global_avg_pool2d_1")])
def test_transfer(name, last, tmp_path):
    """Load a network, replace its head, freeze the rest, train."""
    fn.models.MODELS[name](input_shape=IMAGE, classes=10, seed=0).save(tmp_path / "trained.safetensors")
    trained = fn.load(tmp_path / "trained.safetensors")
    body = trained.up_to(last)
    body.trainable = False
    net = fn.Network([body, fn.Dense(3, name="head")], input_shape=IMAGE, seed=0)
    before = {key: value.copy() for key, value in trained.state_dict().items()}
    rng = np.random.default_rng(0)
    x, y = rng.random((24, *IMAGE)), np.arange(24) % 3
    history = net.fit(x, y, epochs=15, loss="softmax_cross_entropy", optimizer=fn.Adam(1e-2), verbose=0)
    assert history["loss"][-1] < history["loss"][0]
    for key, value in trained.state_dict().items():
        assert value.tobytes() == before[key].tobytes(), key
    assert "frozen" in net.summary()
    net.save(tmp_path / "new.safetensors")
    assert fn.load(tmp_path / "new.safetensors").predict(x).tobytes() == net.predict(x).tobytes()


def test_summary_counts_multiply_adds_and_memory():
    layers = [fn.Conv2D(4, 3, groups=2, stride=2), fn.Conv2DTranspose(2, 2, stride=2), fn.Flatten(), fn.Dense(5)]
    text = fn.Network(layers, input_shape=(9, 9, 2), seed=0).summary()
    lines = {line.split()[0]: line for line in text.splitlines()}
    assert f"{4 * 4 * 4 * 9:,}" in lines["conv2d_1"]
    assert f"{4 * 4 * 4 * 2 * 4:,}" in lines["conv2d_transpose_1"]
    assert f"{128 * 5:,}" in lines["dense_1"]
    assert lines["dense_1"].endswith(f"{(128 * 5 + 5 + 5) * 4 / 1024:.1f} KiB")
    assert "activations" in text.splitlines()[-1]
    text = fn.Network([fn.SeparableConv2D(5, 3, padding="same")], input_shape=(7, 6, 4), seed=0).summary()
    assert f"{7 * 6 * (4 * 9 + 4 * 5):,}" in text.splitlines()[-3]


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"input_shape must be \(height, width, channels\).*lenet.*got \(3, 3, 1\)"):
        fn.models.lenet(input_shape=(3, 3, 1), classes=10)
    with pytest.raises(ValueError, match="input_shape"):
        fn.models.resnet20(input_shape=(32,), classes=10)
    with pytest.raises(KeyError, match="did you mean 'dense_1'"):
        fn.models.mlp(input_shape=(4,), classes=2).up_to("dense1")
