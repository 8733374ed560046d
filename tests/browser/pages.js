// Report pages for the tests: from .glass files, and from made-up runs (many steps, a deep graph,
// hostile names), as report_html() makes them.
//   node pages.js <template.html> <out folder> [run.glass ..]      writes them, for the eye
"use strict";
const fs = require("fs");
const path = require("path");
const {execFileSync} = require("child_process");

const root = path.resolve(__dirname, "../..");

function template() {
  const file =
      path.join(fs.mkdtempSync(path.join(require("os").tmpdir(), "ramp-page-")), "page.html");
  execFileSync(
      "cmake", [`-DPAGE=${root}/glass/page`, `-DHTML=${file}`, "-P", `${root}/cmake/embed.cmake`]);
  const html = fs.readFileSync(file, "utf8");
  fs.rmSync(path.dirname(file), {recursive: true});
  return html;
}
function fill(html, runs, lang = "") {
  const data = JSON.stringify({lang, runs}).replace(/</g, "\\u003c");
  const title = String(runs[0].run.title).replace(/&/g, "&amp;").replace(/</g, "&lt;");
  return html.replace(/\{\{ramp:(title|data)\}\}/g, (_, mark) => (mark === "title" ? title : data));
}

// A .glass file as one run.
function readGlass(file) {
  const lines =
      fs.readFileSync(file, "utf8").split("\n").filter(Boolean).map((line) => JSON.parse(line));
  const of = (kind) => lines.filter((l) => l.kind === kind);
  const last = (kind) => of(kind).pop() || null;
  return {
    file: path.basename(file),
    cut: false,
    run: last("run"),
    model: last("model"),
    steps: of("step"),
    epochs: of("epoch"),
    probes: of("probe"),
    images: of("images"),
    mistakes: last("mistakes"),
    boundaries: of("boundary"),
    findings: of("finding"),
    lessons: of("lesson"),
    gradchecks: of("gradcheck"),
    end: last("end")
  };
}

// A run as the lines of a .glass file.
function glassLines(run) {
  const c = run.curve, whole = new Map(run.steps.map((s) => [s.step, s]));
  const steps =
      c.step.map((step, i) => ({
                   ...(whole.get(step) || {kind: "step", layers: {}, parameters: {}, fire: {}}),
                   step,
                   epoch: c.epoch[i],
                   loss: c.loss[i],
                   lr: c.lr[i],
                   seconds: c.seconds[i],
                   phases: {
                     data: c.data[i],
                     forward: c.forward[i],
                     backward: c.backward[i],
                     step: c.step_seconds[i]
                   }
                 }));
  const lines = [
    run.run, run.model, ...steps, ...run.epochs, ...run.probes, ...run.images, run.mistakes,
    ...run.boundaries, ...run.findings, ...run.lessons, ...run.gradchecks, run.end
  ];
  return lines.filter(Boolean).map((line) => JSON.stringify(line) + "\n").join("");
}
// The page of made-up runs: by ramp-report where it is built, else as it would.
function pageOf(html, name, reporter, folder) {
  const runs = kMade[name](reporter ? 10000 : undefined);
  if (!reporter) return fill(html, runs);
  const files = runs.map(
      (run, i) => path.join(folder, run.file.includes("/") ? `${name}${i}.glass` : run.file));
  runs.forEach((run, i) => fs.writeFileSync(files[i], glassLines(run)));
  execFileSync(reporter, [...files, "-o", path.join(folder, "made.html")]);
  return fs.readFileSync(path.join(folder, "made.html"), "utf8");
}

// ---- made-up runs ----

function random(seed) {
  return () => {
    seed = (seed * 1664525 + 1013904223) >>> 0;
    return seed / 4294967296;
  };
}
function normal(next) {
  return Math.sqrt(-2 * Math.log(next() + 1e-12)) * Math.cos(6.2831853 * next());
}

// The sketch of n normal numbers, of which a share is zero.
function sketch(next, std, mean = 0, zeros = 0, n = 2000) {
  const hist = new Array(64).fill(0);
  let sum = 0, squares = 0, min = Infinity, max = -Infinity;
  for (let i = 0; i < n; ++i) {
    const v = next() < zeros ? 0 : mean + std * normal(next);
    const k = v === 0 ? 0 : Math.max(0, Math.min(30, Math.floor(Math.log2(Math.abs(v))) + 24));
    ++hist[v === 0 ? 31 : v > 0 ? 32 + k : 30 - k];
    sum += v;
    squares += v * v;
    min = Math.min(min, v);
    max = Math.max(max, v);
  }
  return {
    n,
    mean: sum / n,
    std: Math.sqrt(Math.max(0, squares / n - (sum / n) ** 2)),
    min,
    max,
    zeros,
    bad: 0,
    hist
  };
}
const kHostile =
    "<img src=x onerror=alert(1)></script><script>window.hacked=1</script>&amp;\"'`{{ramp:data}}";

// L = 0.37 relu(x), with names that `evil` spoils.
function lesson(evil) {
  const scalar = (op, name, inputs, value, gradient) => ({
    op: evil(op),
    activation: "",
    name: evil(name),
    shape: [],
    inputs,
    leaf: inputs.length === 0,
    constant: false,
    value: [value],
    gradient: [gradient]
  });
  const added = (to, line, product) => ({
    to,
    input: 0,
    local: [product],
    product: [product],
    before: null,
    after: [product],
    lines: [evil(line)]
  });
  return {
    kind: "lesson",
    name: evil("relu"),
    title: {en: evil("ReLU"), pt: evil("ReLU")},
    text: {en: evil("At -1."), pt: evil("Em -1.")},
    nodes: [
      scalar("leaf", "x", [], -1, 0), scalar("relu", "y", [0], 0, 0.37),
      scalar("mul", "L", [1], 0, 1)
    ],
    steps: [
      {phase: "forward", node: 1, lines: [evil("y = max(0, x) = max(0, (−1)) = 0")], additions: []},
      {phase: "forward", node: 2, lines: [evil("L = 0.37 · y = 0")], additions: []},
      {
        phase: "backward",
        node: 2,
        lines: [evil("∂L/∂L = 1")],
        additions: [added(1, "∂L/∂y = ∂L/∂L · 0.37 = 0.37", 0.37)]
      },
      {
        phase: "backward",
        node: 1,
        lines: [],
        additions: [added(0, "∂L/∂x = ∂L/∂y · 1[x > 0] = 0.37 · 0 = 0", 0)]
      },
    ],
  };
}

// A chain of layers, with shortcuts if `residual`; `names(i)` is what they are called.
function made({
  depth = 8,
  units = 32,
  recorded = 60,
  every = 100,
  residual = false,
  hostile = false,
  images = true,
  title = "made-up run",
  seed = 1,
  boundary = false,
  rows = Math.min(recorded, 2000)
}) {
  const next = random(seed);
  const evil = (s) => (hostile ? `${s} ${kHostile}` : s);
  const layers = [], parameters = [];
  for (let i = 0; i < depth; ++i) {
    const at = residual && i > 0 && i < depth - 1 ?
        `${1 + Math.floor((i - 1) / 2)}.conv${1 + ((i - 1) % 2)}` :
        String(i);
    layers.push({
      path: at,
      parent: at.includes(".") ? at.split(".")[0] : "",
      text: evil(i === depth - 1 ? "Dense(512, 10)" : "Conv2d(16, 32, 3)"),
      type: i === depth - 1 ? "Dense" : "Conv2d",
      activation: i === depth - 1 ? "" : "relu",
      leaf: true,
      shape: [64, 14, 14, units],
      units,
      parameters: [`${at}.weight`, `${at}.bias`],
      flops: 300000 + 90000 * i,
      bytes: 20000 + 800 * i
    });
    parameters.push(
        {
          name: evil(`${at}.weight`),
          layer: at,
          shape: [3, 3, 16, units],
          count: 144 * units,
          trained: true
        },
        {name: evil(`${at}.bias`), layer: at, shape: [units], count: units, trained: true});
  }
  const steps = [], curve = {
    step: [],
    epoch: [],
    loss: [],
    lr: [],
    seconds: [],
    data: [],
    forward: [],
    backward: [],
    step_seconds: []
  };
  const flow = {
    step: [],
    layers: {},
    parameters: Object.fromEntries(parameters.map((p) => [p.name, {w: [], g: [], ratio: []}]))
  };
  const kept = Math.min(recorded, 60), columns = Math.min(recorded, 400);
  for (let i = 0; i < rows; ++i) {
    const step = Math.round(1 + ((recorded - 1) * i) / Math.max(1, rows - 1)) * every,
          share = i / rows;
    curve.step.push(step);
    curve.epoch.push(Math.floor(10 * share));
    curve.loss.push(0.08 + 2.2 * Math.exp(-6 * share) * (1 + 0.15 * normal(next)) + 0.02 * next());
    curve.lr.push(0.01 * 0.5 * (1 + Math.cos(3.1416 * share)));
    curve.seconds.push(step * 0.004);
    curve.data.push(0.02);
    curve.forward.push(0.12 + 0.01 * next());
    curve.backward.push(0.22 + 0.02 * next());
    curve.step_seconds.push(0.04);
  }
  for (let i = 0; i < columns; ++i) {
    flow.step.push(curve.step[Math.floor((i * rows) / columns)]);
    parameters.forEach((p, k) => {
      const f = flow.parameters[p.name];
      f.w.push(3 + 0.01 * i);
      f.g.push(
          0.5 * 10 ** (-2 * (1 - k / parameters.length)) * Math.exp(-2 * i / columns) *
          Math.exp(0.2 * normal(next)));
      f.ratio.push(1e-3 * 4 ** (k / parameters.length - 0.7) * Math.exp(0.2 * normal(next)));
    });
  }
  const lifetimes = layers.map(
      () => Array.from(
          {length: units},
          () =>
              (next() < 0.05     ? 0 :
                   next() < 0.08 ? 0.2 + 0.5 * next() :
                                   2)));
  const rates = layers.map(() => Array.from({length: units}, () => 0.1 + 0.6 * next()));
  const fireAt = (l, share) => rates[l].map(
      (r, u) =>
          (share >= lifetimes[l][u] ?
               0 :
               Math.max(0, Math.min(1000, Math.round(1000 * (r + 0.04 * normal(next)))))));
  for (let i = 0; i < kept; ++i) {
    const share = i / kept, step = curve.step[Math.floor((i * rows) / kept)];
    steps.push({
      kind: "step",
      step,
      epoch: Math.floor(10 * share),
      loss: curve.loss[Math.floor(share * rows)],
      lr: curve.lr[Math.floor(share * rows)],
      seconds: step * 0.004,
      phases: null,
      layers: Object.fromEntries(layers.map((l, k) => [l.path, {
                                              y: sketch(next, 0.5 + share, 0.3, 0.5, 300),
                                              pre: sketch(next, 0.7 + share, -0.1, 0, 300),
                                              dy: sketch(next, 1e-3 * (k + 1), 0, 0.5, 300)
                                            }])),
      parameters:
          Object.fromEntries(parameters.map((p) => [p.name, {
                                              w: sketch(next, 0.1 + 0.05 * share, 0, 0, 300),
                                              g: sketch(next, 1e-3, 0, 0, 300),
                                              ratio: 1e-3,
                                              gnorm: 0.1
                                            }])),
      fire: Object.fromEntries(layers.slice(0, -1).map((l, k) => [l.path, fireAt(k, share)]))
    });
  }
  const epochs = Array.from(
      {length: 10}, (_, e) => ({
                      kind: "epoch",
                      epoch: e + 1,
                      step: Math.round((recorded * every * (e + 1)) / 10),
                      values: {
                        loss: 0.1 + 0.9 * Math.exp(-e / 2),
                        valid_loss: 0.13 + 0.8 * Math.exp(-e / 2),
                        valid_accuracy: 0.985 - 0.1 * Math.exp(-e / 2)
                      },
                      errors: {valid_loss: 0.01, valid_accuracy: 0.0012},
                      fired: Object.fromEntries(layers.slice(0, -1).map(
                          (l, k) => [l.path, fireAt(k, (e + 1) / 10).map((v) => v * 60)])),
                      seen: Object.fromEntries(layers.slice(0, -1).map((l) => [l.path, 60000]))
                    }));
  const nodes = [];
  const push = (op, layer, inputs, more = {}) => {
    nodes.push({
      id: nodes.length,
      op,
      activation: null,
      layer,
      shape: [64, 14, 14, units],
      inputs,
      value: null,
      y: sketch(next, 1, 0.2, 0.3, 200),
      dy: sketch(next, 1e-3, 0, 0, 200),
      gnorm: 10 ** (-3 + 2 * next()),
      name: null,
      leaf: false,
      ...more
    });
    return nodes.length - 1;
  };
  let x = push("input", "", [], {leaf: true, dy: null, gnorm: null, name: null}), shortcut = x;
  layers.forEach((l, i) => {
    const w = push(
              "leaf", l.path, [],
              {leaf: true, name: evil(`${l.path}.weight`), shape: [3, 3, 16, units]}),
          b = push("leaf", l.path, [], {leaf: true, name: evil(`${l.path}.bias`), shape: [units]});
    x = push(
        i === depth - 1 ? "linear" : "conv2d", l.path, [x, w, b],
        residual || i === depth - 1 ? {} : {activation: "relu"});
    if (residual && i < depth - 1) x = push("batch_norm", l.path, [x]);
    if (residual && i > 0 && i % 2 === 0 && i < depth - 1) {
      x = push("add", l.path.split(".")[0], [x, shortcut]);
      x = push("relu", l.path.split(".")[0], [x]);
      shortcut = x;
    } else if (residual && i < depth - 1) {
      x = push("relu", l.path, [x]);
      if (i === 0) shortcut = x;
    }
  });
  x = push("cross_entropy", "", [x], {shape: [], value: 0.1873, gnorm: 1});
  const b64 = (n, f) =>
      Buffer.from(Uint8Array.from({length: n}, (_, i) => f(i))).toString("base64");
  // The k-th made-up digit: a disc whose place tells the class.
  const disc = (k) => b64(784, (i) => {
    const r = Math.floor(i / 28), c = i % 28;
    return Math.hypot(r - 6 - 1.8 * (k % 10), c - 14 - 4 * Math.sin(k)) < 5 ? 235 : 10;
  });
  const classes = Array.from({length: 10}, (_, k) => (hostile && k === 3 ? kHostile : String(k)));
  const confusion = classes.map(
      (_, i) => classes.map(
          (_, j) =>
              (i === j                       ? 960 + i :
                   (i * 7 + j * 3) % 5 === 0 ? 1 + ((i * j) % 9) :
                                               0)));
  let index = 0;
  const shot = (i, j, p) => ({
    index: index++,
    pixels: disc(i),
    label: i,
    top: [[j, p], [i, 0.9 * (1 - p)], [(i + j + 1) % 10, 0.1 * (1 - p)]]
  });
  const cells = {};
  confusion.forEach((row, i) => row.forEach((n, j) => {
    if (n && i !== j)
      cells[`${i},${j}`] =
          Array.from({length: Math.min(12, n)}, (_, k) => shot(i, j, 0.95 - 0.05 * k));
  }));
  // Why: the nearest ones are numbered by their class.
  const why = {}, nearer = {}, pictures = {};
  for (const [key, list] of Object.entries(cells)) {
    nearer[key] = [list.length >> 1, list.length];
    for (const s of list)
      why[s.index] = {
        said: [9000 + s.top[0][0], 3.1],
        label: [9000 + s.label, 5.2],
        speaks: b64(784, (i) => (i + s.label) % 256)
      };
  }
  for (let k = 0; k < 10; ++k) pictures[9000 + k] = disc(k);
  return {
    file: hostile ? `${kHostile}.glass` : "run.glass", cut: false,
    run: {kind: "run", version: 1, ramp: "0.1.0", time: "2026-11-27T18:00:00Z", command: evil("./06_mnist_cnn --seed 1"), title: evil(title), seed: 1, environment: evil("ramp 0.1.0"), compiler: "g++ 12.2", isa: "v4", blas: "OpenBLAS 0.3.21", threads: 2, cpu: "AMD EPYC", data: [{name: evil("x"), shape: [60000, 28, 28, 1], checksum: "5ad9be41"}], every},
    model: {kind: "model", summary: evil("layer   shape   parameters\n0 Conv2d"), layers, parameters},
    curve, flow, steps, epochs, probes: [{kind: "probe", step: 100, loss: 0.19, nodes}],
    images: images ? [{kind: "images", step: 900, h: 28, w: 28, c: 1, pixels: classes.map((_, k) => disc(k)), labels: [...classes], maps: {0: {h: 14, w: 14, c: 16, data: classes.map((_, k) => b64(14 * 14 * 16, (i) => (i * (k + 3)) % 256)), lo: 0, hi: 2.5}}, saliency: classes.map((_, k) => disc(k)), filters: {[evil("0.weight")]: {kh: 3, kw: 3, in: 1, out: 32, data: b64(288, (i) => (i * 37) % 256), lo: -0.4, hi: 0.5}}}] : [],
    mistakes: images ? {kind: "mistakes", classes, confusion, cells, worst: Array.from({length: 8}, (_, k) => shot(k, (k + 2) % 10, 0.99 - 0.01 * k)), h: 28, w: 28, c: 1, n: 10000, why, nearer, pictures, among: 10000} : null,
    boundaries: boundary ? Array.from({length: 12}, (_, k) => ({kind: "boundary", step: 1 + k * 50, x: [-2, 3], y: [-1.5, 2], nx: 64, ny: 64, classes: 2,
      p: b64(4096, (i) => 255 / (1 + Math.exp(-0.3 * k * ((i % 64) / 12 - 2.5 + Math.sin(Math.floor(i / 64) / 9))))), ...(k ? {} : {points: Array.from({length: 200}, (_, j) => [-1.5 + 4 * next(), -1 + 2.5 * next(), j % 2])})})) : [], lessons: [lesson(evil)],
    gradchecks: [{kind: "gradcheck", planted: hostile ? kHostile : "sign", parameters: [{name: evil("w"), index: 0, numeric: 0.5, analytic: -0.5, error: 0.67}, {name: evil("w"), index: 1, numeric: 0.25, analytic: 0.25, error: 1e-11}]}],
    findings: [{kind: "finding", code: "dead_units", key: evil("dead_units"), values: {n: evil("3"), of: "32", share: "9.4 %", examples: "4096"}, layer: evil("2 Conv2d(16, 32, 3, relu)"), evidence: evil("3 of 32 units (9.4 %) were 0 for the last 4,096 examples and more"), remedy: evil("LeakyReLU, PReLU or ELU instead; a lower lr")}],
    end: {kind: "end", step: recorded * every, seconds: 83.2, reason: "done"},
  };
}

// As a loop of one's own records it: without the time by phase.
function byHand(run) {
  for (const phase of ["data", "forward", "backward", "step_seconds"])
    run.curve[phase] = run.curve.step.map(() => null);
  return run;
}
// Its units do not die: they are silent.
function leaky(run) {
  for (const layer of run.model.layers) layer.dies = false;
  return {...run, file: "leaky.glass"};
}
const kMade = {
  hostile: () => [made({hostile: true, title: "hostile"})],
  long: (rows) => [made({recorded: 10000, every: 1, rows, title: "10,000 recorded steps"})],
  deep: () => [byHand(made({depth: 20, residual: true, images: false, title: "ResNet-20"}))],
  plain: () => [made({boundary: true})],
  beside: () => [made({title: "ReLU"}), leaky(made({seed: 2, title: "Leaky ReLU"}))],
};
module.exports = {
  template,
  fill,
  pageOf,
  readGlass,
  made,
  kMade,
  kHostile
};

if (require.main === module) {
  const [html, out, ...files] = process.argv.slice(2);
  const text = fs.readFileSync(html, "utf8");
  for (const [name, f] of Object.entries(kMade))
    fs.writeFileSync(path.join(out, `${name}.html`), fill(text, f()));
  for (const file of files)
    fs.writeFileSync(
        path.join(out, path.basename(file, ".glass") + ".html"), fill(text, [readGlass(file)]));
}
