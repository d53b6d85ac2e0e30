"""ONNX read as networks."""
