"""Models that other programs run, as Runners: `onnxruntime` runs an ONNX file as it is."""
