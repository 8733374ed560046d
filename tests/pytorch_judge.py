"""Asks PyTorch about load_pytorch and save_pytorch, for nets in their full size.

    python3 pytorch_judge.py build/release/tests/pytorch_test     (needs torch and safetensors)

Makes each net's state dict; the test program loads it into the same net of ramp, says by how much the
logits differ, and writes it back (as it is named there, and by its own names through .like); PyTorch
loads that, strictly, and compares each tensor.
"""

import os
import pathlib
import subprocess
import sys
import tempfile

try:
    import torch
    from safetensors.torch import load_file, save_file
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parent / "fixtures"))
from make_pytorch_weights import AutoEncoder, LeNet, awake, bn_cnn, mlp, resnet  # noqa: E402

torch.manual_seed(1)
nets = {"mlp": (mlp(1, 28, 512, 512, 10), (1, 28, 28)),
        "lenet": (LeNet(28, 6, 16, 120, 84), (1, 28, 28)),
        "bn_cnn": (bn_cnn(16), (1, 28, 28)),
        "resnet": (resnet(16, 3), (3, 32, 32)),
        "autoencoder": (AutoEncoder(28, 16, 16), (1, 28, 28))}
with tempfile.TemporaryDirectory() as folder:
    for name, (net, shape) in nets.items():
        x = torch.rand(32, *shape)
        awake(net, x)
        with torch.no_grad():
            y = net(x)
        save_file(net.state_dict(), f"{folder}/pytorch_{name}.safetensors", {"format": "pt"})
        save_file({"x": x.movedim(1, -1).contiguous(), "y": y.movedim(1, -1).contiguous()},
                  f"{folder}/{name}_example.safetensors")
    subprocess.run([sys.argv[1], "--test-case=judge", "--no-version"], check=True,
                   env=os.environ | {"RAMP_PYTORCH_JUDGE": folder})
    wrong = 0
    for name, (net, _) in nets.items():
        before = {k: v.clone() for k, v in net.state_dict().items()}
        for p in net.state_dict().values():
            p.zero_()
        net.load_state_dict(load_file(f"{folder}/{name}_back.safetensors"), strict=True)
        after = net.state_dict()
        worst = max((before[k].double() - after[k].double()).abs().max().item()
                    for k in before if not k.endswith("num_batches_tracked"))
        print(f"{name}: {sum(p.numel() for p in net.parameters())} parameters, written by ramp and loaded by torch "
              f"{torch.__version__}, strict: largest difference {worst}")
        wrong += worst != 0
sys.exit(wrong)
