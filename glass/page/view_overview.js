// What was run, what the doctor found, and the four questions one opens a report with.
"use strict";

// By layer: the typical share by which a step moves its weights, slowest first.
function paces(file) {
  const middle = (values) => {
    const v = values.filter(isNumber).sort((a, b) => a - b);
    return v.length ? v[v.length >> 1] : null;
  };
  return weights(file)
      .map((p) => ({parameter: p, pace: middle(file.flow.parameters[p.name].ratio.slice(1))}))
      .filter((p) => p.pace !== null && p.parameter.trained !== false)
      .sort((a, b) => a.pace - b.pace);
}
// The dead units among those of a layer with weights, where they are many.
function deadBehind(file, path) {
  const leaves = file.layers.filter((l) => l.leaf !== false);
  for (let i = leaves.findIndex((l) => l.path === path); i >= 0 && i < leaves.length; ++i) {
    const c = file.clinic[leaves[i].path];
    if (c) return c.dead.length * 4 >= c.units ? {n: c.dead.length, of: c.units} : null;
    if (leaves[i].path !== path && !/Pool|Norm|Dropout/.test(leaves[i].type || "")) return null;
  }
  return null;
}
// Why one layer is slower than another: sentences. |dw| / |w| is the size of a step over that of a
// weight, so one of these differs.
function slowReasons(file, slow, fast) {
  if (!(slow.pace > 0 && fast.pace > 0)) return [];
  const last = (p, member) => {
    const v = (file.flow.parameters[p.name][member] || []).filter(isNumber);
    return v.length ? v[v.length >> 1] / Math.sqrt(p.count) : null;
  };
  const of = ({parameter, pace}) => {
    const w = last(parameter, "w");
    return {w, step: w === null ? null : pace * w, g: last(parameter, "g")};
  };
  const a = of(slow), b = of(fast), times = (x) => num(x, 2), reasons = [];
  if (!(a.w > 0 && b.w > 0)) return [];
  const dead = deadBehind(file, slow.parameter.layer);
  if (dead) reasons.push(t("overview.slow.dead", {n: count(dead.n), of: count(dead.of)}));
  const heavier = a.w / b.w, shorter = b.step / a.step, weaker = b.g / a.g;
  if (heavier >= shorter)
    reasons.push(t("overview.slow.weights", {times: times(heavier)}));
  else if (weaker >= shorter / 2)
    reasons.push(t("overview.slow.gradient", {times: times(shorter), weaker: times(weaker)}));
  else
    reasons.push(t("overview.slow.steps", {times: times(shorter)}));
  if (slow.pace >= 1e-4 && fast.pace <= 1e-2)
    reasons.push(t("overview.slow.usual"));
  else if (slow.pace < 1e-4)
    reasons.push(t("overview.slow.low"));
  return reasons;
}
function deadUnits(file) {
  const layers = Object.entries(file.clinic);
  return {
    layers,
    dead: layers.filter(([, c]) => c.dead.length),
    units: layers.reduce((n, [, c]) => n + c.units, 0),
    n: layers.reduce((n, [, c]) => n + c.dead.length, 0),
    silent: layers.reduce((n, [, c]) => n + (c.silent || []).length, 0),
    sleeping: layers.reduce((n, [, c]) => n + c.sleeping.length, 0)
  };
}
// Off the diagonal, most first: {truth, said, n, of}.
function confusions(mistakes) {
  const all = [];
  mistakes.confusion.forEach((row, truth) => row.forEach((n, said) => {
    if (n > 0 && truth !== said) all.push({truth, said, n, of: row.reduce((a, b) => a + b, 0)});
  }));
  return all.sort((a, b) => b.n - a.n);
}
// The line that makes the run again, bit for bit.
function reproduceLine(run) {
  if (run.reproduce) return run.reproduce;
  const set = [];
  if (run.isa && !/RAMP_ISA=/.test(run.command)) set.push(`RAMP_ISA=${run.isa}`);
  if (run.threads && !/RAMP_NUM_THREADS=/.test(run.command))
    set.push(`RAMP_NUM_THREADS=${run.threads}`);
  return [...set, run.command].join(" ");
}
// "valid_accuracy" -> "validation accuracy". What has no prefix is of the training.
function metricName(name) {
  const [, of, rest] = /^(valid|train)_(.*)$/.exec(name) || [null, "train", name];
  return t("metric." + of, {name: baseName(rest)});
}
function baseName(name) {
  const word = t("metric." + name);
  return word === "metric." + name ? name.replaceAll("_", " ") : word;
}
// Evidence or remedy in the reader's language; the file's own text where there is no other.
function findingText(finding, what) {
  const key = `finding.${finding.key}.${what}`, values = {};
  if (!finding.key || t(key) === key) return finding[what];
  for (const [name, text] of Object.entries(finding.values || {})) {
    const kind = "finding.kind." + text;
    values[name] = name === "kind" && t(kind) !== kind ? t(kind) :
        page.lang === "pt" ? String(text).replace(/(\d)\.(\d)/g, "$1,$2") :
                             text;
  }
  return t(key, values);
}
const tiny = (share) => num(100 * share, 2) + " %";
// A share as per cent, all else as a number.
const isShare = (name) => /accuracy|precision|recall|f1|top/.test(name);
const metric = (name, value) => (isShare(name) ? percent(value, 2) : num(value));

register({
  name: "overview",
  order: 0,
  // (A page of lessons alone has no run to tell of.)
  has: (glass) =>
      glass.files.some((f) => f.model || f.steps.step.length || f.epoch.length || !f.lesson.length),
  render(container, glass) {
    const file = glass.files[0], other = glass.files[1];
    const last = file.epoch[file.epoch.length - 1];
    const tiles = [];
    const tile = (name, value, small) => tiles.push(el(
        "div", {}, el("dt", {}, name), el("dd", {}, value, small ? el("small", {}, small) : null)));
    if (last) {
      const names = Object.keys(last.values || {})
                        .sort(
                            (a, b) => isShare(b) - isShare(a) ||
                                b.startsWith("valid") - a.startsWith("valid"));
      for (const name of names.slice(0, 3)) {
        const error = last.errors && last.errors[name];
        tile(
            metricName(name), metric(name, number(last.values[name])),
            error ? `± ${metric(name, error)}` : null);
      }
    } else if (file.steps.loss.length) {
      tile(t("loss"), num(file.steps.loss[file.steps.loss.length - 1]));
    }
    const steps = file.end ? file.end.step : file.steps.step[file.steps.step.length - 1];
    if (isNumber(steps))
      tile(t("steps"), count(steps), last ? t("epochs.n", {n: count(last.epoch)}) : null);
    if (file.model)
      tile(
          t("parameters"),
          short((file.model.parameters || []).reduce((n, p) => n + (p.count || 0), 0)));
    if (file.end && isNumber(file.end.seconds))
      tile(
          t("time"), seconds(file.end.seconds),
          file.end.reason && file.end.reason !== "done" ? file.end.reason : null);
    if (tiles.length) container.append(el("dl", {class: "tiles"}, tiles));
    if (!file.end) container.append(el("p", {class: "bad"}, t("overview.unfinished")));
    if (file.cut) container.append(el("p", {class: "bad"}, t("overview.cut")));

    const seen = new Set();
    const findings = file.finding.filter((f) => {
      const key = `${f.code} ${f.layer}`;
      return seen.has(key) ? false : seen.add(key);
    });
    container.append(el(
        "section", {class: "part"}, el("h3", {}, t("overview.findings")),
        el("ul", {class: "findings"},
           findings.length === 0 ?
               el("li", {class: "fine"},
                  t(file.end || file.finding.length ? "overview.healthy" : "overview.nofindings")) :
               findings.map(
                   (f) => el(
                       "li", {},
                       el("h4", {},
                          t("finding." + f.code) === "finding." + f.code ?
                              f.code.replaceAll("_", " ") :
                              t("finding." + f.code),
                          f.layer ? el("span", {}, "  " + f.layer) : null),
                       el("p", {}, findingText(f, "evidence")),
                       f.remedy ? el("p", {}, el("span", {class: "muted"}, t("overview.try") + " "),
                                     findingText(f, "remedy")) :
                                  null)))));

    const answers = this.answers(file);
    if (answers.length) {
      container.append(
          el("section", {class: "part"}, el("h3", {}, t("overview.questions")),
             el("dl", {class: "answers"},
                answers.map(
                    ([question, answer]) =>
                        el("div", {}, el("dt", {}, question), el("dd", {}, answer))))));
    }
    if (other) container.append(this.beside(glass.files));
    for (const f of [file, other].filter(Boolean))
      if (f.run) container.append(this.provenance(f, other && fileLabel(f)));
    const missing = views.filter((v) => !v.has(glass));
    if (missing.length)
      container.append(
          el("p", {class: "muted small"},
             t("overview.missing", {views: missing.map((v) => t(v.name + ".title")).join(", ")})));
  },
  // Two runs, what came of each.
  beside(files) {
    const last = files.map((f) => f.epoch[f.epoch.length - 1]);
    const names = [...new Set(last.flatMap((e) => Object.keys((e && e.values) || {})))];
    const units = files.map(deadUnits);
    const rows = names.map(
        (name) =>
            [metricName(name),
             ...last.map(
                 (e) => (e && name in e.values ? metric(name, number(e.values[name])) : "–"))]);
    if (units.some((u) => u.layers.length))
      rows.push(
          [t("clinic.dead.units"), ...units.map((u) => count(u.n))],
          [t("clinic.silent.units"), ...units.map((u) => count(u.silent))],
          [t("clinic.sleeping.units"), ...units.map((u) => count(u.sleeping))]);
    rows.push([t("time"), ...files.map((f) => (f.end ? seconds(f.end.seconds) : "–"))]);
    return el(
        "section", {class: "part", style: "max-width:720px"}, el("h3", {}, t("overview.beside")),
        table(
            [t("overview.measure"), ...files.map(fileLabel)], rows,
            {free: true, label: t("overview.beside")}));
  },
  answers(file) {
    const answers = [];
    const link = (view, words) => el("a", {href: "#" + view}, words);
    const all = paces(file);
    if (all.length > 1) {
      const slow = all[0], fast = all[all.length - 1];
      answers.push([
        t("overview.slowest"),
        [
          fast.pace > 0 ? [el("strong", {}, layerName(file, slow.parameter.layer) + "."), " "] :
                          null,
          t(fast.pace > 0 ? "overview.slowest.a" : "overview.slowest.none", {
            slow: tiny(slow.pace),
            fast: tiny(fast.pace),
            layer: layerName(file, fast.parameter.layer)
          }),
          " ", slowReasons(file, slow, fast).map((s) => s + " "), link("flow", t("flow.title"))
        ]
      ]);
    }
    const units = deadUnits(file);
    if (units.layers.length) {
      answers.push([t("overview.dead"), [
        el("strong", {class: units.n ? "bad" : null}, units.n ? t("overview.dead.yes", {n: units.n, of: count(units.units)}) : t("overview.dead.no", {of: count(units.units)})), " ",
        units.n ? t("overview.dead.where", {layers: units.dead.sort((a, b) => b[1].dead.length - a[1].dead.length).slice(0, 3).map(([path, c]) => `${layerName(file, path)} (${c.dead.length})`).join(", ") + (units.dead.length > 3 ? ", …" : "")}) + " " : "",
        units.silent ? t("overview.silent", {n: units.silent}) + " " : "",
        units.sleeping ? t("overview.sleeping", {n: units.sleeping}) + " " : "",
        this.looked(file, units),
        " ",
        link("clinic", t("clinic.title"))]]);
    }
    if (file.mistakes) {
      const pairs = confusions(file.mistakes), names = file.mistakes.classes;
      const wrong = pairs.reduce((n, p) => n + p.n, 0);
      answers.push([
        t("overview.confused"),
        pairs.length === 0 ? t("overview.confused.none") :
                             [
                               el("strong", {},
                                  t("overview.pair",
                                    {truth: names[pairs[0].truth], said: names[pairs[0].said]})),
                               ", ",
                               t("overview.confused.a",
                                 {n: count(pairs[0].n), of: count(pairs[0].of)}),
                               pairs.length > 1 ? " " + t("overview.confused.then", {
                                                    pairs: pairs.slice(1, 4)
                                                               .map((p) => `${t("overview.pair", {
                                                                      truth: names[p.truth],
                                                                      said: names[p.said]
                                                                    })} (${p.n})`)
                                                               .join(", ")
                                                  }) :
                                                  "",
                               " ", link("errors", t("errors.title"))
                             ]
      ]);
      if (pairs.length) {
        const shots = Object.entries(file.mistakes.cells || {})
                          .filter(([key]) => key.split(",")[0] !== key.split(",")[1])
                          .flatMap(([, all]) => all);
        const near = shots.filter((s) => s.top.slice(1, 3).some((p) => p[0] === s.label)).length;
        const sure = shots.filter((s) => s.top[0] && s.top[0][1] > 0.9).length;
        const {truth, said} = pairs[0];
        const rows =
            reasonRows(file.mistakes, (file.mistakes.cells || {})[`${truth},${said}`] || [], 3);
        answers.push([
          t("overview.why"),
          [
            ...cellReasons(file.mistakes, truth, said).map((s) => s + " "), rows,
            rows ? el("p", {class: "muted small"},
                      t("errors.speaks.note", {said: names[said], truth: names[truth]})) :
                   null,
            t(names.length > 3 ? "overview.why.a" : "overview.why.few", {
              wrong: count(wrong),
              total: count(file.mistakes.n),
              shots: count(shots.length),
              near: count(near)
            }),
            sure ? " " + t("overview.why.sure", {n: sure}) : "", " ",
            link("errors", t(file.mistakes.h ? "overview.why.look" : "overview.why.lookat")),
            file.images.length ? [", ", link("features", t("features.title"))] : ""
          ]
        ]);
      }
    }
    return answers;
  },
  // What the units were seen to do.
  looked(file, units) {
    const c = file.counted;
    if (!c || !c.steps) return t("overview.lookednone");
    const all = c.counted === c.steps ||
        units.layers.every(([path, l]) => l.every_step || stillLearns(file, path));
    return t(
        all ? "overview.looked" : "overview.lookedsome",
        {steps: count(c.steps), counted: count(c.counted)});
  },
  provenance(file, name) {
    const run = file.run;
    const line = run.command ? reproduceLine(run) : "";
    const copied =
        el("button", {
          type: "button",
          onclick: () => {
            const done = () => {
              copied.textContent = t("overview.copied");
            };
            if (navigator.clipboard) navigator.clipboard.writeText(line).then(done, () => {});
          }
        },
           t("overview.copy"));
    const facts = [
      [
        "seed",
        run.seed === null || run.seed === undefined ? t("overview.noseed") : String(run.seed)
      ],
      ["when", run.time], ["version", run.ramp && "ramp " + run.ramp], ["compiler", run.compiler],
      ["isa", run.isa], ["blas", run.blas], ["threads", run.threads && String(run.threads)],
      ["cpu", run.cpu], ["environment", run.environment],
      ["every", run.every && t("overview.every.n", {n: count(run.every)})], ["file", file.name]
    ];
    return el(
        "section", {class: "part"},
        el("h3", {}, name ? `${t("overview.provenance")}: ${name}` : t("overview.provenance")),
        line ?
            [
              el("p", {class: "muted small"}, t("overview.reproduce")),
              el("div", {class: "copy"},
                 el("pre", {
                   tabindex: 0,
                   role: "region",
                   "aria-label": `${t("overview.reproduce")} ${file.name}`
                 },
                    line),
                 copied)
            ] :
            null,
        el("dl", {class: "facts"},
           facts.filter(([, value]) => value)
               .map(([key, value]) => [el("dt", {}, t("fact." + key)), el("dd", {}, value)])),
        (run.data || []).length ?
            el("div", {style: "margin-top:16px"},
               table(
                   [t("fact.data"), t("shape"), t("fact.checksum")],
                   run.data.map(
                       (d) => [d.name, shape(d.shape), el("code", {}, String(d.checksum))]),
                   {free: true, label: `${t("fact.data")}: ${file.name}`})) :
            null);
  },
});
