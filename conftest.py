"""Modules whose examples need a package that is not installed are not searched for examples."""

import importlib.util

NEEDED = {
    "fastnet/io/onnx": "onnx",
    "fastnet/io/onnx_backend.py": "onnx",
    "fastnet/io/weights/keras.py": "h5py",
    "fastnet/io/weights/pytorch.py": "torch",
    "tests/fuzz/targets/image.py": "PIL",
    "tests/fuzz/targets/keras_file.py": "h5py",
    "tests/fuzz/targets/onnx_file.py": "onnx",
    "tests/fuzz/targets/torch_file.py": "torch",
}
collect_ignore = [path for path, package in NEEDED.items() if not importlib.util.find_spec(package)]
# It has no doctests, and registers a layer, which it can do once, under the name by which tests import it.
collect_ignore.append("tests/numpy_layers.py")
