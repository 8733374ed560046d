// Charts: what the views draw with. Each is drawn for the width that it has, and again when that
// changes, so that its text keeps its size.
"use strict";

// An element that draw(width) fills.
function responsive(draw, label) {
  const box = el("div", {class: "draw"});
  let drawn = 0;
  const redraw = () => {
    const width = page.paper || box.clientWidth;
    if (!width || Math.abs(width - drawn) < 2) return;
    drawn = width;
    box.replaceChildren(draw(width));
    if (label && box.firstChild.tagName === "svg") {
      box.firstChild.setAttribute("role", "img");
      box.firstChild.setAttribute("aria-label", label);
    }
  };
  new ResizeObserver(redraw).observe(box);
  if (page.paper) redraw();
  return box;
}
function canvasOf(width, height, paint) {
  const canvas = el("canvas", {width, height});
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  paint(image.data);
  context.putImageData(image, 0, 0);
  return canvas;
}
function chart(width, height, ...children) {
  return svg(
      "svg", {class: "chart", width, height, viewBox: `0 0 ${width} ${height}`}, ...children);
}
function text(x, y, value, attributes = {}) {
  return svg("text", {x, y, ...attributes}, value);
}
// As much of a name as fits, its whole in a tool tip.
function cut(name, width) {
  const fits = Math.max(3, Math.floor(width / 6.6));
  return name.length <= fits ? name : name.slice(0, fits - 1) + "…";
}
function ticks(low, high, n) {
  if (!(high > low)) return [low];
  const raw = (high - low) / Math.max(1, n), unit = 10 ** Math.floor(Math.log10(raw));
  const step = unit * [1, 2, 5, 10].find((f) => f * unit >= raw);
  const all = [];
  for (let v = Math.ceil(low / step) * step; v <= high + step * 1e-9; v += step)
    all.push(Math.abs(v) < step * 1e-9 ? 0 : v);
  return all;
}
function range(values) {
  let low = Infinity, high = -Infinity;
  for (const v of values) {
    if (!isNumber(v)) continue;
    if (v < low) low = v;
    if (v > high) high = v;
  }
  return low <= high ? [low, high] : [0, 1];
}
function keyList(keys) {
  return el(
      "ul", {class: "keys"},
      keys.map(
          ({label, color, dash, dot}) =>
              el("li", {},
                 svg("svg", {width: 22, height: 10, "aria-hidden": "true"},
                     dot ? svg("rect", {x: 5, y: 0, width: 10, height: 10, rx: 2, fill: color}) :
                           svg("line", {
                             x1: 0,
                             x2: 22,
                             y1: 5,
                             y2: 5,
                             stroke: color,
                             "stroke-width": 2.5,
                             "stroke-dasharray": dash || null
                           })),
                 label)));
}
// A colour scale: low ▭ high.
function colourBar(name, low, high, more) {
  const colour = colours(name);
  const stops = [];
  for (let i = 0; i <= 8; ++i) stops.push(rgb(colour(i / 8)));
  return el(
      "ul", {class: "keys"},
      el("li", {}, low, el("span", {
           style:
               `display:inline-block;width:110px;height:10px;border-radius:3px;background:linear-gradient(90deg,${
                   stops.join(",")})`
         }),
         high),
      more || null);
}

// A matrix as colours, rows from the top; columns are points in time.
//   rows: names or null; columns: steps; value(row, column); colour(value) -> [r, g, b];
//   readout(row, column) -> text
function heatmap(
    {rows, n, columns, value, colour, xlabel, ylabel, readout, rowHeight, label, mark}) {
  const out = readout ? el("p", {class: "readout"}, " ") : null;
  const height = Math.max(rowHeight ? rowHeight * n : Math.min(300, Math.max(90, 5 * n)), 24);
  const drawing = responsive((width) => {
    const left =
              rows ? Math.min(Math.max(...rows.map((r) => r.length)) * 6.8 + 10, width * 0.36) : 44,
          right = 8, top = 4, bottom = 38;
    const w = Math.max(40, width - left - right);
    const image = canvasOf(columns.length, n, (data) => {
      for (let r = 0; r < n; ++r) {
        for (let c = 0; c < columns.length; ++c)
          data.set([...colour(value(r, c)), 255], 4 * (r * columns.length + c));
      }
    });
    const parts = [svg("image", {
      href: image.toDataURL(),
      x: left,
      y: top,
      width: w,
      height,
      preserveAspectRatio: "none",
      class: "pixel"
    })];
    if (rows) {
      rows.forEach(
          (name, r) => parts.push(
              text(
                  left - 8, top + (height / n) * (r + 0.5) + 4, cut(name, left - 12),
                  {"text-anchor": "end", class: "ink"}),
              ));
      for (let r = 1; r < n; ++r)
        parts.push(svg("line", {
          x1: left,
          x2: left + w,
          y1: top + (height / n) * r,
          y2: top + (height / n) * r,
          stroke: "var(--bg)",
          "stroke-width": 2
        }));
    } else {
      for (const r of ticks(0, n - 1, Math.min(4, height / 40)).filter(Number.isInteger))
        parts.push(
            text(left - 8, top + (height / n) * (r + 0.5) + 4, count(r), {"text-anchor": "end"}));
      if (ylabel)
        parts.push(svg(
            "text",
            {transform: `translate(11 ${top + height / 2}) rotate(-90)`, "text-anchor": "middle"},
            ylabel));
    }
    // Columns are evenly wide: labelled by their step.
    const wanted = Math.max(2, Math.min(7, Math.floor(w / 90)));
    for (let i = 0; i < wanted; ++i) {
      const c = Math.round(((columns.length - 1) * i) / (wanted - 1));
      const x = left + (w * (c + 0.5)) / columns.length;
      parts.push(text(x, top + height + 16, tick(columns[c]), {
        "text-anchor": columns.length > 20 && i === 0 ? "start" :
            columns.length > 20 && i === wanted - 1   ? "end" :
                                                        "middle"
      }));
    }
    parts.push(text(left + w / 2, top + height + 33, xlabel, {"text-anchor": "middle"}));
    if (mark)
      parts.push(...mark({
        x: (c) => left + (w * (c + 0.5)) / columns.length,
        y: (r) => top + (height / n) * (r + 0.5),
        left,
        top,
        w,
        height
      }));
    const drawn = chart(width, height + top + bottom, parts);
    if (out) {
      drawn.addEventListener("pointermove", (event) => {
        const box = drawn.getBoundingClientRect();
        const c = Math.floor(((event.clientX - box.left - left) / w) * columns.length);
        const r = Math.floor(((event.clientY - box.top - top) / height) * n);
        out.textContent = r >= 0 && r < n && c >= 0 && c < columns.length ? readout(r, c) : " ";
      });
    }
    return drawn;
  }, label);
  return el("div", {}, drawing, out);
}

// Steps and epochs are whole; so is what stands at their axis.
const kWhole =
    [1, 2, 5].flatMap((f) => Array.from({length: 12}, (_, i) => f * 10 ** i)).sort((a, b) => a - b);
function powers(low, high) {
  const all = [];
  const first = Math.ceil(Math.log10(low) - 1e-9), last = Math.floor(Math.log10(high) + 1e-9);
  for (let p = first; p <= last; p += Math.max(1, Math.ceil((last - first) / 7))) all.push(10 ** p);
  return all;
}

// Lines over steps, by uPlot.
//   series: [{label, x: [], y: [], color, width, dash, error: [], dots}], bands: [{from, to, color,
//   label}]
function linePlot(
    {series, xlabel, ylabel, log, bands = [], height = 260, label, low, high, plain}) {
  const usable = series.filter((s) => s.y.some(isNumber));
  const out = el("p", {class: "readout"}, " ");
  const xs = [...new Set(usable.flatMap((s) => s.x))].sort((a, b) => a - b);
  const place = new Map(xs.map((x, i) => [x, i]));
  const column = (s, values) => {
    const c = new Array(xs.length).fill(null);
    s.x.forEach((x, i) => {
      c[place.get(x)] = isNumber(values[i]) && (!log || values[i] > 0) ? values[i] : null;
    });
    return c;
  };
  const data = [xs, ...usable.map((s) => column(s, s.y))];
  const errors = usable.map((s) => (s.error ? column(s, s.error) : null));
  const line = css("--grid"), muted = css("--muted"), ground = css("--bg");
  const font = "12px " + css("--sans").split(",")[0] + ", " +
      "sans-serif";
  let extent = range(data.slice(1).flat());
  usable.forEach((s, k) => {
    if (errors[k])
      extent = range([
        ...extent, ...data[k + 1].map((v, i) => v - errors[k][i]),
        ...data[k + 1].map((v, i) => v + errors[k][i])
      ]);
  });
  if (low !== undefined) extent[0] = Math.min(low, extent[0]);
  if (high !== undefined) extent[1] = Math.max(high, extent[1]);
  if (!log) {
    const pad = (extent[1] - extent[0] || Math.abs(extent[1]) || 1) * 0.06;
    extent =
        [extent[0] - (low === extent[0] ? 0 : pad), extent[1] + (high === extent[1] ? 0 : pad)];
  }
  let plot = null;
  const box = el("div", {class: "draw", role: "img", "aria-label": label || ylabel});
  const make =
      (width) =>
          new uPlot(
              {
                width,
                height,
                legend: {show: false},
                padding: [8, 26, 0, 0],
                cursor: {y: false, drag: {x: true, y: false}, points: {size: 7}},
                scales: {x: {time: false}, y: log ? {distr: 3, log: 10} : {range: extent}},
                axes: [
                  {
                    label: xlabel,
                    labelSize: 20,
                    labelFont: font,
                    size: 34,
                    font,
                    stroke: muted,
                    grid: {show: false},
                    ticks: {stroke: line, size: 5},
                    incrs: kWhole,
                    values: (u, v) => v.map(tick)
                  },
                  {
                    label: ylabel,
                    labelSize: 20,
                    labelFont: font,
                    size: plain ? 64 : 58,
                    font,
                    stroke: muted,
                    grid: {stroke: line, width: 1},
                    ticks: {show: false},
                    splits: log ? (u, i, low, high) => powers(low, high) : undefined,
                    filter: log ? (u, all) => all : undefined,
                    values: (u, v) => v.map(
                        (x) =>
                            (log ? (plain || powerOfTen)(Math.round(Math.log10(x))) :
                                   (plain || tick)(x)))
                  },
                ],
                series: [
                  {}, ...usable.map((s) => ({
                                      label: s.label,
                                      stroke: s.color,
                                      width: s.width || 2,
                                      dash: s.dash,
                                      spanGaps: true,
                                      paths: s.bars ? uPlot.paths.bars({size: [0.7, 40]}) :
                                                      undefined,
                                      fill: s.fill,
                                      points: {
                                        show: s.dots || xs.length < 3,
                                        size: 7,
                                        fill: s.hollow ? ground : s.color,
                                        stroke: s.color,
                                        width: 1.5
                                      },
                                    }))
                ],
                hooks:
                    {
                      drawClear:
                          [(u) => {
                            const {ctx, bbox} = u;
                            ctx.save();
                            for (const band of bands) {
                              const at = (v) => Math.max(
                                  bbox.top,
                                  Math.min(bbox.top + bbox.height, u.valToPos(v, "y", true)));
                              const y0 = band.to === Infinity ? bbox.top : at(band.to),
                                    y1 = band.from <= 0 && log ? bbox.top + bbox.height :
                                                                 at(band.from);
                              if (!(y1 - y0 > 1)) continue;
                              ctx.fillStyle = band.color;
                              ctx.fillRect(bbox.left, y0, bbox.width, y1 - y0);
                              ctx.fillStyle = muted;
                              ctx.font = `${12 * devicePixelRatio}px sans-serif`;
                              ctx.textAlign = "right";
                              if (y1 - y0 > 16 * devicePixelRatio)
                                ctx.fillText(
                                    band.label, bbox.left + bbox.width - 8,
                                    y0 + 15 * devicePixelRatio);
                            }
                            ctx.restore();
                          }],
                      draw:
                          [(u) => {
                            const {ctx} = u;
                            ctx.save();
                            usable.forEach((s, k) => {
                              if (!errors[k]) return;
                              // Many bars close together are drawn faintly, without ends.
                              const crowded = u.bbox.width / s.x.length < 14 * devicePixelRatio;
                              ctx.strokeStyle = s.color;
                              ctx.globalAlpha = crowded ? 0.35 : 1;
                              ctx.lineWidth = 1.5 * devicePixelRatio;
                              ctx.setLineDash([]);
                              ctx.beginPath();
                              data[k + 1].forEach((v, i) => {
                                const e = errors[k][i];
                                if (v === null || !e) return;
                                const x = u.valToPos(xs[i], "x", true), cap = 4 * devicePixelRatio;
                                for (const end of crowded ? [] : [v - e, v + e]) {
                                  const y = u.valToPos(end, "y", true);
                                  ctx.moveTo(x - cap, y);
                                  ctx.lineTo(x + cap, y);
                                }
                                ctx.moveTo(x, u.valToPos(v - e, "y", true));
                                ctx.lineTo(x, u.valToPos(v + e, "y", true));
                              });
                              ctx.stroke();
                            });
                            ctx.restore();
                          }],
                      setCursor:
                          [(u) => {
                            const i = u.cursor.idx;
                            if (i === null || i === undefined) {
                              out.textContent = " ";
                              return;
                            }
                            const parts = usable.length > 6 ? [] : usable.map((s, k) => {
                              let at = i;
                              while (at > 0 && data[k + 1][at] === null) --at;
                              return data[k + 1][at] === null ?
                                  null :
                                  `${s.label} ${
                                      plain ? plain(data[k + 1][at]) : num(data[k + 1][at])}`;
                            });
                            out.textContent = [
                              `${xlabel} ${count(xs[i])}`, ...parts.filter(Boolean)
                            ].join("   ·   ");
                          }],
                    },
              },
              data, box);
  const redraw = () => {
    const width = page.paper || box.clientWidth;
    if (!width) return;
    if (!plot)
      plot = make(width);
    else if (plot.width !== width)
      plot.setSize({width, height});
  };
  new ResizeObserver(redraw).observe(box);
  if (page.paper) redraw();
  return el("div", {}, box, out);
}

// What arrows of a graph end in: "url(#id)".
function arrowHead(id) {
  return svg(
      "defs", {},
      svg("marker", {
        id,
        viewBox: "0 0 8 8",
        refX: 7,
        refY: 4,
        markerWidth: 8,
        markerHeight: 8,
        markerUnits: "userSpaceOnUse",
        orient: "auto-start-reverse"
      },
          svg("path", {d: "M0 0.8L7 4L0 7.2Z", fill: "var(--muted)"})));
}

// The log histogram of a sketch as a small path, w x h, from (0, h); `close`: of the bins that are
// used, as many on both sides of zero.
function sparkline(sketch, w, h, attributes, close) {
  if (!sketch || !sketch.hist) return null;
  const used = sketch.hist.slice(0, kBins);
  used[31] = 0;
  const most = Math.max(1, ...used);
  let reach = 31;
  while (close && reach > 8 && used[31 - reach] < 0.01 * most && used[31 + reach] < 0.01 * most)
    --reach;
  const n = 2 * reach + 1;
  let path = `M0 ${h}`;
  for (let i = 0; i < n; ++i) {
    const y = h - Math.min(1, used[31 - reach + i] / most) * h;
    path += `L${((i * w) / n).toFixed(1)} ${y.toFixed(1)}L${(((i + 1) * w) / n).toFixed(1)} ${
        y.toFixed(1)}`;
  }
  return svg("path", {d: path + `L${w} ${h}Z`, ...attributes});
}
// The same with its axis: a chart for a panel.
function histogram(sketch, label, color) {
  return responsive((width) => {
    const h = 64, w = width - 2;
    const x = (bin) => ((bin + 0.5) * w) / kBins;
    return chart(
        width, h + 22, sparkline(sketch, w, h, {fill: color}),
        svg("line", {x1: 0, x2: w, y1: h + 0.5, y2: h + 0.5, class: "axis"}),
        [[7, "−1"], [31, "0"], [55, "1"]].map(
            ([bin, name]) =>
                [svg("line", {x1: x(bin), x2: x(bin), y1: h, y2: h + 4, class: "axis"}),
                 text(x(bin), h + 17, name, {"text-anchor": "middle"})]),
        [[17, -10], [45, 10]].map(
            ([bin, power]) =>
                text(x(bin), h + 17, `${power < 0 ? "−" : ""}2⁻¹⁰`, {"text-anchor": "middle"})));
  }, label);
}
