"""ONNX files of ramp, judged by others: onnx.checker and onnxruntime.

    onnx_judge.py PROGRAM export     what ramp writes: checked, and run by onnxruntime

PROGRAM is tests/onnx_run. Ends with 77 (skipped) where the packages are missing; made with
onnx 1.23.2 and onnxruntime 1.32.0.
"""
import json
import os
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import onnx
    import onnx.checker
    import onnx.shape_inference
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

TYPES = {"F32": np.float32, "F64": np.float64, "I64": np.int64}


def load(path):
    """The tensors of a safetensors file."""
    with open(path, "rb") as file:
        n = int.from_bytes(file.read(8), "little")
        header, data = json.loads(file.read(n)), file.read()
    tensors = {}
    for name, t in header.items():
        if name != "__metadata__":
            begin, end = t["data_offsets"]
            tensors[name] = np.frombuffer(data[begin:end], TYPES[t["dtype"]]).reshape(t["shape"])
    return tensors


def judge_export(program):
    import onnxruntime
    onnxruntime.set_default_logger_severity(3)
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([program, "export", folder], check=True)
        names = sorted(f[:-5] for f in os.listdir(folder) if f.endswith(".onnx"))
        for name in names:
            path = os.path.join(folder, name)
            model = onnx.load(path + ".onnx")
            onnx.checker.check_model(model, full_check=True)
            onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True,
                                              data_prop=True)
            transposes = sum(n.op_type == "Transpose" for n in model.graph.node)
            tensors = load(path + ".safetensors")
            session = onnxruntime.InferenceSession(path + ".onnx",
                                                   providers=["CPUExecutionProvider"])
            y = session.run(None, {"x": tensors["x"]})[0]
            right = tensors["y"]
            assert y.shape == right.shape, (name, y.shape, right.shape)
            error = float(np.abs(y - right).max())
            scale = max(1.0, float(np.abs(right).max()))
            bad = not error <= 1e-5 * scale
            wrong += bad
            print(f"{name:32} {len(model.graph.node):3} nodes, {transposes} Transpose, "
                  f"difference {error:.1e}{'  WRONG' if bad else ''}")
    print(f"{len(names)} models, {wrong} wrong")
    return wrong == 0 and len(names) >= 10


JUDGES = {"export": judge_export}

if __name__ == "__main__":
    try:
        sys.exit(0 if JUDGES[sys.argv[2]](sys.argv[1]) else 1)
    except ImportError as missing:
        print(f"skipped: {missing}")
        sys.exit(77)
