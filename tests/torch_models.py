"""PyTorch modules of the structures that `fn.models` has, for images of 3 channels."""

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402


class Block(nn.Module):
    def __init__(self, before, filters, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(before, filters, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(filters)
        self.conv2 = nn.Conv2d(filters, filters, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(filters)
        self.shortcut = nn.Sequential()
        if stride > 1:
            self.shortcut = nn.Sequential(nn.Conv2d(before, filters, 1, stride, bias=False), nn.BatchNorm2d(filters))

    def forward(self, x):
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + self.shortcut(x))


def resnet20(classes=10):
    layers = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    before = 16
    for filters in (16, 32, 64):
        for index in range(3):
            layers.append(Block(before, filters, 2 if filters > 16 and index == 0 else 1))
            before = filters
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, classes))


class LeNet(nn.Module):
    """Layers are defined in another order than they are computed in, kind by kind."""

    def __init__(self, size, classes):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(64 * (size // 4) ** 2, 128), nn.Linear(128, classes)
        self.conv1, self.conv2 = nn.Conv2d(3, 32, 5, padding=2), nn.Conv2d(32, 64, 5, padding=2)
        self.pool, self.drop = nn.MaxPool2d(2), nn.Dropout(0.5)

    def forward(self, x):
        x = self.pool(torch.relu(self.conv1(x)))
        x = self.pool(torch.relu(self.conv2(x))).flatten(1)
        return self.fc2(self.drop(torch.relu(self.fc1(x))))


def lenet(size=8, classes=10):
    return LeNet(size, classes)


def vgg_small(size=8, classes=10):
    layers, before = [], 3
    for filters in (64, 128):
        for _ in range(2):
            layers += [nn.Conv2d(before, filters, 3, padding=1), nn.ReLU()]
            before = filters
        layers.append(nn.MaxPool2d(2))
    head = [nn.Flatten(), nn.Linear(128 * (size // 4) ** 2, 256), nn.ReLU(), nn.Linear(256, classes)]
    return nn.Sequential(*layers, *head)


def mobilenet_tiny(classes=10):
    layers = [nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    before = 16
    for filters, stride in ((32, 1), (64, 2), (64, 1), (128, 2), (128, 1), (128, 1)):
        layers += [
            nn.Conv2d(before, before, 3, stride, 1, groups=before, bias=False),
            nn.BatchNorm2d(before),
            nn.ReLU(),
        ]
        layers += [nn.Conv2d(before, filters, 1, bias=False), nn.BatchNorm2d(filters), nn.ReLU()]
        before = filters
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, classes))
