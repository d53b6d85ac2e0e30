"""Make fastnet/datasets/digits.npz of the 1,797 images that scikit-learn ships.

    python scripts/make_digits.py

The fifth, tenth, ... image of each class, in the original order, is the test part.
"""

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

images, labels = load_digits(return_X_y=True)
images = images.reshape(-1, 8, 8).astype(np.uint8)
labels = labels.astype(np.uint8)
test = np.zeros(len(labels), bool)
for digit in range(10):
    test[np.flatnonzero(labels == digit)[4::5]] = True
path = Path(__file__).parent.parent / "fastnet/datasets/digits.npz"
np.savez_compressed(path, x=images[~test], y=labels[~test], x_test=images[test], y_test=labels[test])
print(f"{path}: {(~test).sum()} training and {test.sum()} test images, {path.stat().st_size} bytes")
