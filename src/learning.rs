//! Router training, calibration, evaluation and ONNX export.
