"""The accuracy of ResNet-20 on a folder of 32 x 32 images such as CIFAR-10's, in fastnet and in PyTorch.

    python -m bench.accuracy DIRECTORY --epochs 10 --seeds 0,1,2 --threads 2

Both sides start from the same weights, and have the same schedule and the same kinds of augmentation: a crop out of
4 pixels of padding, and a flip. Order and augmentation are drawn by each side for itself, so single runs differ, and
the spread over the seeds says what a difference means.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import time

import numpy as np

from bench.nets import RESNET_20, SGD, Net

BATCH, PADDING = 128, 4
RATE, MOMENTUM, DECAY = 0.1, 0.9, 5e-4


def rate(epoch: int, epochs: int) -> float:
    """Half a cosine, from RATE down (Loshchilov & Hutter 2017), a step for each epoch."""
    return RATE * (1 + math.cos(math.pi * epoch / epochs)) / 2


def train_fastnet(net: Net, data, epochs: int, threads: int) -> float:
    import fastnet as fn
    from bench.peers import ours

    fn.set_num_threads(threads)

    class Schedule(fn.Callback):
        def on_epoch_begin(self, trainer, logs):
            trainer.optimizer.learning_rate = rate(trainer.history.epochs, epochs)

    network = ours.build(net)
    network.fit(
        data.x, data.y, epochs=epochs, batch_size=BATCH, loss="softmax_cross_entropy", metrics=["accuracy"],
        optimizer=fn.SGD(RATE, momentum=MOMENTUM, weight_decay=DECAY), callbacks=[Schedule()], verbose=0,
        augment=[fn.augment.RandomCrop(PADDING), fn.augment.RandomFlip()],
    )  # fmt: skip
    return network.evaluate(data.x_test, data.y_test)["accuracy"]


def train_torch(net: Net, data, epochs: int, threads: int) -> float:
    import torch

    from bench.peers import with_torch

    torch.set_num_threads(threads)
    draw = torch.Generator().manual_seed(net.seed)
    module = with_torch.build(net, "channels_last").train()
    optimizer = torch.optim.SGD(module.parameters(), lr=RATE, momentum=MOMENTUM, weight_decay=DECAY, fused=True)
    x, y = torch.tensor(np.asarray(data.x)).permute(0, 3, 1, 2), torch.tensor(data.y)
    size = x.shape[-1]

    def changed(images):
        """Each image cropped and flipped by its own draws: rows and columns are picked out of the padded image."""
        n = len(images)
        offsets = torch.randint(0, 2 * PADDING + 1, (2, n, 1), generator=draw) + torch.arange(size)
        flipped = torch.rand((n, 1), generator=draw) < 0.5
        columns = torch.where(flipped, offsets[1].flip(1), offsets[1])
        padded = torch.nn.functional.pad(images, (PADDING,) * 4).permute(0, 2, 3, 1)
        picked = padded[torch.arange(n)[:, None, None], offsets[0][:, :, None], columns[:, None, :]]
        return picked.permute(0, 3, 1, 2)

    for epoch in range(epochs):
        for group in optimizer.param_groups:
            group["lr"] = rate(epoch, epochs)
        for batch in torch.randperm(len(x), generator=draw).split(BATCH):
            optimizer.zero_grad(set_to_none=True)
            torch.nn.functional.cross_entropy(module(changed(x[batch])), y[batch]).backward()
            optimizer.step()
    module.eval()
    with torch.no_grad():
        test = torch.tensor(np.asarray(data.x_test)).permute(0, 3, 1, 2)
        right = sum((module(x).argmax(1) == y).sum().item()
                    for x, y in zip(test.split(500), torch.tensor(data.y_test).split(500), strict=True))  # fmt: skip
    return right / len(test)


def main() -> None:
    from fastnet.datasets import image_folder

    sides = {"fastnet": train_fastnet, "torch": train_torch}
    parser = argparse.ArgumentParser(prog="python -m bench.accuracy", description=__doc__.split("\n")[0])
    parser.add_argument("directory")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--sides", default=",".join(sides))
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    data = image_folder(arguments.directory)
    # Pixels of both sides are the same array, from -1 to 1.
    data = dataclasses.replace(data, x=np.asarray(data.x) * 2 - 1, x_test=np.asarray(data.x_test) * 2 - 1)
    for side in arguments.sides.split(","):
        accuracies = []
        for seed in map(int, arguments.seeds.split(",")):
            net = Net("ResNet-20", RESNET_20, data.x.shape[1:], SGD, len(data.classes), seed)
            begun = time.perf_counter()
            accuracies.append(sides[side](net, data, arguments.epochs, arguments.threads))
            print(f"{side} seed {seed}: {accuracies[-1]:.4f} in {time.perf_counter() - begun:.0f} s", flush=True)
        spread = np.std(accuracies, ddof=1) if len(accuracies) > 1 else 0
        print(f"{side}: mean {np.mean(accuracies):.4f}, standard deviation {spread:.4f}", flush=True)


if __name__ == "__main__":
    main()
