// How the decision boundary moved, for data in the plane: a film with a scrubber.
"use strict";

register({
  name: "boundary",
  order: 10,
  has: (glass) => glass.files.some((f) => f.boundary.length > 0),
  render(container, glass) {
    clearInterval(this.timer);
    this.timer = null;
    this.films = [];
    const files = glass.files.filter((f) => f.boundary.length > 0);
    container.append(
        el("div", {class: files.length > 1 ? "grid2" : ""},
           files.map(
               (file) => this.film(
                   file, files.length > 1 ? fileLabel(file, glass.files.indexOf(file)) : ""))));
  },
  film(file, name) {
    const frames = file.boundary, first = frames[0],
          points = (frames.find((f) => f.points) || {}).points || [];
    const data = frames.map((f) => bytes(f.p));
    const two = first.classes <= 2, signed = colours("--signed");
    const classColour = (k) => rgb(two ? signed(k ? 0.97 : 0.03) : this.hue(k, first.classes, 1));
    const fill = (v) => (two ? signed(0.12 + (0.76 * v) / 255) : this.hue(v, first.classes, 0.35));
    let now = frames.length - 1;
    const image = svg("image", {preserveAspectRatio: "none"});
    const label = el("span", {class: "small", style: "min-width:96px", "aria-live": "off"});
    const slider = el("input", {
      type: "range",
      min: 0,
      max: frames.length - 1,
      value: now,
      "aria-label": t("boundary.scrub"),
      oninput: () => together(Number(slider.value))
    });
    const go = (i) => {
      now = i;
      const f = frames[i];
      // The file's first row is the lowest y.
      const canvas = canvasOf(f.nx, f.ny, (pixels) => {
        for (let r = 0; r < f.ny; ++r)
          for (let c = 0; c < f.nx; ++c)
            pixels.set([...fill(data[i][(f.ny - 1 - r) * f.nx + c]), 255], 4 * (r * f.nx + c));
      });
      image.setAttribute("href", canvas.toDataURL());
      slider.value = i;
      slider.setAttribute("aria-valuetext", `${t("step")} ${count(f.step)}`);
      label.textContent = `${t("step")} ${count(f.step)}`;
    };
    // Films beside each other run together.
    const together = (i) => {
      for (const film of this.films)
        film.go(Math.round((i / Math.max(1, frames.length - 1)) * (film.n - 1)));
    };
    this.films.push({go, n: frames.length});
    const play =
        el("button", {
          type: "button",
          onclick: () => {
            if (this.timer) {
              stop();
              return;
            }
            play.textContent = t("boundary.pause");
            if (now === frames.length - 1) together(0);
            this.timer = setInterval(() => {
              if (now + 1 < frames.length && play.isConnected)
                together(now + 1);
              else
                stop();
            }, Math.max(60, Math.min(400, 6000 / frames.length)));
          }
        },
           t("boundary.play"));
    const stop = () => {
      clearInterval(this.timer);
      this.timer = null;
      play.textContent = t("boundary.play");
    };
    const body = responsive((width) => {
      const left = 40, top = 6, bottom = 40, w = Math.min(560, width - left - 8),
            span = (first.y[1] - first.y[0]) / (first.x[1] - first.x[0]);
      const h = Math.max(160, Math.min(520, w * span));
      const x = (v) => left + ((v - first.x[0]) / (first.x[1] - first.x[0])) * w,
            y = (v) => top + ((first.y[1] - v) / (first.y[1] - first.y[0])) * h;
      for (const [k, v] of Object.entries({x: left, y: top, width: w, height: h}))
        image.setAttribute(k, v);
      const parts = [image];
      const step = Math.max(1, Math.ceil(points.length / 600));
      for (let i = 0; i < points.length; i += step) {
        const [px, py, k] = points[i];
        if (isNumber(px) && isNumber(py))
          parts.push(svg("circle", {
            cx: x(px).toFixed(1),
            cy: y(py).toFixed(1),
            r: points.length > 800 ? 2.6 : 3.4,
            fill: classColour(k),
            stroke: "var(--panel)",
            "stroke-width": 1
          }));
      }
      for (const v of ticks(...first.x, Math.min(6, w / 70)))
        parts.push(text(x(v), top + h + 17, tick(v), {"text-anchor": "middle"}));
      for (const v of ticks(...first.y, 5))
        parts.push(text(left - 7, y(v) + 4, tick(v), {"text-anchor": "end"}));
      parts.push(
          text(left + w / 2, top + h + 34, "x₁", {"text-anchor": "middle"}),
          text(10, top + h / 2, "x₂", {"text-anchor": "middle"}));
      return chart(width, top + h + bottom, parts);
    }, t("boundary.map"));
    go(now);
    const share = (i) => {
      const d = data[i];
      let n = 0;
      for (const v of d) n += two ? (v > 127 ? 1 : 0) : 0;
      return n / d.length;
    };
    return figure({
      title: t("boundary.map") + (name ? `: ${name}` : ""),
      note: t(two ? "boundary.note" : "boundary.note.many"),
      keys: two ?
          colourBar("--signed", t("boundary.class", {k: 0}), t("boundary.class", {k: 1})) :
          keyList(Array.from(
              {length: first.classes},
              (_, k) => ({label: t("boundary.class", {k}), color: classColour(k), dot: true}))),
      body:
          el("div", {}, body,
             el("div", {
               style: "display:flex;gap:12px;align-items:center;max-width:608px;padding-left:40px",
               class: "bar"
             },
                frames.length > 1 ? [play, el("div", {style: "flex:1;min-width:120px"}, slider)] :
                                    null,
                label)),
      table: {
        head: two ? [t("step"), t("boundary.share")] : [t("step")],
        rows: () => frames.map((f, i) => (two ? [f.step, percent(share(i))] : [f.step]))
      }
    });
  },
  // Many classes need many hues, of one lightness.
  hue(k, n, strength) {
    const ground = css("--panel").match(/[\da-f]{2}/g).map((h) => parseInt(h, 16)),
          angle = (2 * Math.PI * k) / n + 4.1;
    const colour = [0, 2.094, 4.189].map((shift) => 128 + 92 * Math.cos(angle - shift));
    return colour.map((c, i) => Math.round(ground[i] + (c - ground[i]) * strength));
  },
});
