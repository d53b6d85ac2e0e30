"""ResNet-20 on CIFAR-10: augmentation, momentum, a cosine; 83% after 10 epochs. The data: cifar-10's batches as .npz.

python examples/cifar10.py cifar10.npz --epochs 10
"""

import argparse

import fastnet as fn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="what fn.datasets.load reads")
    parser.add_argument("--epochs", type=int, default=10)
    arguments = parser.parse_args()

    data = fn.datasets.load(arguments.data)
    net = fn.models.resnet20(input_shape=data.x.shape[1:], classes=len(data.classes), seed=0)
    net.fit(
        data.x,
        data.y,
        epochs=arguments.epochs,
        batch_size=128,
        loss="softmax_cross_entropy",
        optimizer=fn.SGD(fn.schedules.Cosine(0.1, arguments.epochs, by="epoch"), momentum=0.9, weight_decay=5e-4),
        metrics=["accuracy"],
        augment=[fn.augment.RandomCrop(4), fn.augment.RandomFlip()],
    )
    print(net.evaluate(data.x_test, data.y_test))


if __name__ == "__main__":
    main()
