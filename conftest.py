"""Modules that need a package which is not installed are not searched for examples."""

import importlib.util

collect_ignore = [] if importlib.util.find_spec("onnx") else ["fastnet/io/onnx", "fastnet/io/onnx_backend.py"]
