// Derivatives beside central differences, number by number: a wrong one stands out.
"use strict";

const kGradcheckTolerance = 1e-6;
const isWrong = (p) => !(number(p.error) <= kGradcheckTolerance);

register({
  name: "gradcheck",
  order: 3,
  words: {
    en: {
      title: "Gradient check",
      lead: "Each gradient by its derivative, and by moving the parameter a little to both sides.",
      chart: "Derivative beside differences",
      note: "Each dot is a number of a parameter. On the diagonal both agree.",
      numeric: "by differences",
      analytic: "by the derivative",
      right: "agrees",
      wrong: "differs",
      all: "All {n} agree: the error is at most {error}.",
      some: ["{n} of {of} differs, in {names}.", "{n} of {of} differ, in {names}."],
      planted: "Planted on purpose: {what}.",
      caught: "Caught.",
      missed: "Not caught.",
      nothing: "Nothing is planted: the derivative as it should be.",
      "what.sign": "a wrong sign",
      "what.factor 2": "half of what it should be",
      "what.missing term": "a term is missing",
      which: "Check",
      name: "parameter",
      index: "index",
      error: "error",
      plain: "as it should be",
      verdict: "verdict",
    },
    pt: {
      title: "Verificação do gradiente",
      lead: "Cada gradiente pela sua derivada, e movendo o parâmetro um pouco para os dois lados.",
      chart: "A derivada ao lado das diferenças",
      note: "Cada ponto é um número de um parâmetro. Na diagonal, ambos concordam.",
      numeric: "por diferenças",
      analytic: "pela derivada",
      right: "concorda",
      wrong: "difere",
      all: "Todos os {n} concordam: o erro é no máximo {error}.",
      some: ["{n} de {of} difere, em {names}.", "{n} de {of} diferem, em {names}."],
      planted: "Plantado de propósito: {what}.",
      caught: "Foi apanhado.",
      missed: "Não foi apanhado.",
      nothing: "Nada foi plantado: a derivada como deve ser.",
      "what.sign": "um sinal errado",
      "what.factor 2": "metade do que deveria ser",
      "what.missing term": "falta um termo",
      which: "Verificação",
      name: "parâmetro",
      index: "índice",
      error: "erro",
      plain: "como deve ser",
      verdict: "resultado",
    },
  },
  has: (glass) => glass.files.some((f) => f.gradcheck.length > 0),
  render(container, glass) {
    const checks = glass.files.flatMap((f) => f.gradcheck);
    container.append(el("div", {class: "grid2"}, checks.map((check) => this.figure(check))));
  },
  figure(check) {
    const rows = check.parameters || [], wrong = rows.filter(isWrong),
          what = `gradcheck.what.${check.planted}`;
    const worst = Math.max(0, ...rows.map((p) => number(p.error)).filter(isNumber));
    const says = check.planted ?
        t("gradcheck.planted", {what: t(what) === what ? check.planted : t(what)}) :
        t("gradcheck.nothing");
    const result = wrong.length ? t("gradcheck.some", {
      n: wrong.length,
      of: rows.length,
      names: [...new Set(wrong.map((p) => p.name))].join(", ")
    }) :
                                  t("gradcheck.all", {n: rows.length, error: num(worst, 2)});
    const values = rows.flatMap((p) => [number(p.numeric), number(p.analytic)]).filter(isNumber);
    let [low, high] = range(values);
    const pad = Math.max(0.06 * (high - low), 1e-9 + 0.02 * Math.abs(high));
    low -= pad;
    high += pad;
    const body = responsive((width) => {
      const side = Math.min(340, width - 60), left = 52, top = 8;
      const x = (v) => left + ((v - low) / (high - low)) * side,
            y = (v) => top + ((high - v) / (high - low)) * side;
      const marks = ticks(low, high, 5).filter((v) => v >= low && v <= high);
      const parts = marks.flatMap(
          (v) =>
              [svg("line", {class: "grid", x1: x(v), x2: x(v), y1: top, y2: top + side}),
               svg("line", {class: "grid", x1: left, x2: left + side, y1: y(v), y2: y(v)}),
               text(x(v), top + side + 17, tick(v), {"text-anchor": "middle"}),
               text(left - 7, y(v) + 4, tick(v), {"text-anchor": "end"})]);
      parts.push(svg("line", {
        x1: x(low),
        y1: y(low),
        x2: x(high),
        y2: y(high),
        stroke: "var(--muted)",
        "stroke-opacity": .6
      }));
      for (const p of rows) {
        const a = number(p.numeric), b = number(p.analytic);
        if (!isNumber(a) || !isNumber(b)) continue;
        const bad = isWrong(p), cx = x(a), cy = y(b);
        if (bad)
          parts.push(svg(
              "line",
              {x1: cx, x2: cx, y1: cy, y2: y(a), stroke: "var(--bad)", "stroke-dasharray": "3 3"}));
        parts.push(
            bad ? svg("rect", {
              x: cx - 4.5,
              y: cy - 4.5,
              width: 9,
              height: 9,
              transform: `rotate(45 ${cx} ${cy})`,
              fill: "var(--bad)",
              stroke: "var(--panel)"
            }) :
                  svg("circle", {cx, cy, r: 4.5, fill: "var(--accent)", stroke: "var(--panel)"}));
      }
      parts.push(
          text(left + side / 2, top + side + 36, t("gradcheck.numeric"), {"text-anchor": "middle"}),
          text(left + 4, top + 12, t("gradcheck.analytic"), {}));
      return chart(width, top + side + 46, parts);
    }, `${says} ${result}`);
    const key = (label, shapeOf) =>
        el("li", {}, svg("svg", {width: 12, height: 12, "aria-hidden": "true"}, shapeOf), label);
    return figure({
      title: says,
      note: [
        el("span", {class: wrong.length ? "bad" : null, "data-wrong": String(wrong.length)},
           result),
        check.planted ? ` ${t(wrong.length ? "gradcheck.caught" : "gradcheck.missed")}` : ""
      ],
      formula: math(
          M.mfrac(M.mrow(M.mo("∂"), M.mi("L")), M.mrow(M.mo("∂"), M.mi("w"))), M.mo("≈"),
          M.mfrac(
              M.mrow(
                  M.mi("L"), M.mo("("), M.mi("w"), M.mo("+"), M.mi("h"), M.mo(")"), M.mo("−"),
                  M.mi("L"), M.mo("("), M.mi("w"), M.mo("−"), M.mi("h"), M.mo(")")),
              M.mrow(M.mn("2"), M.mi("h")))),
      keys: el(
          "ul", {class: "keys"},
          key(t("gradcheck.right"), svg("circle", {cx: 6, cy: 6, r: 4.5, fill: "var(--accent)"})),
          key(t("gradcheck.wrong"), svg("rect", {
                x: 2,
                y: 2,
                width: 8,
                height: 8,
                transform: "rotate(45 6 6)",
                fill: "var(--bad)"
              }))),
      body,
      table: {
        head: [
          t("gradcheck.name"), t("gradcheck.index"), t("gradcheck.numeric"),
          t("gradcheck.analytic"), t("gradcheck.error"), t("gradcheck.verdict")
        ],
        rows: () => rows.map(
            (p) =>
                [p.name, p.index, p.numeric, p.analytic, p.error,
                 t(isWrong(p) ? "gradcheck.wrong" : "gradcheck.right")])
      }
    });
  },
});
