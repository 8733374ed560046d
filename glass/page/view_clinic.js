// Which units fire, which do not any more, and since when.
"use strict";

// Whether a silent unit of that layer has a gradient all the same.
function stillLearns(file, path) {
  return (file.byPath.get(path) || {}).dies === false ||
      ((file.clinic[path] || {}).silent || []).length > 0;
}

register({
  name: "clinic",
  order: 4,
  has: (glass) => glass.files.some((f) => Object.keys(f.clinic).length > 0 || f.fires.length > 0),
  render(container, glass) {
    const files = glass.files;
    container.append(
        el("div", {class: "grid2"},
           files.map((file, i) => this.summary(file, files.length > 1 ? fileLabel(file, i) : ""))));
    const remedies = files[0].finding.filter((f) => /dead|sleep|silent/.test(f.code));
    const general = [
      "clinic.remedy.lr", "clinic.remedy.leaky", "clinic.remedy.init", "clinic.remedy.norm",
      "clinic.remedy.bias"
    ];
    if (files.some((f) => deadUnits(f).n + deadUnits(f).sleeping > 0)) {
      container.append(
          el("section", {class: "part panel"},
             el("h3", {style: "margin-bottom:8px"}, t("clinic.remedies")),
             el("p", {class: "small muted"}, t("clinic.why")),
             el("p", {class: "formula", style: "margin:0 0 12px"},
                math(
                    M.mfrac(M.mi("∂L"), M.mi("∂x")), M.mo("="), M.mfrac(M.mi("∂L"), M.mi("∂y")),
                    M.mo("·"), M.mn("1"), M.mo("["), M.mi("x"), M.mo(">"), M.mn("0"), M.mo("]"),
                    M.mo("="), M.mn("0"))),
             el("ul", {style: "margin:0;padding-left:20px"},
                remedies.map(
                    (f) => el("li", {}, el("strong", {}, f.layer), " ", findingText(f, "remedy"))),
                general.map((word) => el("li", {}, t(word))))));
    }
    const paths = [...new Set(files.flatMap(
        (f) => [...Object.keys(f.clinic), ...f.fires.flatMap((s) => Object.keys(s.fire))]))];
    const order = files[0].layers.map((l) => l.path);
    paths.sort((a, b) => order.indexOf(a) - order.indexOf(b));
    for (const path of paths) {
      const row = el("div", {class: "grid2"});
      files.forEach((file, i) => {
        const drawn = this.map(file, path, files.length > 1 ? fileLabel(file, i) : "");
        if (drawn) row.append(drawn);
      });
      if (row.children.length) container.append(row);
      files.forEach((file, i) => {
        for (const what of ["dead", "silent"]) {
          const list = (file.clinic[path] || {})[what] || [];
          if (!list.length) continue;
          const title = `${t(`clinic.${what}list`, {n: list.length})}, ${layerName(file, path)}` +
              (files.length > 1 ? `, ${fileLabel(file, i)}` : "");
          container.append(el(
              "section", {class: "part", style: "max-width:640px"},
              el("h4", {style: "margin-bottom:8px"}, title),
              table(
                  [t("unit"), t("clinic.what"), t("step"), t("rate")],
                  list.map(
                      (d) =>
                          [d.unit,
                           t(d.born ? `clinic.${what}.born` :
                                 d.step === null ? "clinic.rare" :
                                 what === "dead" ? "clinic.died" :
                                                   "clinic.fellsilent"),
                           d.born ? null : d.step, d.born || !isNumber(d.lr) ? null : format(d.lr, {
                             maximumSignificantDigits: 3
                           })]),
                  {label: title})));
        }
      });
    }
  },
  // What the numbers were counted from.
  counted(file) {
    const c = file.counted, layers = Object.values(file.clinic);
    if (!layers.length) return null;
    const values = c && {epoch: count(c.epoch), steps: count(c.steps), counted: count(c.counted)};
    const text = [];
    if (!c || !c.steps) {
      text.push(t("clinic.counted.none"));
    } else if (c.counted === c.steps) {
      text.push(t("clinic.counted.each", values));
    } else {
      text.push(t("clinic.counted.part", values));
      const dying = Object.keys(file.clinic).filter((path) => !stillLearns(file, path));
      if (!dying.every((path) => file.clinic[path].every_step))
        text.push(t("clinic.counted.unknown"));
      else if (dying.some((path) => file.clinic[path].dead.length))
        text.push(t("clinic.counted.gradient"));
      if (dying.length < layers.length) text.push(t("clinic.counted.silent"));
    }
    return el("p", {class: "muted small", style: "margin:12px 0 0"}, text.join(" "));
  },
  summary(file, name) {
    const all = Object.entries(file.clinic);
    if (!all.length) return null;
    const share = (c) => {
      const seen = c.seen.reduce((a, b) => a + b, 0);
      return seen ? 1 - c.fired.reduce((a, b) => a + b, 0) / seen : null;
    };
    const silent =
        page.glass.files.some((f) => Object.keys(f.clinic).some((path) => stillLearns(f, path)));
    return el(
        "section", {class: "part"}, name ? el("h3", {}, name) : null,
        table(
            [
              t("layer"), t("units"), t("clinic.dead"), ...(silent ? [t("clinic.silent")] : []),
              t("clinic.sleeping"), t("clinic.zeros")
            ],
            all.map(
                ([path, c]) =>
                    [layerName(file, path), c.units,
                     c.dead.length ? el("strong", {class: "bad"}, count(c.dead.length)) : "0",
                     ...(silent ? [count((c.silent || []).length)] : []), count(c.sleeping.length),
                     percent(share(c))]),
            {free: true, label: `${t("units")} ${name}`}),
        this.counted(file));
  },
  map(file, path, name) {
    const lines = file.fires.filter((s) => s.fire[path] && s.fire[path].length);
    if (!lines.length) return null;
    const n = lines[0].fire[path].length;
    const colour = colours("--ramp"), c = file.clinic[path];
    // Where a silent unit still has a gradient it is no alarm.
    const lives = c && stillLearns(file, path);
    const alarm = lives ? "--muted" : "--bad";
    const never = css(alarm).match(/[\da-f]{2}/g).map((h) => parseInt(h, 16));
    const steps = lines.map((l) => l.step);
    return figure({
      title: layerName(file, path) + (name ? `: ${name}` : ""),
      note: c ? t("clinic.counts", {
        units: count(c.units),
        dead: lives ? t("clinic.silent.n", {n: count(c.silent.length)}) :
                      t("clinic.dead.n", {n: count(c.dead.length)}),
        sleeping: count(c.sleeping.length)
      }) :
                null,
      keys: colourBar(
          "--ramp", "0 %", "100 %",
          el("li", {},
             svg("svg", {width: 12, height: 10, "aria-hidden": "true"},
                 svg("rect", {width: 10, height: 10, rx: 2, fill: `var(${alarm})`})),
             t("clinic.never"))),
      body: heatmap({
        n,
        columns: steps,
        value: (r, k) => lines[k].fire[path][r],
        colour: (v) => (v === 0 ? never : colour((v || 0) / 1000)),
        rowHeight: n <= 32 ? Math.max(7, Math.min(16, 260 / n)) : Math.max(1, Math.min(6, 320 / n)),
        xlabel: t("step"),
        ylabel: t("unit"),
        label: t("clinic.map", {layer: layerName(file, path)}),
        readout: (r, k) => `${t("unit")} ${r}   ·   ${t("step")} ${count(steps[k])}   ·   ${
            t("clinic.fires", {share: percent(lines[k].fire[path][r] / 1000)})}`
      }),
      table: {
        head: [
          t("unit"), t("clinic.share.first"), t("clinic.share.last"),
          ...(c ? [t("clinic.epochshare")] : [])
        ],
        rows: () => Array.from(
            {length: n},
            (_, r) =>
                [r, percent(lines[0].fire[path][r] / 1000),
                 percent(lines[lines.length - 1].fire[path][r] / 1000),
                 ...(c ? [c.seen[r] ? percent(c.fired[r] / c.seen[r], 2) : "–"] : [])])
      },
    });
  },
});
