"""ONNX files of ramp, judged by others: onnx.checker and onnxruntime.

    onnx_judge.py PROGRAM export     what ramp writes: checked, and run by onnxruntime
    onnx_judge.py PROGRAM import     what ramp reads: the cases of the package onnx (single nodes, and
                                     models from PyTorch), each right or refused, none wrong
    onnx_judge.py PROGRAM torch      exports of PyTorch by both of its exporters

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


def save(path, tensors):
    names = {np.dtype(t): name for name, t in TYPES.items()}
    header, data = {}, b""
    for name, t in tensors.items():
        bytes_ = np.ascontiguousarray(t).tobytes()
        header[name] = {"dtype": names[t.dtype], "shape": list(t.shape),
                        "data_offsets": [len(data), len(data) + len(bytes_)]}
        data += bytes_
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text + data)


def for_ramp(x):
    """In a type that ramp has."""
    x = np.asarray(x)
    return x if x.dtype in (np.float32, np.float64) else x.astype(np.int64)


def run_cases(program, cases):
    """cases: (name, model file or bytes, inputs, right outputs, rtol, atol). What came of each: "right",
    "wrong: ..", or "refused ..", by name."""
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "list"), "w") as file:
            for i, (name, model, inputs, right, rtol, atol) in enumerate(cases):
                path = os.path.join(folder, str(i))
                if isinstance(model, bytes):
                    with open(path + ".onnx", "wb") as f:
                        f.write(model)
                    model = path + ".onnx"
                save(path + ".in", {str(k): for_ramp(x) for k, x in enumerate(inputs)})
                file.write(f"{model} {path}.in {path}.out\n")
        out = subprocess.run([program, "run", os.path.join(folder, "list")], check=True,
                             stdout=subprocess.PIPE, text=True).stdout.splitlines()
        assert len(out) == len(cases), (len(out), len(cases))
        for i, (name, model, inputs, right, rtol, atol) in enumerate(cases):
            results[name] = out[i]
            if out[i] != "ok":
                continue
            got = load(os.path.join(folder, f"{i}.out"))
            results[name] = "right"
            for k, r in enumerate(right):
                y, r = got[str(k)], np.asarray(r)
                if y.shape != r.shape:
                    results[name] = f"wrong: shape {y.shape} for {r.shape}"
                elif not np.allclose(y.astype(np.float64), r.astype(np.float64), rtol=rtol, atol=atol,
                                     equal_nan=True):
                    error = np.nanmax(np.abs(y.astype(np.float64) - r.astype(np.float64)))
                    results[name] = f"wrong: by {error:.1e}"
    return results


def count(title, results, verbose=True):
    kinds = {k: [n for n, r in results.items() if r.startswith(k)]
             for k in ("right", "refused", "wrong")}
    if verbose:
        for kind in ("refused", "wrong"):
            for name in kinds[kind]:
                print(f"  {name}: {results[name]}")
    print(f"{title}: {len(results)} cases, {len(kinds['right'])} right, {len(kinds['refused'])} refused, "
          f"{len(kinds['wrong'])} wrong")
    return {k: len(v) for k, v in kinds.items()}


# The ops that a converted convolutional network needs.
OPS = set("""
    Conv ConvTranspose Gemm MatMul Add Mul Sub Div Relu LeakyRelu Elu Selu Celu Sigmoid Tanh Clip HardSwish
    HardSigmoid Softplus Softsign Mish Gelu PRelu MaxPool AveragePool GlobalAveragePool ReduceMean
    BatchNormalization LayerNormalization Dropout Softmax LogSoftmax Flatten Reshape Transpose Identity
    Constant Concat Resize Where Greater Shape Gather Unsqueeze Sum Max Min""".split())


def node_cases():
    import contextlib
    import io
    import warnings
    warnings.simplefilter("ignore")
    from onnx.backend.test.case.node import collect_testcases
    with contextlib.redirect_stdout(io.StringIO()):
        cases = collect_testcases(None)
    ours, others = [], []
    for case in cases:
        graph = case.model.graph
        values = list(graph.input) + list(graph.output)
        types = [v.type.tensor_type.elem_type for v in values if v.type.HasField("tensor_type")]
        if len(types) != len(values) or any(t not in (1, 6, 7, 9, 11) for t in types):
            continue
        inputs, right = case.data_sets[0]
        if any(not isinstance(x, (np.ndarray, np.generic)) for x in list(inputs) + list(right)):
            continue
        floats = any(v.type.tensor_type.elem_type == 1 for v in graph.input)
        of_ours = floats and {n.op_type for n in graph.node} <= OPS
        one = (case.name, case.model.SerializeToString(), inputs, right, case.rtol, max(case.atol, 1e-6))
        (ours if of_ours else others).append(one)
    return ours, others


def data_cases():
    import glob
    folder = os.path.join(os.path.dirname(onnx.__file__), "backend", "test", "data")
    cases = []
    for path in sorted(glob.glob(os.path.join(folder, "pytorch-*", "*", "model.onnx"))):
        tensors = {}
        for kind in ("input", "output"):
            files = glob.glob(os.path.join(os.path.dirname(path), "test_data_set_0", kind + "_*.pb"))
            tensors[kind] = []
            for i in range(len(files)):
                with open(os.path.join(os.path.dirname(files[0]), f"{kind}_{i}.pb"), "rb") as file:
                    tensor = onnx.TensorProto.FromString(file.read())
                tensors[kind].append(onnx.numpy_helper.to_array(tensor))
        name = "/".join(path.split(os.sep)[-3:-1])
        cases.append((name, path, tensors["input"], tensors["output"], 1e-4, 1e-5))
    return cases


def judge_import(program):
    import onnx.numpy_helper
    ours, others = node_cases()
    nodes = count("nodes of the ops that are needed", run_cases(program, ours))
    more = count("nodes of all other ops", run_cases(program, others), verbose=False)
    data = count("models converted from PyTorch", run_cases(program, data_cases()))
    return nodes["right"] >= 200 and nodes["wrong"] + more["wrong"] + data["wrong"] == 0


def torch_models():
    """(name, module, input), as they are written in PyTorch."""
    import torch
    import torch.nn as nn
    import torch.nn.functional as F

    class LeNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.conv2 = nn.Conv2d(1, 6, 5, padding=2), nn.Conv2d(6, 16, 5)
            self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)

        def forward(self, x):
            x = F.avg_pool2d(torch.tanh(self.conv1(x)), 2)
            x = F.max_pool2d(torch.tanh(self.conv2(x)), 2)
            x = x.view(x.size(0), -1)
            return self.fc3(torch.tanh(self.fc2(torch.tanh(self.fc1(x)))))

    class Mnist(nn.Module):
        """The layers of the MNIST program among PyTorch's examples."""
        def __init__(self):
            super().__init__()
            self.conv1, self.conv2 = nn.Conv2d(1, 32, 3, 1), nn.Conv2d(32, 64, 3, 1)
            self.dropout1, self.dropout2 = nn.Dropout(0.25), nn.Dropout(0.5)
            self.fc1, self.fc2 = nn.Linear(9216, 128), nn.Linear(128, 10)

        def forward(self, x):
            x = F.max_pool2d(F.relu(self.conv2(F.relu(self.conv1(x)))), 2)
            x = torch.flatten(self.dropout1(x), 1)
            return F.log_softmax(self.fc2(self.dropout2(F.relu(self.fc1(x)))), dim=1)

    class Block(nn.Module):
        def __init__(self, c, k, stride):
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(c, k, 3, stride, 1, bias=False), nn.BatchNorm2d(k)
            self.conv2, self.bn2 = nn.Conv2d(k, k, 3, 1, 1, bias=False), nn.BatchNorm2d(k)
            self.skip = nn.Sequential()
            if stride != 1 or c != k:
                self.skip = nn.Sequential(nn.Conv2d(c, k, 1, stride, bias=False), nn.BatchNorm2d(k))

        def forward(self, x):
            y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
            return F.relu(y + self.skip(x))

    class ResNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
            self.blocks = nn.Sequential(Block(16, 16, 1), Block(16, 32, 2), Block(32, 64, 2))
            self.fc = nn.Linear(64, 10)

        def forward(self, x):
            x = self.blocks(self.stem(x))
            return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))

    mlp = nn.Sequential(nn.Linear(20, 32), nn.GELU(), nn.Linear(32, 32), nn.SiLU(), nn.Linear(32, 32),
                        nn.LeakyReLU(0.1), nn.Linear(32, 3), nn.Softmax(1))
    depthwise = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.Hardswish(), nn.Conv2d(8, 8, 3, 1, 1, groups=8),
                              nn.PReLU(8), nn.Conv2d(8, 16, 1), nn.ReLU6(), nn.AdaptiveAvgPool2d(1),
                              nn.Flatten(), nn.Linear(16, 4))
    autoencoder = nn.Sequential(nn.Conv2d(1, 8, 3, 2, 1), nn.ELU(), nn.Flatten(), nn.Linear(8 * 14 * 14, 16),
                                nn.Linear(16, 8 * 7 * 7), nn.ReLU(), nn.Unflatten(1, (8, 7, 7)),
                                nn.ConvTranspose2d(8, 8, 3, 2, 1, output_padding=1), nn.SELU(),
                                nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(8, 1, 3, padding=1),
                                nn.Sigmoid())
    upsample = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.Upsample(scale_factor=2), nn.CELU(1.5),
                             nn.Upsample(size=(13, 9), mode="bilinear", align_corners=True),
                             nn.Upsample(size=(20, 20)), nn.Conv2d(4, 1, 1), nn.Hardtanh(-0.5, 0.7))
    layer_norm = nn.Sequential(nn.Linear(20, 32), nn.LayerNorm(32), nn.Mish(), nn.Linear(32, 32),
                               nn.Softplus(), nn.LayerNorm(32, elementwise_affine=False), nn.Hardsigmoid(),
                               nn.Linear(32, 4), nn.LogSoftmax(-1))
    norms = nn.Sequential(nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8), nn.ReLU(),
                          nn.Conv2d(8, 8, 3, padding="same", padding_mode="zeros"),
                          nn.InstanceNorm2d(8, affine=True), nn.Softsign(), nn.AvgPool2d(3, 2, 1),
                          nn.MaxPool2d(3, 2, 1, ceil_mode=True), nn.AvgPool2d(2, ceil_mode=True), nn.Flatten(),
                          nn.LazyLinear(5), nn.BatchNorm1d(5))
    norms(torch.zeros(2, 3, 30, 26))
    signals = nn.Sequential(nn.Conv1d(2, 6, 5, 2), nn.ReLU(), nn.MaxPool1d(2), nn.BatchNorm1d(6),
                            nn.ConvTranspose1d(6, 4, 4, 2, 1), nn.GLU(1), nn.AvgPool1d(2), nn.Flatten(),
                            nn.LazyLinear(3))
    signals(torch.zeros(2, 2, 40))
    return [("lenet", LeNet(), (1, 28, 28)), ("mnist", Mnist(), (1, 28, 28)),
            ("resnet", ResNet(), (3, 32, 32)), ("mlp", mlp, (20,)), ("depthwise", depthwise, (3, 32, 32)),
            ("autoencoder", autoencoder, (1, 28, 28)), ("layer_norm", layer_norm, (20,)),
            ("upsample", upsample, (2, 6, 5)), ("norms", norms, (3, 30, 26)), ("signals", signals, (2, 40))]


def judge_torch(program):
    import contextlib
    import io
    import logging
    import warnings
    import torch
    import onnxscript  # noqa: F401, of the exporter
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    torch.manual_seed(0)
    cases = []
    with tempfile.TemporaryDirectory() as folder:
        for name, net, shape in torch_models():
            for module in net.modules():  # running statistics that are not what they start with
                if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                    module.running_mean.normal_(0, 0.3)
                    module.running_var.uniform_(0.5, 1.5)
            net.eval()
            x = torch.randn(2, *shape)
            for how in ("dynamo", "script", "script, training"):
                path = os.path.join(folder, f"{name}-{how[:2]}{len(how)}.onnx")
                more = {}
                if how == "dynamo":
                    more = dict(dynamo=True, external_data=False, dynamic_shapes=({0: torch.export.Dim("n")},))
                else:
                    more = dict(dynamo=False, input_names=["x"], dynamic_axes={"x": {0: "n"}})
                    if how != "script":
                        more.update(training=torch.onnx.TrainingMode.TRAINING, do_constant_folding=False)
                try:
                    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                        torch.onnx.export(net, (x,), path, opset_version=20, **more)
                except Exception as e:
                    print(f"  {name} by {how}: PyTorch cannot export it: {str(e).splitlines()[0][:100]}")
                    continue
                net.eval()
                right = net(x).detach().numpy()  # exporting in training moves running statistics
                cases.append((f"{name} by {how}", path, [x.numpy()], [right], 1e-5, 1e-5))
        results = run_cases(program, cases)
        counts = count("exports of PyTorch", results)
        with open(os.path.join(folder, "list"), "w") as file:
            for i, case in enumerate(cases):
                save(os.path.join(folder, f"{i}.in"), {"0": case[2][0]})
                file.write(f"{case[1]} {folder}/{i}.in -\n")
        lines = subprocess.run([program, "train", os.path.join(folder, "list")], check=True,
                               stdout=subprocess.PIPE, text=True).stdout.splitlines()
        for case, line in zip(cases, lines):
            print(f"  {case[0]}: {line}")
    return counts["wrong"] == 0 and counts["right"] >= 14


JUDGES = {"export": judge_export, "import": judge_import, "torch": judge_torch}

if __name__ == "__main__":
    try:
        sys.exit(0 if JUDGES[sys.argv[2]](sys.argv[1]) else 1)
    except ImportError as missing:
        print(f"skipped: {missing}")
        sys.exit(77)
