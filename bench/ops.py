#!/usr/bin/env python3
"""Measures every op of ramp beside PyTorch's, and with --write puts the table into docs/performance.md.

--work growth: one net's step, one layer and one convolution as they grow. --work gemm: matrix products by ramp's own
kernel and by OpenBLAS.

Both programs (ramp-bench and bench/ops_torch.py) run at once, on the same cores, and are asked for one row after the
other, in turn, so that a slow minute of the machine hits both. Each round starts them anew. A time is the median over
the rounds, a ratio the median of the ratios within a round; above 1 means ramp is faster.
"""
import argparse
import datetime
import json
import math
import os
import re
import statistics
import subprocess
import sys

import compare

PAGE = os.path.join(compare.ROOT, "docs", "performance.md")
HEAD = """# Performance

Times of ramp beside PyTorch's on the same cores, and what they say. Measured, with the commands to measure them again.
"""
TITLES = {"ops": "Every op", "growth": "Growth", "gemm": "Matrix products"}
KINDS = (("forward", "forward_us"), ("forward + backward", "both_us"))


def program(command, threads, cores):
    """A program with its arguments, on the last `threads` of the cores."""
    env = dict(os.environ, OMP_PROC_BIND="true")
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAMP_NUM_THREADS"):
        env[name] = str(threads)
    return subprocess.Popen(command, text=True, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            preexec_fn=lambda: os.sched_setaffinity(0, cores[-threads:]))


def names_of(command):
    r = subprocess.run(command + ["--list"], capture_output=True, text=True)
    if r.returncode:
        sys.exit(f"ops: {' '.join(command)} --list failed:\n{r.stderr}")
    return [line for line in r.stdout.splitlines() if not line.startswith("{")]


def ask(process, name):
    process.stdin.write(name + "\n")
    process.stdin.flush()
    line = process.stdout.readline()
    if not line:
        sys.exit(f"ops: no answer for {name}: {' '.join(process.args)}")
    return json.loads(line)


def measure(sides, names, threads, a, cores):
    """{name: [(ramp's line, PyTorch's line) of each round]}"""
    found = {name: [] for name in names}
    for r in range(a.rounds):
        pair = [program(c + ["--only", "-", "--seconds", str(a.seconds), "--threads", str(threads)], threads, cores)
                for c in sides]
        for i, name in enumerate(names):
            if sys.stderr.isatty():
                print(f"\r{threads} threads, round {r + 1}/{a.rounds}, {i + 1}/{len(names)} {name:40.40}", end="",
                      file=sys.stderr, flush=True)
            order = pair if (i + r) % 2 == 0 else pair[::-1]  # who follows whom
            lines = [ask(p, name) for p in order]
            ours, theirs = lines if order is pair else lines[::-1]
            if ours["numel"] != theirs["numel"] or (ours["both_us"] is None) != (theirs["both_us"] is None):
                sys.exit(f"ops: {name} is not the same on both sides: {ours}, {theirs}")
            found[name].append((ours, theirs))
        for p in pair:
            p.stdin.close()
            p.stdout.read()
            p.wait()
    if sys.stderr.isatty():
        print("\r" + " " * 90 + "\r", end="", file=sys.stderr)
    return found


def figures(rounds, key):
    """(ramp's us, PyTorch's us, ratio), or None where a side has no such time."""
    pairs = [(r[key], t[key]) for r, t in rounds if r[key] and t[key]]
    if not pairs:
        return None
    return (statistics.median(r for r, _ in pairs), statistics.median(t for _, t in pairs),
            statistics.median(t / r for r, t in pairs))


def geometric_mean(ratios):
    return math.exp(sum(map(math.log, ratios)) / len(ratios))


def worst(of_row):
    """What the mark is about: the ratio of forward + backward, without a gradient that of forward."""
    return min(ratio for by_kind in of_row.values() for *_, ratio in [by_kind["both_us"] or by_kind["forward_us"]])


def summary(rows, threads):
    lines = [["", "threads", "rows", "below 1.0", "below 0.8", "geometric mean", "least"]]
    for label, key in KINDS:
        for n in threads:
            at = {name: of_row[n][key][2] for name, of_row in rows.items() if of_row[n][key]}
            if at:
                least = min(at, key=at.get)
                lines.append([label, str(n), str(len(at)), str(sum(r < 1 for r in at.values())),
                              str(sum(r < 0.8 for r in at.values())), f"{geometric_mean(at.values()):.2f}",
                              f"{least.replace('|', ' ')} {at[least]:.2f}"])
    return lines


def table(rows, threads):
    head = ["op", "size"]
    for n in threads:
        for label, _ in KINDS:
            head += [f"{n}: {label}, us", "PyTorch", "ratio"]
    lines = [head]
    for name in sorted(rows, key=lambda name: worst(rows[name])):
        line = name.split("|")
        for n in threads:
            for _, key in KINDS:
                f = rows[name][n][key]
                line += [compare.number(f[0]), compare.number(f[1]), f"{f[2]:.2f}"] if f else ["-"] * 3
        lines.append(line)
    return lines


def growth(rows, threads):
    """Samples/s in training of each row: its number if that is a batch, else those of ops.cc."""
    head = ["", ""]
    for n in threads:
        head += [f"{n}: samples/s", "PyTorch", "ratio"]
    lines = [head]
    for name, of_row in rows.items():
        kind, _, number = name.partition("|")
        samples = int(number) if kind.endswith("batch") else 64 if kind.startswith("dense") else 16
        line = [kind, number]
        for n in threads:
            ramp, torch, ratio = of_row[n]["both_us"]
            line += [compare.number(1e6 * samples / ramp), compare.number(1e6 * samples / torch), f"{ratio:.2f}"]
        lines.append(line)
    return lines


def gemm(bench, threads, a, cores):
    """Rows of ramp-bench --work gemm: a table, and OpenBLAS' kernels."""
    head, by_shape, core = ["m x n x k", "transposed"], {}, "?"
    for n in threads:
        head += [f"{n}: own, GFLOP/s", "OpenBLAS", "own / OpenBLAS"]
        pairs = {}
        for _ in range(a.rounds):
            p = program([bench, "--work", "gemm", "--seconds", str(a.seconds), "--threads", str(n)], n, cores)
            for line in map(json.loads, p.communicate()[0].splitlines()):
                core = line.get("openblas", core)
                if "m" in line:
                    key = (f"{line['m']} x {line['n']} x {line['k']}", line["trans"])
                    pairs.setdefault(key, []).append((line["own_gflops"], line["blas_gflops"]))
            if p.returncode:
                sys.exit(f"ops: {bench} --work gemm failed")
        for key, found in pairs.items():
            own, blas = (statistics.median(side) for side in zip(*found))
            ratio = statistics.median(o / b for o, b in found)
            by_shape.setdefault(key, []).extend([f"{own:.1f}", f"{blas:.1f}", f"{ratio:.2f}"])
    settings = [f"{k}={v}" for k, v in sorted(os.environ.items()) if k.startswith("OPENBLAS_")]
    return ([head] + [list(key) + cells for key, cells in by_shape.items()],
            f"OpenBLAS with its kernels for {core}" + (f" ({', '.join(settings)} is set)" if settings else ""))


def write_section(title, text):
    """Puts a section in the place of the one with this title, or at the end of the page."""
    page = HEAD
    if os.path.exists(PAGE):
        with open(PAGE) as f:
            page = f.read()
    section = f"## {title}\n\n{text.strip()}\n"
    old = re.compile(rf"^## {re.escape(title)}\n.*?(?=^## |\Z)", re.M | re.S)
    if old.search(page):
        page = old.sub(lambda m: section + ("\n" if m.end() < len(page) else ""), page)
    else:
        page = page.rstrip("\n") + "\n\n" + section
    with open(PAGE, "w") as f:
        f.write(page)


def facts(bench, *more):
    """The machine and the programs, in a line."""
    r = subprocess.run([bench, "--work", "ops", "--list"], capture_output=True, text=True, check=True)
    line = json.loads(r.stdout.splitlines()[-1])
    return ", ".join([f"CPU {line['cpu']} ({os.cpu_count()} cores, {line['isa']})", str(datetime.date.today()),
                      f"commit {compare.commit()} built with {line['flags']}", *more])


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--work", choices=list(TITLES), default="ops")
    p.add_argument("--only", default="", help="a pattern: the rows whose names hold it")
    p.add_argument("--threads", default="1,2" if (os.cpu_count() or 1) > 1 else "1")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--seconds", type=float, default=0.05, help="of the windows of one time")
    p.add_argument("--python", default=os.environ.get("RAMP_TORCH_PYTHON", "python3"),
                   help="an interpreter with PyTorch")
    p.add_argument("--bench", default=None, help="the ramp-bench (default: the newer of build/bench, build/release)")
    p.add_argument("--write", action="store_true", help="write the section of docs/performance.md too")
    p.add_argument("--note", default="", help="a sentence for the page, such as what else the machine did")
    p.add_argument("--raw", metavar="FILE", help="write every line of both programs here too")
    a = p.parse_args()

    if a.write and a.only:
        sys.exit("ops: the page holds every row. Hint: --write without --only.")
    bench = a.bench or compare.find_bench()
    threads = [int(t) for t in a.threads.split(",")]
    cores = sorted(os.sched_getaffinity(0))
    if max(threads) > len(cores):
        sys.exit(f"ops: {max(threads)} threads, but {len(cores)} cores")
    load = os.getloadavg()[0]
    note = a.note or ("" if load < 0.5 else f"The machine was not quiet: its load was {load:.1f} at the start.")

    options = f"--threads {a.threads} --rounds {a.rounds} --seconds {a.seconds:g} --write"
    command = f"Command: `bench/ops.py --work {a.work} {options}`"
    if a.work == "gemm":
        lines, blas = gemm(bench, threads, a, cores)
        command += f"; {a.rounds} rounds, the least of five windows in each, medians"
        print(compare.table(lines, False))
        print(f"\n{facts(bench)}, {blas}. {note}")
        if a.write:
            write_section(TITLES[a.work], f"""{facts(bench)}, {blas}. {command}. {note}

`gemm` in f32 by ramp's own kernel and by OpenBLAS, whose calls are sliced over ramp's threads; the number before the
colon is that of threads. A ratio above 1 means that ramp's own kernel is faster.

{compare.table(lines, True)}""")
        return 0

    version = compare.torch_version(a.python)
    if not version:
        sys.exit("ops: no PyTorch found. Hint: --python PATH or RAMP_TORCH_PYTHON.")
    sides = [[bench], [a.python, os.path.join(compare.ROOT, "bench", "ops_torch.py")]]
    sides = [side + ["--work", a.work] for side in sides]
    ours, theirs = map(names_of, sides)
    alone = sorted(set(ours) ^ set(theirs))
    if alone or len(ours) != len(set(ours)):
        sys.exit("ops: rows of one side only, or twice: " + ", ".join(alone or ours))
    names = [name for name in ours if re.search(a.only, name)]
    if not names:
        sys.exit(f"ops: no row holds {a.only}")

    by_threads = {n: measure(sides, names, n, a, cores) for n in threads}
    rows = {name: {n: {key: figures(by_threads[n][name], key) for _, key in KINDS} for n in threads} for name in names}
    if a.raw:
        with open(a.raw, "w") as f:
            for n in threads:
                for name in names:
                    for i, pair in enumerate(by_threads[n][name]):
                        for side, line in zip(("ramp", "torch"), pair):
                            f.write(json.dumps(dict(line, side=side, threads=n, round=i + 1)) + "\n")
    where = facts(bench, f"PyTorch {version}")
    shown = growth(rows, threads) if a.work == "growth" else table(rows, threads)
    print(compare.table(shown, False))
    print("\n" + compare.table(summary(rows, threads), False))
    how = f"{a.rounds} rounds, the least of five windows of {a.seconds / 5:g} s in each, medians"
    print(f"\n{where}, {how}. {note}")
    if a.write and a.work == "growth":
        write_section(TITLES[a.work], f"""{where}. {command}; {how}. {note}

Forward + backward in f32; the number before the colon is that of threads. W1 is the MLP 784-128-10 and Adam; the
dense layer has batches of 64, the convolutions of 16, both with ReLU. Of PyTorch the better of contiguous and
channels_last memory, and of the fused Adam and the other.

{compare.table(shown, True)}""")
    elif a.write:
        write_section(TITLES[a.work], f"""{where}. {command}; {how}. {note}

f32, the same shapes on both sides, recorded for a backward pass; of PyTorch the better of contiguous and channels_last
memory, and the fused optimizers. Both run on the same cores and are asked for one row after the other, in turn. A ratio
is PyTorch's time over ramp's: above 1 ramp is faster. Sizes: `8k` is [64, 128], `1.6M` is [64, 28, 28, 32].

{compare.table(summary(rows, threads), True)}

Every row, worst first (by forward + backward, or forward where there is no gradient; the number before the colon is
that of threads):

{compare.table(shown, True)}""")
    return 0


if __name__ == "__main__":
    sys.exit(main())
