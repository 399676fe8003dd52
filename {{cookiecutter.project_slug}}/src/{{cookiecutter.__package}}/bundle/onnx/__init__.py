"""The bundle as ONNX, which the service and the page run without scikit-learn. Rarely edited."""

from ...core.registry import FORMS
from .. import Form

FORMS.add(
    onnx=Form(
        "ONNX",
        ("model.onnx", "onnx.json"),
        write=".bundle.onnx.write:write_onnx",
        read=".bundle.onnx.form:read_onnx",
    )
)
