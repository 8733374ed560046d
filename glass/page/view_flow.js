// How large the gradients are, layer by layer: they vanish or explode on the way back.
"use strict";

// Below and above these norms learning stalls or blows up.
const kVanishing = 1e-6, kExploding = 1e3;

register({
  name: "flow",
  order: 5,
  has: (glass) => weights(glass.files[0]).length > 0 && glass.files[0].flow.step.length > 0,
  render(container, glass) {
    const bands = [
      {from: 0, to: kVanishing, color: css("--bad-soft"), label: t("flow.vanishing")},
      {from: kExploding, to: Infinity, color: css("--bad-soft"), label: t("flow.exploding")}
    ];
    glass.files.forEach((file, which) => {
      const all = weights(file), flow = file.flow;
      if (!all.length) return;
      const suffix = glass.files.length > 1 ? `: ${fileLabel(file, which)}` : "";
      const name = (p) => layerName(file, p.layer);
      const short = all.length <= 10;
      const key = (member) => short ?
          keyList(all.map((p, i) => ({label: name(p), color: shade(i, all.length)}))) :
          el("ul", {class: "keys"}, el("li", {}, t("flow.first") + " " + name(all[0])),
             colourBar("--ramp", "", "").firstChild,
             el("li", {}, t("flow.last") + " " + name(all[all.length - 1])));
      const lines = (member) => all.map((p, i) => ({
                                          label: name(p),
                                          x: flow.step,
                                          y: flow.parameters[p.name][member],
                                          color: shade(i, all.length),
                                          width: short ? 2 : 1.25
                                        }));
      const rows = (member) => () => flow.step.map(
          (s, i) => [s, ...all.map((p) => flow.parameters[p.name][member][i] ?? null)]);
      const head = [t("step"), ...all.map(name)];

      // Of tables: what a step touches.
      for (const p of file.model.parameters) {
        const rows = ((flow.parameters[p.name] || {}).rows || []).filter(isNumber);
        if (rows.length)
          container.append(el("p", {class: "lead small"}, t("flow.rows", {
                                layer: name(p),
                                name: p.name,
                                n: count(rows.sort((a, b) => a - b)[rows.length >> 1]),
                                of: count(p.shape[0])
                              })));
      }

      // From the input to the output, at the beginning, in the middle and at the end.
      const moments = [...new Set([0, (flow.step.length - 1) >> 1, flow.step.length - 1])];
      container.append(figure({
        title: t("flow.profile") + suffix,
        note: t("flow.profile.note"),
        formula: math(M.msub(M.mi("log"), M.mn("10")), mathNorm("∂L/∂W")),
        keys: keyList(moments.map(
            (m, i) =>
                ({label: `${t("step")} ${count(flow.step[m])}`, color: shade(i, moments.length)}))),
        body: this.profile(file, all, moments),
        table: {
          head: [t("layer"), ...moments.map((m) => `${t("step")} ${count(flow.step[m])}`)],
          rows: () =>
              all.map((p) => [name(p), ...moments.map((m) => flow.parameters[p.name].g[m] ?? null)])
        }
      }));

      const values = all.map(
          (p) =>
              flow.parameters[p.name].g.map((v) => (isNumber(v) && v > 0 ? Math.log10(v) : null)));
      const [low, high] = range(values.flat());
      const colour = colours("--ramp"),
            bad = css("--bad").match(/[\da-f]{2}/g).map((h) => parseInt(h, 16));
      container.append(figure({
        title: t("flow.map") + suffix,
        note: t("flow.map.note"),
        keys: colourBar(
            "--ramp", powerOfTen(Math.floor(low)), powerOfTen(Math.ceil(high)),
            el("li", {},
               svg("svg", {width: 12, height: 10, "aria-hidden": "true"},
                   svg("rect", {width: 10, height: 10, rx: 2, fill: "var(--bad)"})),
               t("flow.none"))),
        body: heatmap({
          rows: all.map(name),
          n: all.length,
          columns: flow.step,
          rowHeight: Math.max(14, Math.min(30, 400 / all.length)),
          xlabel: t("step"),
          label: t("flow.map"),
          value: (r, c) => values[r][c],
          colour: (v) =>
              (v === null ?
                   bad :
                   colour((v - Math.floor(low)) / Math.max(1, Math.ceil(high) - Math.floor(low)))),
          readout: (r, c) => `${name(all[r])}   ·   ${t("step")} ${count(flow.step[c])}   ·   ${
              num(flow.parameters[all[r].name].g[c])}`
        }),
        table: {head, rows: rows("g")}
      }));
      container.append(figure({
        title: t("flow.lines") + suffix,
        note: t("flow.lines.note"),
        keys: key(),
        body: linePlot({
          series: lines("g"),
          xlabel: t("step"),
          ylabel: "‖∂L/∂W‖",
          log: true,
          bands,
          label: t("flow.lines"),
          height: 300
        }),
        table: {head, rows: rows("g")}
      }));
      container.append(figure({
        title: t("flow.ratio") + suffix,
        note: t("flow.ratio.note"),
        formula: math(M.mfrac(mathNorm("ΔW"), mathNorm("W"))),
        keys: key(),
        body: linePlot({
          series: lines("ratio"),
          xlabel: t("step"),
          ylabel: "‖ΔW‖ / ‖W‖",
          log: true,
          bands: [{from: 1e-4, to: 1e-2, color: css("--accent-soft"), label: t("flow.usual")}],
          label: t("flow.ratio"),
          height: 300
        }),
        table: {head, rows: rows("ratio")}
      }));
    });
  },
  profile(file, all, moments) {
    const flow = file.flow;
    const at = (p, m) => {
      const v = flow.parameters[p.name].g[m];
      return isNumber(v) && v > 0 ? Math.log10(v) : null;
    };
    return responsive((width) => {
      const left = 62, right = 12, top = 8, h = 220, bottom = all.length > 12 ? 44 : 62,
            w = width - left - right;
      let [low, high] = range(all.flatMap((p) => moments.map((m) => at(p, m))));
      low = Math.floor(low - 0.3);
      high = Math.ceil(high + 0.3);
      const x = (i) => left + ((i + 0.5) * w) / all.length,
            y = (v) => top + ((high - v) / (high - low)) * h;
      const parts = [];
      const limit = (v) => Math.max(low, Math.min(high, v));
      for (const [from, to, label] of [
               [low, Math.log10(kVanishing), "flow.vanishing"],
               [Math.log10(kExploding), high, "flow.exploding"]]) {
        const y0 = y(limit(to)), y1 = y(limit(from));
        if (y1 - y0 > 1)
          parts.push(
              svg("rect", {x: left, y: y0, width: w, height: y1 - y0, fill: "var(--bad-soft)"}),
              y1 - y0 > 15 ? text(left + w - 6, y0 + 13, t(label), {"text-anchor": "end"}) : "");
      }
      for (const v of ticks(low, high, 6).filter(Number.isInteger))
        parts.push(
            svg("line", {x1: left, x2: left + w, y1: y(v), y2: y(v), class: "grid"}),
            text(left - 8, y(v) + 4, powerOfTen(v), {"text-anchor": "end"}));
      moments.forEach((m, k) => {
        const points = all.map((p, i) => [x(i), at(p, m)]).filter(([, v]) => v !== null);
        parts.push(svg("polyline", {
          points: points.map(([px, v]) => `${px.toFixed(1)},${y(v).toFixed(1)}`).join(" "),
          fill: "none",
          stroke: shade(k, moments.length),
          "stroke-width": 2
        }));
        for (const [px, v] of points)
          parts.push(svg(
              "circle",
              {cx: px, cy: y(v), r: all.length > 30 ? 2 : 3.5, fill: shade(k, moments.length)}));
      });
      const every = Math.max(
          1,
          Math.ceil(
              (Math.min(90, Math.max(...all.map((p) => (p.layer || p.name).length)) * 6.8 + 12) *
               all.length) /
              w));
      all.forEach((p, i) => {
        if (i % every) return;
        const layer = file.byPath.get(p.layer);
        parts.push(text(
            x(i), top + h + 18, cut(p.layer || p.name, (w / all.length) * every),
            {"text-anchor": "middle", class: "ink"}));
        if (all.length <= 12 && layer && w / all.length > 50)
          parts.push(text(
              x(i), top + h + 34, cut(layer.type || "", (w / all.length) * every),
              {"text-anchor": "middle"}));
      });
      parts.push(
          text(left + w / 2, top + h + bottom - 6, t("flow.axis"), {"text-anchor": "middle"}));
      parts.push(svg(
          "text", {transform: `translate(12 ${top + h / 2}) rotate(-90)`, "text-anchor": "middle"},
          "‖∂L/∂W‖"));
      return chart(width, top + h + bottom, parts);
    }, t("flow.profile"));
  },
});
