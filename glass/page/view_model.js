// The layers: their shapes, what they hold, compute and keep.
"use strict";

register({
  name: "model",
  order: 11,
  has: (glass) => glass.files.some((f) => f.model),
  render(container, glass) {
    glass.files.filter((f) => f.model).forEach((file, i, all) => {
      const suffix = all.length > 1 ? `: ${fileLabel(file, i)}` : "";
      const sums = new Map();
      for (const p of file.model.parameters || [])
        sums.set(p.layer, (sums.get(p.layer) || 0) + (p.count || 0));
      const leaves = file.layers.filter((l) => l.leaf !== false);
      const total = (f) => leaves.reduce((n, l) => n + (f(l) || 0), 0);
      const held = (l) => sums.get(l.path) || 0;
      const parameters = [...sums.values()].reduce((a, b) => a + b, 0);
      const flops = total((l) => l.flops), kept = total((l) => l.bytes);
      container.append(
          el("dl", {class: "tiles"},
             [
               [t("parameters"), short(parameters), count(parameters)],
               flops ? [t("model.flops"), short(flops), t("model.flops.note")] : null,
               kept ? [t("model.memory"), memory(kept), t("model.memory.note")] : null,
               [t("model.layers"), count(leaves.length), null]
             ].filter(Boolean)
                 .map(
                     ([name, value, small]) =>
                         el("div", {}, el("dt", {}, name),
                            el("dd", {}, value, small ? el("small", {}, small) : null)))));
      const bars = [
        ["parameters", held, short], ["model.flops", (l) => l.flops, short],
        ["model.memory", (l) => l.bytes, memory]
      ].filter(([, f]) => total(f) > 0);
      const name = (l) => layerName(file, l.path);
      container.append(figure({
        title: t("model.where") + suffix,
        note: t("model.where.note"),
        body: this.bars(leaves, bars, name),
        table: {
          head: [t("layer"), t("shape"), t("parameters"), t("model.flops"), t("model.memory")],
          rows: () => leaves.map(
              (l) =>
                  [name(l), shape(l.shape), held(l), l.flops ?? null,
                   l.bytes ? memory(l.bytes) : null])
        }
      }));
      const ps = file.model.parameters || [];
      if (ps.length)
        container.append(
            el("section", {class: "part"}, el("h3", {}, t("model.parameters") + suffix),
               table(
                   [t("model.name"), t("layer"), t("shape"), t("model.count"), t("model.trained")],
                   ps.map(
                       (p) =>
                           [p.name, layerName(file, p.layer), shape(p.shape), p.count,
                            t(p.trained === false ? "no" : "yes")]),
                   {label: t("model.parameters") + suffix})));
      if (file.model.summary)
        container.append(
            el("section", {class: "part"}, el("h3", {}, t("model.summary") + suffix),
               el("pre", {tabindex: 0, role: "region", "aria-label": t("model.summary") + suffix},
                  file.model.summary)));
    });
  },
  // One row a layer, one column a quantity; a bar's length is its share.
  bars(leaves, columns, name) {
    return responsive((width) => {
      const narrow = width < 560, left = narrow ? 0 : Math.min(280, width * 0.34),
            rowHeight = narrow ? 44 : 26, top = 22;
      const w = (width - left) / columns.length;
      const parts = columns.map(([key], k) => text(left + k * w, 12, t(key)));
      const most = columns.map(([, f]) => Math.max(1, ...leaves.map((l) => f(l) || 0)));
      leaves.forEach((l, r) => {
        const y = top + r * rowHeight, at = y + (narrow ? 20 : 0);
        parts.push(text(
            narrow ? 0 : left - 12, y + 14, cut(name(l), narrow ? width : left - 14),
            {class: "ink", "text-anchor": narrow ? "start" : "end"}));
        columns.forEach(([, f, show], k) => {
          const v = f(l) || 0, room = w - 64;
          parts.push(svg("rect", {
            x: left + k * w,
            y: at + 4,
            width: Math.max(v ? 1 : 0, (v / most[k]) * room),
            height: 12,
            rx: 2,
            fill: "var(--accent)"
          }));
          parts.push(text(left + k * w + (v / most[k]) * room + 6, at + 14, v ? show(v) : "–"));
        });
      });
      return chart(width, top + leaves.length * rowHeight + 4, parts);
    }, t("model.where"));
  },
});
function memory(bytes) {
  if (!isNumber(bytes)) return "–";
  for (const [size, name] of [[2 ** 30, "GB"], [2 ** 20, "MB"], [2 ** 10, "kB"]])
    if (bytes >= size) return `${format(bytes / size, {maximumSignificantDigits: 3})} ${name}`;
  return `${count(bytes)} B`;
}
