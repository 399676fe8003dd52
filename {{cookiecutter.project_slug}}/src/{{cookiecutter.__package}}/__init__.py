"""A machine-learning project: data in, a judged and packaged model out."""

import os

# ONNX Runtime sends telemetry unless this is set before its first import, and no module of the
# package is imported before this file. Whoever wants to send it sets the variable to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
