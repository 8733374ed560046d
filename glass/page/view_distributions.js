// The log histograms of the sketches, as ridges over time: the oldest at the back.
"use strict";

const kQuantities = {
  y: "layers",
  pre: "layers",
  dy: "layers",
  w: "parameters",
  g: "parameters"
};

register({
  name: "distributions",
  order: 6,
  has: (glass) => glass.files[0].sketches.some((s) => s.layers || s.parameters),
  render(container, glass) {
    const kinds = Object.entries(kQuantities)
                      .filter(
                          ([q, member]) => glass.files.some(
                              (f) => f.sketches.some(
                                  (s) => Object.values(s[member] || {}).some((x) => x[q]))));
    if (!kinds.length) return;
    this.quantity = kinds.some(([q]) => q === this.quantity) ? this.quantity : kinds[0][0];
    const body = el("div");
    const draw = () => body.replaceChildren(...this.all(glass));
    container.append(
        el("div", {class: "bar"},
           choice(
               t("distributions.of"), kinds.map(([q]) => [q, t("quantity." + q)]), this.quantity,
               (q) => {
                 this.quantity = q;
                 draw();
               })),
        el("p", {class: "muted small"}, t("distributions.how")), body);
    draw();
  },
  all(glass) {
    const q = this.quantity, member = kQuantities[q];
    return glass.files.map((file, which) => {
      const found = [...new Set(file.sketches.flatMap((s) => Object.keys(s[member] || {})))].filter(
          (name) => file.sketches.some((s) => s[member] && s[member][name] && s[member][name][q]));
      const order = member === "layers" ?
          file.layers.map((l) => l.path) :
          ((file.model && file.model.parameters) || []).map((p) => p.name);
      found.sort((a, b) => order.indexOf(a) - order.indexOf(b));
      return el(
          "div", {},
          glass.files.length > 1 ? el("h3", {style: "margin-bottom:16px"}, fileLabel(file, which)) :
                                   null,
          el("div", {class: "grid2"}, found.map((name) => this.ridge(file, member, name, q))));
    });
  },
  ridge(file, member, name, q) {
    const lines = file.sketches.filter(
        (s) => s[member] && s[member][name] && s[member][name][q] && s[member][name][q].hist);
    const most = 24;
    const kept = lines.length <= most ?
        lines :
        Array.from(
            {length: most}, (_, i) => lines[Math.round((i * (lines.length - 1)) / (most - 1))]);
    const sketch = (line) => line[member][name][q];
    // Only the sizes that are used, to both sides alike: what is smaller counts to the column of
    // zero.
    const share = (s, bin) => s.hist[bin] / Math.max(1, s.n);
    let inner = 30, outer = 1;
    for (const line of kept) {
      const s = sketch(line);
      let below = 0;
      for (let k = 0; k < kBins - 32; ++k) {
        const here = share(s, 32 + k) + share(s, 30 - k);
        below += here;
        if (below > 0.02) inner = Math.min(inner, k);
        if (here > 1e-3) outer = Math.max(outer, k);
      }
    }
    if (outer === 1) outer = 24;  // nothing but zeros
    inner = Math.max(0, Math.min(inner, outer - 5));
    outer = Math.min(30, outer + 1);
    // The side below zero only where there is something.
    const above = outer - inner + 1,
          side = kept.every((l) => number(sketch(l).min) >= 0) ? 0 : above,
          columns = side + 1 + above;
    const bars = (s) => {
      const row = new Array(columns).fill(0);
      for (let k = 0; k <= 30; ++k) {
        const at = k < inner ? 0 : Math.min(k, outer) - inner + 1;
        row[side + at] += share(s, 32 + k);
        if (side) row[side - at] += share(s, 30 - k);
      }
      return row;
    };
    const peak = Math.max(1e-9, ...kept.flatMap((l) => bars(sketch(l))));
    const title = member === "layers" ? layerName(file, name) : name;
    const body = responsive((width) => {
      const left = 52, right = 54, gap = Math.max(9, Math.min(18, 230 / kept.length)),
            rise = Math.max(34, 2.6 * gap), w = width - left - right;
      const top = rise + 4, h = gap * (kept.length - 1), bottom = 40;
      const x = (column) => left + (column * w) / columns;
      const parts = [];
      const mark = (at, label) => parts.push(
          svg("line", {x1: at, x2: at, y1: top - rise + 6, y2: top + h, class: "grid"}),
          text(at, top + h + 16, label, {"text-anchor": "middle"}));
      mark(x(side + 0.5), "0");
      // Powers of two at the borders of the bins; as many as there is room for.
      const every = Math.max(1, Math.ceil(40 / (w / columns)));
      for (let k = inner; k <= outer; ++k) {
        const power = k - 24;
        if (power % every || (k - inner + 0.5) * (w / columns) < 24) continue;
        const name = power === 0     ? "1" :
            power > 0 && power < 8   ? String(2 ** power) :
            power >= -2 && power < 0 ? tick(2 ** power) :
                                       "2" + powerOfTen(power).slice(2);
        mark(x(side + 1 + k - inner), name);
        if (side) mark(x(side - (k - inner)), "−" + name);
      }
      const fill = css("--bg");
      kept.forEach((line, i) => {
        const s = sketch(line), base = top + gap * i;
        let path = "";
        bars(s).forEach((v, column) => {
          path += `${column ? "L" : "M"}${x(column + 0.5).toFixed(1)} ${
              (base - Math.sqrt(v / peak) * rise).toFixed(1)}`;
        });
        const stroke = shade(i, kept.length);
        parts.push(svg("path", {
          d: `${path}L${x(columns - 0.5)} ${base}L${x(0.5)} ${base}Z`,
          fill,
          "fill-opacity": .82
        }));
        parts.push(svg(
            "path",
            {d: path, fill: "none", stroke, "stroke-width": 1.4, "stroke-linejoin": "round"},
            svg("title", {}, `${t("step")} ${count(line.step)}: ${num(s.mean)} ± ${num(s.std)}`)));
        // The share that is exactly zero, beside its ridge.
        parts.push(svg("rect", {
          x: width - right + 8,
          y: base - Math.min(gap, 8) + 1,
          width: Math.max(0, number(s.zeros) || 0) * (right - 10),
          height: Math.max(2, Math.min(gap, 8) - 2),
          fill: stroke
        }));
        if (s.bad > 0)
          parts.push(
              svg("circle", {cx: left - 4, cy: base - 3, r: 3, fill: "var(--bad)"},
                  svg("title", {}, t("distributions.bad", {n: count(s.bad)}))));
      });
      const named = Math.max(1, Math.ceil(kept.length / 7));
      kept.forEach((line, i) => {
        if ((i % named === 0 && (kept.length - 1 - i >= named || i === 0)) || i === kept.length - 1)
          parts.push(text(left - 10, top + gap * i + 3, tick(line.step), {"text-anchor": "end"}));
      });
      parts.push(
          text(left + w / 2, top + h + 34, t("distributions.axis"), {"text-anchor": "middle"}),
          text(width - right + 8, top + h + 16, t("distributions.zeros"), {}));
      parts.push(svg(
          "text", {transform: `translate(9 ${top + h / 2}) rotate(-90)`, "text-anchor": "middle"},
          t("step")));
      return chart(width, top + h + bottom, parts);
    }, `${title}, ${t("quantity." + q)}`);
    const end = sketch(kept[kept.length - 1]);
    return figure({
      title,
      note: `${num(end.mean)} ± ${num(end.std)}, ${
          t("distributions.from", {low: num(end.min), high: num(end.max)})}`,
      body,
      table: {
        head: [
          t("step"), t("mean"), t("std"), t("min"), t("max"), t("distributions.zeros.share"),
          t("distributions.badcount")
        ],
        rows: () => lines.map((l) => {
          const s = sketch(l);
          return [l.step, s.mean, s.std, s.min, s.max, percent(number(s.zeros)), s.bad || 0];
        })
      }
    });
  },
});
