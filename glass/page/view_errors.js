// What is taken for what: the confusion matrix, its images, and the mistakes that were made with
// the most confidence.
"use strict";

// Why `truth` is taken for `said`: sentences.
function cellReasons(m, truth, said) {
  const words = {truth: m.classes[truth], said: m.classes[said]}, reasons = [];
  const says = m.confusion.reduce((n, row) => n + row[said], 0);
  const are = m.confusion[said].reduce((a, b) => a + b, 0), right = m.confusion[said][said];
  // Said for others far more often than others are said for it.
  if (says - right > 2 * (are - right) && 50 * says > 51 * are)
    reasons.push(t("errors.toooften", {...words, n: count(says), are: count(are)}));
  const [near, of] = (m.nearer || {})[`${truth},${said}`] || [0, 0];
  if (of > 0)
    reasons.push(
        t(2 * near >= of ? "errors.looksalike" : "errors.lastlayer",
          {...words, n: of, near: count(near), far: count(of - near), of: count(of)}));
  return reasons;
}
// The picture of an example, and the classes that it is given to with the most confidence.
function shot(m, image) {
  const name = (k) => m.classes[k] ?? String(k);
  const said = name(image.top[0] ? image.top[0][0] : "?");
  // What is no picture is shown by its numbers.
  let shown =
      el("p", {class: "numbers"}, (image.x || []).slice(0, 6).map((v) => el("span", {}, num(v))),
         (image.x || []).length > 6 ? "…" : null);
  if (image.pixels && m.h > 0)
    shown = pictured(
        picture(bytes(image.pixels), m.h, m.w, m.c || 1),
        t("errors.image", {truth: name(image.label), said}));
  return [
    shown,
    el("div", {class: "top"},
       image.top.slice(0, 3).map(
           ([k, p], i) =>
               [el("span", {
                  class: "name",
                  title: name(k),
                  style: k === image.label ? "font-weight:600" : null
                },
                   name(k)),
                el("i", {}, el("b", {
                     class: i === 0 && k !== image.label ? "wrong" : null,
                     style: `width:${100 * (number(p) || 0)}%`
                   })),
                el("span", {class: "n"}, percent(number(p), 0))]))
  ];
}
// As large as its place.
function pictured(canvas, label) {
  canvas.style.width = canvas.style.height = "";
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", label);
  return canvas;
}
function shotItem(m, image, ...children) {
  return el(
      "li",
      {class: "shot", "data-label": image.label, "data-said": image.top[0] ? image.top[0][0] : ""},
      children);
}
// Wrong examples of a cell with what speaks for the mistake, and the nearest ones of both classes.
function reasonRows(m, images, most = images.length) {
  const why = images.map((image) => (m.why || {})[image.index]);
  if (!m.h || !images.length || !why.every(Boolean)) return null;
  const said = m.classes[images[0].top[0][0]], truth = m.classes[images[0].label];
  // The root of what a pixel speaks: few large ones do not hide the others.
  const signed = colours("--signed"), table = Array.from({length: 256}, (_, i) => {
    const v = (i - 128) / 127.5;  // 0 is the byte 128
    return signed(0.5 + Math.sign(v) * Math.sqrt(Math.abs(v)) / 2);
  });
  const neighbour = (found, name) => {
    const pixels = found && (m.pictures || {})[found[0]];
    return el("div", {}, !pixels ? "–" : [
      pictured(picture(bytes(pixels), m.h, m.w, m.c || 1), t("errors.nearest", {name})),
      el("span", {class: "muted"}, t("errors.distance", {d: num(number(found[1]))}))
    ]);
  };
  const speaks = why[0].speaks !== undefined;
  return el(
      "div", {class: "reasons", style: `--columns:${speaks ? 4 : 3}`},
      el("div", {class: "head"}, el("span", {}, t("errors.theimage")),
         speaks ? el("span", {}, t("errors.speaks", {said, truth})) : null,
         el("span", {}, t("errors.nearest", {name: said})),
         el("span", {}, t("errors.nearest", {name: truth}))),
      el("ul", {},
         images.slice(0, most).map(
             (image, i) => shotItem(
                 m, image, el("div", {}, shot(m, image)),
                 speaks ? el("div", {},
                             pictured(
                                 plane(bytes(why[i].speaks), m.h, m.w, 1, 0, table, 1),
                                 t("errors.speaks", {said, truth}))) :
                          null,
                 neighbour(why[i].said, said), neighbour(why[i].label, truth)))));
}

register({
  name: "errors",
  order: 8,
  has: (glass) => glass.files.some((f) => f.mistakes),
  render(container, glass) {
    const runs = glass.files.filter((f) => f.mistakes);
    runs.forEach(
        (file) => this.one(
            container, file, runs.length > 1 ? fileLabel(file, glass.files.indexOf(file)) : ""));
  },
  one(container, file, name) {
    const m = file.mistakes;
    const sums = m.confusion.map((row) => row.reduce((a, b) => a + b, 0));
    const right = m.confusion.reduce((n, row, i) => n + row[i], 0),
          total = sums.reduce((a, b) => a + b, 0);
    const most = Math.max(1, ...m.confusion.flatMap((row, i) => row.filter((_, j) => i !== j)));
    const colour = colours("--ramp");
    const long = m.classes.some((c) => c.length > 4) ? " long" : "";
    const shots = el("div", {"aria-live": "polite", class: "shown-cell"});
    const cell = (truth, said) => {
      const n = m.confusion[truth][said];
      const right = truth === said;
      if (right && !((m.cells || {})[`${truth},${truth}`] || []).length)
        return el("span", {class: "cell right"}, count(n));
      if (!n) return el("span", {class: "cell muted", "aria-hidden": "true"}, "·");
      const c = colour(0.12 + 0.88 * (Math.log1p(n) / Math.log1p(most)));
      const label =
          t(right ? "errors.rightcell" : "errors.cell",
            {truth: m.classes[truth], said: m.classes[said], n: count(n)});
      const button =
          el("button", {
            type: "button",
            class: right ? "cell right" : "cell",
            "aria-pressed": "false",
            "data-cell": `${truth},${said}`,
            "aria-label": label,
            title: label,
            style: right ? null : `background:${rgb(c)};color:${inkOn(c)}`,
            onclick: () => {
              for (const b of matrix.querySelectorAll("button"))
                b.setAttribute("aria-pressed", String(b === button));
              open(truth, said);
            }
          },
             count(n));
      return button;
    };
    const matrix =
        el("table", {class: "confusion" + long},
           el("thead", {},
              el("tr", {}, el("td"),
                 m.classes.map((c) => el("th", {scope: "col", title: c}, el("span", {}, c))),
                 el("th", {scope: "col"}, t("errors.recall")))),
           el("tbody", {},
              m.classes.map(
                  (c, i) =>
                      el("tr", {}, el("th", {scope: "row", title: c}, c),
                         m.classes.map((_, j) => el("td", {}, cell(i, j))),
                         el("td", {class: "recall"},
                            percent(sums[i] ? m.confusion[i][i] / sums[i] : null))))));
    matrix.addEventListener("keydown", (event) => this.arrows(event, matrix));
    const open = (truth, said) => {
      const images = (m.cells || {})[`${truth},${said}`] || [];
      shots.replaceChildren(
          el("h4", {style: "margin:8px 0 12px"},
             t(truth === said ? "errors.openright" : "errors.open",
               {truth: m.classes[truth], said: m.classes[said]}) +
                 " ",
             el("span", {class: "muted", style: "font-weight:400"},
                t("errors.shown", {n: images.length, of: count(m.confusion[truth][said])}))),
          truth === said ? "" : el("p", {class: "small"}, cellReasons(m, truth, said).join(" ")),
          reasonRows(m, images) ||
              el("ul", {class: "shots" + long},
                 images.map((image) => shotItem(m, image, shot(m, image)))));
    };
    container.append(figure({
      title: t("errors.matrix") + (name ? `: ${name}` : ""),
      note: t("errors.matrix.note", {
        right: count(right),
        total: count(total),
        share: percent(total ? right / total : null, 2)
      }),
      body:
          el("div", {class: "confused"},
             el("div", {
               class: "scroll free",
               style: "border:0;background:none;padding:3px",
               tabindex: 0,
               role: "region",
               "aria-label": `${t("errors.matrix")} ${name}`
             },
                matrix),
             shots),
      keys: el("p", {class: "muted small"}, t("errors.axis")),
      table: {
        head: [t("errors.truth"), t("errors.said"), t("errors.n"), t("errors.ofclass")],
        rows: () => confusions(m).map(
            (p) => [m.classes[p.truth], m.classes[p.said], p.n, percent(p.n / p.of, 2)])
      }
    }));
    const first = confusions(m)[0];
    if (first) {
      matrix.querySelector(`[data-cell="${first.truth},${first.said}"]`)
          .setAttribute("aria-pressed", "true");
      open(first.truth, first.said);
    }
    if ((m.worst || []).length) {
      container.append(figure({
        title: t("errors.worst") + (name ? `: ${name}` : ""),
        note: t("errors.worst.note"),
        formula: math(
            M.msub(M.mi("p"), M.mi("k")), M.mo("="),
            M.mfrac(
                M.msup(M.mi("e"), M.msub(M.mi("z"), M.mi("k"))),
                M.mrow(
                    M.munder(M.mo("∑"), M.mi("j")),
                    M.msup(M.mi("e"), M.msub(M.mi("z"), M.mi("j")))))),
        body:
            el("ul", {class: "shots" + long},
               m.worst.map((image) => shotItem(m, image, shot(m, image)))),
        table: {
          head: [t("errors.truth"), t("errors.said"), t("errors.p")],
          rows: () => m.worst.map(
              (s) => [m.classes[s.label], m.classes[s.top[0][0]], percent(s.top[0][1], 2)])
        }
      }));
    }
  },
  // Arrow keys go to the nearest cell on that side.
  arrows(event, matrix) {
    const move = {ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [
                    1, 0
                  ]}[event.key];
    if (!move || !event.target.dataset.cell) return;
    const [i, j] = event.target.dataset.cell.split(",").map(Number);
    let best = null, least = Infinity;
    for (const button of matrix.querySelectorAll("[data-cell]")) {
      const [r, c] = button.dataset.cell.split(",").map(Number);
      const along = (r - i) * move[0] + (c - j) * move[1],
            aside = Math.abs((r - i) * move[1]) + Math.abs((c - j) * move[0]);
      if (along > 0 && along + 3 * aside < least) {
        least = along + 3 * aside;
        best = button;
      }
    }
    if (best) best.focus();
    event.preventDefault();
  },
});
