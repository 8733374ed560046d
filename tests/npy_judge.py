"""Asks NumPy about the files that npy_test writes.

    python3 npy_judge.py build/release/tests/npy_test
"""

import os
import pathlib
import subprocess
import sys
import tempfile

try:
    import numpy as np
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

expected = {"f32": np.arange(6, dtype=np.float32).reshape(2, 3) / 4,
            "f64": np.array([0.1, -0.0, np.inf, np.nan]), "i64": np.array([-(2**62) - 1, 7]),
            "scalar": np.float32(2).reshape(()), "none": np.zeros((0, 3), np.float32),
            "größe": np.zeros((300, 400), np.float32)}
count = 0
with tempfile.TemporaryDirectory() as temporary:
    folder = pathlib.Path(temporary)
    subprocess.run([sys.argv[1], "--test-case=judge"], check=True, stdout=subprocess.DEVNULL,
                   env=os.environ | {"RAMP_NPY_JUDGE": temporary})
    for name in ("stored.npz", "deflated.npz"):
        with np.load(folder / name, allow_pickle=False) as z:
            assert z.zip.testzip() is None
            assert z.files == list(expected), z.files
            for key, want in expected.items():
                got = z[key]
                assert got.dtype == want.dtype and got.shape == want.shape, (key, got.dtype, got.shape)
                assert got.tobytes() == want.tobytes(), key
                count += 1
    for key, want in expected.items():
        got = np.load(folder / f"{key}.npy", allow_pickle=False)
        assert got.dtype == want.dtype and got.shape == want.shape and got.tobytes() == want.tobytes(), key
        assert np.load(folder / f"{key}.npy", mmap_mode="r" if got.size and got.ndim else None).tobytes() == want.tobytes()
        count += 1
print(f"NumPy {np.__version__} reads all {count} arrays to the bit")
