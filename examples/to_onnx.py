"""A network for onnxruntime, and back."""

import tempfile
from pathlib import Path

import numpy as np

import fastnet as fn


def main() -> None:
    (x, y), (x_test, y_test) = fn.datasets.digits()
    net = fn.models.lenet(input_shape=(8, 8, 1), classes=10, seed=0)
    net.fit(x, y, epochs=5, loss="softmax_cross_entropy", optimizer="adam", metrics=["accuracy"], verbose=0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lenet.onnx"
        fn.io.onnx.export(net, path, probabilities=True)
        print(f"{path.stat().st_size / 1024:.0f} KiB")
        try:
            import onnxruntime
        except ModuleNotFoundError:
            print("onnxruntime is not installed: pip install onnxruntime")
        else:
            session = onnxruntime.InferenceSession(path)
            (found,) = session.run(None, {"input": x_test})
            print(f"greatest difference of a probability: {np.abs(found - net.predict_proba(x_test)).max():.1e}")
        other = fn.io.onnx.load(path, logits=True)
    other.fit(x, y, epochs=1, loss="softmax_cross_entropy", optimizer="adam", metrics=["accuracy"], verbose=0)
    print(f"read, and trained on: {other.evaluate(x_test, y_test)['accuracy']:.1%}")


if __name__ == "__main__":
    main()
