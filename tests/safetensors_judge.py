"""Compares what the official reader of safetensors refuses with what ramp refuses.

    python3 safetensors_judge.py build/release/tests/safetensors_test [files]     (needs safetensors)

Files of one to three tensors are damaged: bytes changed, put in, left out, pieces of JSON exchanged. None
that the official reader refuses may be taken by ramp; what ramp refuses besides is counted by reason.
"""

import collections
import importlib.metadata
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile

try:
    import safetensors
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

random.seed(1)
DTYPES = {"F32": 4, "F64": 8, "I64": 8, "F16": 2, "U8": 1, "BOOL": 1, "I32": 4}
PIECES = ["0", "1", "-1", "4", "1.0", "1e0", "-0", "null", "true", "[]", "{}", '""', '"a"', '"F32"', '"F8_E4M3"', ",",
          ":", "[", "]", "{", "}", '"', " ", "\t", "\n", "\\u0000", "\\", "\x00", "\xff", "18446744073709551615",
          "18446744073709551616", '"dtype":"F32",', '"extra":1,', '"shape":[1],', "/*", "NaN", "00", "+1",
          '"__metadata__":{"a":"b"},', '"__metadata__":{"a":1},', '"t0":']


def good():
    at, header = 0, {}
    if random.random() < 0.5:
        header["__metadata__"] = {"format": "ramp"}
    for i in range(random.randint(1, 3)):
        dtype = random.choice(list(DTYPES))
        shape = [random.randint(0, 3) for _ in range(random.randint(0, 3))]
        n = DTYPES[dtype]
        for d in shape:
            n *= d
        header[f"t{i}"] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + n]}
        at += n
    return json.dumps(header, separators=(",", ":")).encode(), bytes(at)


def damaged():
    header, data = good()
    header = bytearray(header)
    for _ in range(random.choice([1, 1, 1, 2, 3])):
        i = random.randrange(len(header) + 1)
        piece = random.choice(PIECES).encode("latin-1")
        kind = random.randrange(5)
        if kind == 0:
            header[i:i] = piece
        elif kind == 1:
            header[i:i + len(piece)] = piece
        elif kind == 2:
            del header[i:i + random.randint(1, 4)]
        elif kind == 3:  # a number or a word
            words = list(re.finditer(rb'\d+|"[^"]*"|true|null', bytes(header)))
            if words:
                w = random.choice(words)
                header[w.start():w.end()] = piece
        else:
            data = data + b"x" if random.random() < 0.5 else data[:-1]
    length = len(header)
    if random.random() < 0.05:
        length += random.choice([-1, 1, 8, 1 << 32, 1 << 63])
    return (length % (1 << 64)).to_bytes(8, "little") + bytes(header) + data


count = int(sys.argv[2]) if len(sys.argv) > 2 else 5000
with tempfile.TemporaryDirectory() as folder:
    official = {}
    for i in range(count):
        data = damaged()
        (pathlib.Path(folder) / f"{i}").write_bytes(data)
        try:
            safetensors.deserialize(data)
            official[f"{i}"] = ""
        except Exception as error:  # noqa: BLE001
            official[f"{i}"] = str(error)
    out = subprocess.run([sys.argv[1], "--test-case=judge"], capture_output=True, text=True, check=True,
                         errors="replace", env=os.environ | {"RAMP_SAFETENSORS_JUDGE": folder}).stdout
    ramp = dict(re.findall(r"^file (\d+) ?(.*)$", out, re.M))
    assert len(ramp) == count
    taken = [i for i in official if official[i] and not ramp[i]]
    more = [i for i in official if ramp[i] and not official[i]]
    print(f"safetensors {importlib.metadata.version('safetensors')}: of {count} files it refuses "
          f"{sum(map(bool, official.values()))}, ramp {sum(map(bool, ramp.values()))}; "
          f"{len(taken)} refused by it alone, {len(more)} by ramp alone")
    for i in taken[:10]:
        print(" taken:", official[i], (pathlib.Path(folder) / i).read_bytes())
    reasons = collections.Counter(re.sub(r'^load_safetensors: \S+?\d+:? ', "", re.sub(r'"[^"]*"', '".."', ramp[i]))[:70]
                                  for i in more)
    for reason, n in reasons.most_common(12):
        print(f"{n:6} {reason}")
    sys.exit(bool(taken))
