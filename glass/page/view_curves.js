// The loss and the metrics with their standard errors, the rate, and where the time went.
"use strict";

register({
  name: "curves",
  order: 7,
  has: (glass) => glass.files.some((f) => f.steps.loss.length > 0 || f.epoch.length > 0),
  render(container, glass) {
    const files = glass.files;
    const dash = (i, valid) => (i ? (valid ? [2, 3] : [7, 4]) : undefined);
    const accent = css("--accent"), muted = css("--muted"), ink = css("--ink"),
          pale = rgb(colours("--ramp")(page.theme === "dark" ? 0.5 : 0.33));
    const suffix = (i) => (files.length > 1 ? `, ${fileLabel(files[i], i)}` : "");
    const series = [];
    // One measure of file f over its epochs, or nothing.
    const curve = (f, i, name, x, most) => {
      const lines = f.epoch.filter((e) => e.values && isNumber(e.values[name]));
      if (!lines.length) return [];
      const valid = name.startsWith("valid_");
      return [{
        label: metricName(name) + suffix(i),
        x: lines.map((e) => e[x]),
        y: lines.map((e) => e.values[name]),
        color: valid ? (i ? muted : ink) : (i ? muted : accent),
        dash: dash(i, valid),
        dots: lines.length < most,
        hollow: valid,
        error: lines.map((e) => (e.errors && e.errors[name]) || null)
      }];
    };
    files.forEach((f, i) => {
      if (f.steps.loss.length)
        series.push({
          label: t("curves.steploss") + suffix(i),
          x: f.steps.step,
          y: f.steps.loss,
          color: i ? css("--line") : pale,
          width: 1.25
        });
      for (const name of ["loss", "train_loss", "valid_loss"]) {
        series.push(...curve(f, i, name, "step", 60));
      }
    });
    const keys = (all) => keyList(
        all.map((s) => ({label: s.label, color: s.color, dash: s.dash ? s.dash.join(" ") : null})));
    const rows = (all) => () => {
      const xs = [...new Set(all.flatMap((s) => s.x))].sort((a, b) => a - b);
      const maps = all.map((s) => new Map(s.x.map((x, i) => [x, s.y[i]])));
      return xs.map((x) => [x, ...maps.map((m) => m.get(x) ?? null)]);
    };
    const head = (all) => [t("step"), ...all.map((s) => s.label)];
    // Logarithmic where it fell far.
    const [least, most] = range(series.flatMap((s) => s.y));
    let logLoss = least > 0 && most > 30 * least;
    const body = el("div");
    const drawLoss = () => body.replaceChildren(linePlot({
      series,
      xlabel: t("step"),
      ylabel: t("loss"),
      log: logLoss,
      label: t("curves.loss"),
      height: 320
    }));
    if (series.length) {
      container.append(figure({
        title: t("curves.loss"),
        note: t("curves.loss.note"),
        keys: [
          el("div", {class: "bar"},
             choice(
                 t("scale"), [["linear", t("linear")], ["log", t("log")]],
                 logLoss ? "log" : "linear",
                 (v) => {
                   logLoss = v === "log";
                   drawLoss();
                 })),
          keys(series)
        ],
        body,
        table: {head: head(series), rows: rows(series)}
      }));
      drawLoss();
    }
    // The other metrics; training and validation of one in one chart.
    const names = new Set(files.flatMap((f) => f.epoch.flatMap((e) => Object.keys(e.values || {})))
                              .filter((n) => !/^(train_|valid_)?loss$/.test(n))
                              .map((n) => n.replace(/^(train|valid)_/, "")));
    const grid = el("div", {class: "grid2"});
    for (const base of names) {
      const lines = [];
      files.forEach((f, i) => {
        for (const name of [base, "train_" + base, "valid_" + base]) {
          lines.push(...curve(f, i, name, "epoch", 40));
        }
      });
      if (!lines.length) continue;
      const errors = lines.map((l) => l.error.some((e) => e));
      grid.append(figure({
        title: capital(baseName(base)),
        note: errors.some(Boolean) ? t("curves.metric.note") : null,
        keys: keys(lines),
        body: linePlot({
          series: lines,
          xlabel: t("epoch"),
          ylabel: baseName(base),
          plain: isShare(base) ? (v) => percent(v, 1) : null,
          label: baseName(base)
        }),
        table: {head: [t("epoch"), ...lines.map((l) => l.label)], rows: rows(lines)}
      }));
    }
    const rates = files
                      .map((f, i) => ({
                             label: t("rate") + suffix(i),
                             x: f.steps.step,
                             y: f.steps.lr,
                             color: i ? muted : accent,
                             dash: dash(i)
                           }))
                      .filter((s) => s.y.some(isNumber));
    if (rates.length) {
      grid.append(figure({
        title: t("curves.rate"),
        keys: rates.length > 1 ? keys(rates) : null,
        body: linePlot(
            {series: rates, xlabel: t("step"), ylabel: t("rate"), low: 0, label: t("curves.rate")}),
        table: {head: head(rates), rows: rows(rates)}
      }));
    }
    container.append(grid);
    files.forEach((f, i) => {
      const drawn = this.phases(f, suffix(i));
      if (drawn) container.append(drawn);
    });
  },
  // Where a second goes: one bar for the run, and its parts over time.
  phases(file, suffix) {
    const names = ["data", "forward", "backward", "step"];
    const sums =
        names.map((n) => (file.steps.phases[n] || []).filter(isNumber).reduce((a, b) => a + b, 0));
    const total = sums.reduce((a, b) => a + b, 0);
    if (!(total > 0))
      return file.steps.loss.length ?
          el("section", {class: "part"}, el("h3", {}, t("curves.phases") + suffix),
             el("p", {class: "muted"}, t("curves.phases.none"))) :
          null;
    const colour = (k) => shade(k, names.length);
    const body = responsive((width) => {
      const parts = [];
      let x = 0;
      sums.forEach((s, k) => {
        const w = (s / total) * width;
        parts.push(
            svg("rect", {x, y: 0, width: Math.max(0, w - 2), height: 34, rx: 3, fill: colour(k)}));
        const shown = colour(k).match(/\d+/g).map(Number);
        if (w > 44)
          parts.push(
              svg("text", {
                x: x + w / 2 - 1,
                y: 22,
                "text-anchor": "middle",
                style: `fill:${inkOn(shown)};font-weight:600`
              },
                  percent(s / total, 0)));
        x += w;
      });
      for (let p = 0; p <= 100; p += 25)
        parts.push(text(
            (width * p) / 100, 52, `${p} %`,
            {"text-anchor": p === 0 ? "start" :
                 p === 100          ? "end" :
                                      "middle"}));
      parts.push(text(width / 2, 72, t("curves.phases.axis"), {"text-anchor": "middle"}));
      return chart(width, 78, parts);
    }, t("curves.phases"));
    return figure({
      title: t("curves.phases") + suffix,
      note: t("curves.phases.note", {time: seconds(total)}),
      keys: keyList(names.map(
          (n, k) =>
              ({label: `${t("phase." + n)} ${seconds(sums[k])}`, color: colour(k), dot: true}))),
      body,
      table: {
        head: [t("step"), ...names.map((n) => `${t("phase." + n)} (s)`)],
        rows: () => file.steps.step.map(
            (s, i) => [s, ...names.map((n) => (file.steps.phases[n] || [])[i] ?? null)])
      }
    });
  },
});
