"""Networks written as ONNX."""
