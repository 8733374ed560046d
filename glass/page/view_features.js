// What a picture becomes on its way through the layers, the filters that do it, and the pixels that
// matter.
"use strict";

register({
  name: "features",
  order: 9,
  has: (glass) => glass.files.some((f) => f.images.length > 0),
  render(container, glass) {
    const recorded = glass.files.flatMap(
        (file, i) =>
            file.images.map((line) => ({
                              file,
                              line,
                              label: `${glass.files.length > 1 ? fileLabel(file, i) + ", " : ""}${
                                  t("step")} ${count(line.step)}`
                            })));
    let which = recorded.length - 1, image = 0;
    const body = el("div");
    const draw = () => {
      const {file, line} = recorded[which];
      image = Math.min(image, line.pixels.length - 1);
      const thumbs =
          el("fieldset", {class: "thumbs"},
             el("legend", {class: "muted small", style: "padding:0;margin-bottom:4px"},
                t("features.choose")),
             line.pixels.map((data, i) => {
               const canvas = picture(bytes(data), line.h, line.w, line.c);
               canvas.style.width = canvas.style.height = "";
               canvas.setAttribute("aria-hidden", "true");
               return el(
                   "button", {
                     type: "button",
                     class: "thumb",
                     "aria-pressed": String(i === image),
                     "aria-label":
                         t("features.image",
                           {n: i + 1, label: String(line.labels ? line.labels[i] : "")}),
                     onclick: () => {
                       image = i;
                       draw();
                       body.querySelectorAll(".thumb")[i].focus();
                     }
                   },
                   canvas, el("span", {}, line.labels ? String(line.labels[i]) : i + 1));
             }));
      body.replaceChildren(
          thumbs, this.saliency(line, image) || "",
          el("div", {class: "layers"}, this.filters(file, line, true), this.maps(file, line, image),
             this.filters(file, line, false)));
    };
    if (recorded.length > 1)
      container.append(
          el("div", {class: "bar"},
             select(t("features.when"), recorded.map((r, i) => [i, r.label]), which, (v) => {
               which = Number(v);
               draw();
             })));
    container.append(body);
    draw();
  },
  saliency(line, i) {
    if (!line.saliency || !line.saliency[i]) return null;
    const scale = Math.max(1, Math.floor(168 / Math.max(line.h, line.w)));
    const data = bytes(line.saliency[i]), table = colourTable(0, 1);
    const per = data.length / (line.h * line.w);
    const strong = Array.from(data).map((v, k) => [v, k]).sort((a, b) => b[0] - a[0]).slice(0, 10);
    return figure({
      title: t("features.saliency"),
      note: t("features.saliency.note"),
      formula: math(M.mrow(M.mo("|"), M.mfrac(M.mi("∂L"), M.mi("∂x")), M.mo("|"))),
      body:
          el("div", {class: "pair"},
             el("div", {},
                named(
                    picture(bytes(line.pixels[i]), line.h, line.w, line.c, scale),
                    t("features.input")),
                t("features.input")),
             el("div", {},
                named(
                    plane(data, line.h, line.w, per >= 1 ? Math.floor(per) : 1, 0, table, scale),
                    t("features.saliency")),
                t("features.matters"))),
      table: {
        head: [t("features.row"), t("features.column"), t("features.of255")],
        rows: () => strong.map(([v, k]) => {
          const at = Math.floor(k / Math.max(1, per));
          return [Math.floor(at / line.w), at % line.w, v];
        })
      }
    });
  },
  maps(file, line, i) {
    const order = file.layers.map((l) => l.path);
    return Object.entries(line.maps || {})
        .sort((a, b) => order.indexOf(a[0]) - order.indexOf(b[0]))
        .map(([path, map]) => {
          const data = bytes(map.data[i]), table = colourTable(map.lo, map.hi),
                flat = map.h * map.w === 1;
          const scale =
              flat ? 16 : Math.max(1, Math.min(16, Math.floor(58 / Math.max(map.h, map.w))));
          const shown = Math.min(map.c, flat ? 512 : 64);
          const mean = (k) => {
            let sum = 0;
            for (let p = 0; p < map.h * map.w; ++p) sum += data[p * map.c + k];
            return map.lo + ((sum / (map.h * map.w)) / 255) * (map.hi - map.lo);
          };
          return figure({
            title: layerName(file, path),
            note:
                t(flat ? "features.units" : "features.map.note",
                  {n: count(map.of || map.c), shown: count(shown), size: `${map.h} × ${map.w}`}),
            keys: colourBar(
                map.lo < 0 ? "--signed" : "--ramp",
                num(map.lo < 0 ? -Math.max(Math.abs(map.lo), Math.abs(map.hi)) : map.lo),
                num(map.lo < 0 ? Math.max(Math.abs(map.lo), Math.abs(map.hi)) : map.hi)),
            body: el(
                "div", {
                  class: "maps",
                  role: "img",
                  "aria-label": t("features.maps.label", {layer: layerName(file, path)})
                },
                Array.from(
                    {length: shown}, (_, k) => plane(data, map.h, map.w, map.c, k, table, scale))),
            table: {
              head: [t("features.channel"), t("mean")],
              rows: () => Array.from({length: map.c}, (_, k) => [k, mean(k)])
            }
          });
        });
  },
  // Those that look at the picture itself can be read as pictures; the others are there on request.
  filters(file, line, first) {
    return Object.entries(line.filters || {}).filter(([, f]) => f.in <= 4 === first).map(([
                                                                                           name, f
                                                                                         ]) => {
      const data = bytes(f.data), table = colourTable(f.lo, f.hi),
            most = Math.max(Math.abs(f.lo), Math.abs(f.hi));
      const scale = Math.max(4, Math.min(12, Math.floor(44 / Math.max(f.kh, f.kw)))),
            out = Math.min(f.out, 64), ins = Math.min(f.in, 4);
      // [kh, kw, in, out]: one filter is a small picture for each of its inputs.
      const one = (o, i) => plane(data, f.kh, f.kw, f.in * f.out, i * f.out + o, table, scale);
      const value = (k) => f.lo + (data[k] / 255) * (f.hi - f.lo);
      const drawn = () => figure({title: t("features.filters", {name}), note: t("features.filters.note", {kh: f.kh, kw: f.kw, in: count(f.of_in || f.in), out: count(f.of_out || f.out), ins, outs: out}), keys: colourBar("--signed", num(-most), num(most)),
        body: el("div", {class: "maps", role: "img", "aria-label": t("features.filters", {name}), style: "gap:8px"}, Array.from({length: out}, (_, o) => el("div", {style: "display:flex;flex-direction:column;gap:1px"}, Array.from({length: ins}, (_, i) => one(o, i))))),
        table: {head: [t("features.filter"), t("features.inchannel"), t("features.values")], rows: () => Array.from({length: out * ins}, (_, r) => { const o = Math.floor(r / ins), i = r % ins; return [o, i, Array.from({length: f.kh * f.kw}, (_, p) => num(value((p * f.in + i) * f.out + o), 2)).join("  ")]; })}});
      if (first) return drawn();
      const details = el("details", {}, el("summary", {}, t("features.filters", {name})));
      details.addEventListener("toggle", () => {
        if (details.open && details.children.length === 1)
          details.append(el("div", {style: "margin-top:12px"}, drawn()));
      });
      return details;
    });
  },
});
function named(canvas, label) {
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", label);
  return canvas;
}
