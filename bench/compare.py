#!/usr/bin/env python3
"""Measures ramp and PyTorch side by side on the same work and prints the ratios.

Each round runs ramp, PyTorch eager and PyTorch best one after the other, so that a slow minute of the machine hits
all three; a ratio is the median over the rounds of the ratio within a round. Above 1 means ramp is faster.
W11, an embedding: eager has dense gradients of the table and best sparse ones.
Without PyTorch (--python names an interpreter that has it) ramp's figures stand alone.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
WORKS = "W1:64,W1:512,W2:128,W2w:256,W3:64,W4:64,W5:128,W8:128,W9:64,W10:64,W11:256,W6:W1,W6:W3,W7"
SIDES = ["ramp", "eager", "best"]


def find_bench():
    found = [os.path.join(ROOT, "build", b, "bench", "ramp-bench") for b in ("bench", "release")]
    found = [f for f in found if os.path.exists(f)]
    if not found:
        sys.exit("compare: no ramp-bench under build/; ./run bench builds it")
    return max(found, key=os.path.getmtime)


def torch_version(python):
    try:
        r = subprocess.run([python, "-c", "import torch; print(torch.__version__)"], capture_output=True, text=True)
    except OSError:
        return None
    return r.stdout.strip() if r.returncode == 0 else None


def commit():
    try:
        r = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty"], capture_output=True, text=True)
    except OSError:
        return "unknown"
    return r.stdout.strip() or "unknown"


def measure(command, threads):
    """The one JSON line of a run, or None if it failed."""
    env = dict(os.environ, OMP_PROC_BIND="true")
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAMP_NUM_THREADS"):
        env[name] = str(threads)
    r = subprocess.run(command, capture_output=True, text=True, env=env)
    lines = [line for line in r.stdout.splitlines() if line.startswith("{")]
    if r.returncode or not lines:
        print(f"failed ({r.returncode}): {' '.join(command)}\n{r.stdout}{r.stderr}", file=sys.stderr)
        return None
    return json.loads(lines[-1])


def speed(result):
    """(unit, shown value, rate where more is better)"""
    for unit, key in (("us/call", "us_per_call"), ("ns/op", "ns_per_op")):
        if result.get(key):
            return unit, result[key], 1 / result[key]
    return "samples/s", result["samples_per_s"], result["samples_per_s"]


def number(v):
    return f"{v:,.0f}" if v >= 1000 else f"{v:.3g}"


def table(rows, markdown):
    if markdown:
        lines = ["| " + " | ".join(r) + " |" for r in rows]
        return "\n".join([lines[0], "|---" * len(rows[0]) + "|"] + lines[1:])
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(r, widths))) for r in rows)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--works", default=WORKS, help=f"WORK:BATCH,...; inference is W6:W1 or W6:W3, by model (default {WORKS})")
    p.add_argument("--threads", default="1,2" if (os.cpu_count() or 1) > 1 else "1")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--seconds", type=float, default=1, help="of each of the three windows of a run")
    p.add_argument("--python", default=os.environ.get("RAMP_TORCH_PYTHON", "python3"), help="an interpreter with PyTorch")
    p.add_argument("--bench", default=None, help="the ramp-bench to run (default: the newer of build/bench, build/release)")
    p.add_argument("--md", action="store_true", help="print Markdown")
    p.add_argument("--raw", metavar="FILE", help="write every run's JSON line here too")
    a = p.parse_args()

    bench = a.bench or find_bench()
    version = torch_version(a.python)
    sides = SIDES if version else SIDES[:1]
    programs = {
        "ramp": [bench],
        "eager": [a.python, os.path.join(ROOT, "bench", "torch_bench.py"), "--mode", "eager"],
        "best": [a.python, os.path.join(ROOT, "bench", "torch_bench.py"), "--mode", "best"],
    }
    head = ["work", "batch", "threads", "unit", "ramp"]
    if version:
        head += ["torch eager", "torch best", "ramp / eager", "ramp / best"]
    rows, raw, last, failures = [head], [], {}, 0
    for spec in a.works.split(","):
        work, _, variant = spec.partition(":")
        args = ["--work", work, "--seconds", str(a.seconds), "--json"]
        args += ["--model", variant or "W1"] if work == "W6" else ["--batch", variant or "1"]
        for threads in (int(t) for t in a.threads.split(",")):
            results = {s: [] for s in sides}
            for r in range(a.rounds):
                print(f"\r{spec} threads {threads} round {r + 1}/{a.rounds}   ", end="", file=sys.stderr, flush=True)
                for s in sides:
                    one = measure(programs[s] + args + ["--threads", str(threads)], threads)
                    results[s].append(one)
                    if one:
                        raw.append(dict(one, side=s, round=r + 1))
                        last[s] = one
                    else:
                        failures += 1
            cells, unit = [], ""
            for s in sides:
                good = [speed(x) for x in results[s] if x]
                cells.append(number(statistics.median(v for _, v, _ in good)) if good else "failed")
                unit = good[0][0] if good else unit
            for s in sides[1:]:
                pairs = [speed(x)[2] / speed(y)[2] for x, y in zip(results["ramp"], results[s]) if x and y]
                cells.append(f"{statistics.median(pairs):.2f}" if pairs else "-")
            rows.append([work, variant or "-", str(threads), unit] + cells)
    print("\r" + " " * 60 + "\r", end="", file=sys.stderr, flush=True)

    ramp = last.get("ramp", {})
    facts = [f"CPU {ramp.get('cpu', '?')}", f"BLAS {ramp.get('blas', '?')}", f"commit {commit()}"]
    facts.append(f"PyTorch {version}" if version else "no PyTorch found (--python PATH or RAMP_TORCH_PYTHON)")
    facts.append(f"{a.rounds} rounds of three {a.seconds:g} s windows, medians")
    print(table(rows, a.md))
    print(("\n" if a.md else "") + ", ".join(facts))
    if a.raw:
        with open(a.raw, "w") as f:
            f.writelines(json.dumps(x) + "\n" for x in raw)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
