// One small expression, forward and then backward, op by op: what comes back, times the local
// derivative, is added where it belongs; with the numbers.
"use strict";

register({
  name: "stepper",
  order: 2,
  words: {
    en: {
      title: "Stepper",
      lead: "Backpropagation op by op. The arrow keys step forward and back.",
      lesson: "Lesson",
      first: "First",
      previous: "Back",
      next: "Step",
      last: "Last",
      at: "Step {i} of {n}",
      scrub: "Step",
      forward: "Forward",
      backward: "Backward",
      graph: "The graph",
      graphnote: "Values appear on the way forward, gradients on the way back.",
      computes: "{name} is computed",
      seed: "The pass back begins: the loss changes by 1 for each 1 that it changes.",
      passes: "{name} passes its gradient on",
      incoming: "what comes in",
      local: "local derivative",
      product: "product",
      added: "now",
      into: "into {name}",
      value: "value",
      gradient: "gradient",
      more: ["{n} more", "{n} more"],
      numbers: "The step's numbers",
      table: "All values and gradients",
      name: "name",
      op: "op",
      element: "element",
      input: "given",
      parameter: "variable",
      before: "before",
      fan: "Several ops use {name}: their parts are added (+=).",
      "op.relu": "ReLU passes the gradient on where x > 0, and stops it where x ≤ 0.",
      "op.leaky_relu": "Where x ≤ 0 a leaky ReLU passes on a small part, a.",
      "op.prelu": "As leaky ReLU, but a is learned: it gets min(x, 0) times what comes in.",
      "op.elu": "Where x ≤ 0 the slope is α·eˣ, which is y + α.",
      "op.add": "A sum passes the gradient on unchanged, to both.",
      "op.sub":
          "A difference passes it on unchanged to the first, and to the second with its sign turned.",
      "op.mul": "A product passes it on times the other factor.",
      "op.div": "The numerator gets it divided by the denominator.",
      "op.tanh": "The slope of tanh is 1 − y².",
      "op.sigmoid": "The slope of the sigmoid is y·(1 − y), at most ¼.",
      "op.exp": "The slope of eˣ is eˣ itself.",
      "op.sum": "A sum passes it on unchanged, to all.",
      "op.mean": "A mean divides it among all.",
      "op.linear":
          "Each input gets what comes in times its weight; each weight gets it times its input.",
      "op.matmul": "Each factor gets what comes in times the other one.",
      "op.conv2d": "A weight is used at each place: its gradient is the sum over all places.",
      "op.mse_loss": "The slope of the square is twice the error.",
      "op.cross_entropy": "Softmax and logarithm together: p − t.",
      "op.softmax": "Each probability depends on all logits.",
    },
    pt: {
      title: "Passo a passo",
      lead: "Retropropagação, op por op. As setas avançam e voltam.",
      lesson: "Lição",
      first: "Início",
      previous: "Voltar",
      next: "Avançar",
      last: "Fim",
      at: "Passo {i} de {n}",
      scrub: "Passo",
      forward: "Ida (forward)",
      backward: "Volta (backward)",
      graph: "O grafo",
      graphnote: "Os valores aparecem na ida; os gradientes, na volta.",
      computes: "{name} é calculado",
      seed: "A volta começa: a perda muda 1 a cada 1 que ela mesma muda.",
      passes: "{name} passa adiante o seu gradiente",
      incoming: "o que chega",
      local: "derivada local",
      product: "produto",
      added: "agora",
      into: "para {name}",
      value: "valor",
      gradient: "gradiente",
      more: ["mais {n}", "mais {n}"],
      numbers: "Os números do passo",
      table: "Todos os valores e gradientes",
      name: "nome",
      op: "op",
      element: "elemento",
      input: "dado",
      parameter: "variável",
      before: "antes",
      fan: "Várias ops usam {name}: as suas partes se somam (+=).",
      "op.relu": "A ReLU deixa passar o gradiente onde x > 0 e o detém onde x ≤ 0.",
      "op.leaky_relu": "Onde x ≤ 0, a Leaky ReLU deixa passar uma pequena parte, a.",
      "op.prelu": "Como a Leaky ReLU, mas a é aprendido: recebe min(x, 0) vezes o que chega.",
      "op.elu": "Onde x ≤ 0 a inclinação é α·eˣ, que é y + α.",
      "op.add": "Uma soma passa o gradiente sem mudança, a ambos.",
      "op.sub": "Uma diferença passa-o sem mudança ao primeiro e, ao segundo, com o sinal trocado.",
      "op.mul": "Um produto passa-o vezes o outro fator.",
      "op.div": "O numerador recebe-o dividido pelo denominador.",
      "op.tanh": "A inclinação da tanh é 1 − y².",
      "op.sigmoid": "A inclinação da sigmoide é y·(1 − y), no máximo ¼.",
      "op.exp": "A inclinação de eˣ é o próprio eˣ.",
      "op.sum": "Uma soma passa-o sem mudança, a todos.",
      "op.mean": "Uma média divide-o entre todos.",
      "op.linear":
          "Cada entrada recebe o que chega vezes o seu peso; cada peso recebe-o vezes a sua entrada.",
      "op.matmul": "Cada fator recebe o que chega vezes o outro.",
      "op.conv2d":
          "Um peso é usado em cada lugar: o seu gradiente é a soma sobre todos os lugares.",
      "op.mse_loss": "A inclinação do quadrado é duas vezes o erro.",
      "op.cross_entropy": "Softmax e logaritmo juntos: p − t.",
      "op.softmax": "Cada probabilidade depende de todos os logits.",
    },
  },
  has: (glass) => glass.files.some((f) => f.lesson.length > 0),
  state: {lesson: 0, at: 0},
  render(container, glass) {
    this.lessons = glass.files.flatMap((f) => f.lesson);
    const state = this.state;
    const word = (texts) => (texts && (texts[page.lang] || texts.en)) || "";
    this.word = word;
    const button = (name, to) =>
        el("button", {type: "button", "data-go": name, onclick: () => this.go(to())},
           t("stepper." + name));
    this.slider = el("input", {
      type: "range",
      min: 0,
      "aria-label": t("stepper.scrub"),
      oninput: () => this.go(Number(this.slider.value))
    });
    this.where = el("span", {class: "muted small", role: "status"});
    container.append(
        el("div", {class: "bar"},
           select(
               t("stepper.lesson"),
               this.lessons.map((l, i) => [i, `${i + 1}. ${word(l.title) || l.name}`]),
               state.lesson,
               (v) => {
                 state.lesson = Number(v);
                 state.at = 0;
                 this.load();
               })),
        this.intro = el("p", {class: "step-intro"}),
        el("div", {class: "bar step-bar"},
           el("span", {class: "choice"}, button("first", () => 0),
              button("previous", () => state.at - 1), button("next", () => state.at + 1),
              button("last", () => Infinity)),
           el("div", {class: "step-slider"}, this.slider), this.where),
        el("div", {class: "stepper"},
           this.says = el("div", {class: "panel step-says", "aria-live": "polite"}),
           el("figure", {},
              el("figcaption", {}, el("h3", {}, t("stepper.graph")),
                 el("p", {}, t("stepper.graphnote"))),
              this.canvas = el("div", {
                class: "canvas step-graph",
                tabindex: 0,
                role: "region",
                "aria-label": t("stepper.graph")
              }),
              this.data = el("div"))));
    this.load();
  },
  key(event) {
    if (/^(SELECT|TEXTAREA)$/.test(event.target.tagName) || event.target.type === "range")
      return false;
    const to = {
      ArrowRight: this.state.at + 1,
      ArrowDown: null,
      ArrowLeft: this.state.at - 1,
      Home: 0,
      End: Infinity
    }[event.key];
    if (to === undefined || to === null) return false;
    this.go(to);
    return true;
  },
  load() {
    const lesson = this.lesson = this.lessons[this.state.lesson] || this.lessons[0];
    this.intro.textContent = this.word(lesson.text);
    this.intro.hidden = !this.intro.textContent;
    this.slider.max = lesson.steps.length - 1;
    const users = lesson.nodes.map(() => 0);
    for (const n of lesson.nodes)
      for (const i of n.inputs) ++users[i];
    this.users = users;
    this.data.replaceChildren(tableDetails(
        t("stepper.table"),
        [
          t("stepper.name"), t("stepper.op"), t("stepper.element"), t("stepper.value"),
          t("stepper.gradient")
        ],
        () => lesson.nodes.flatMap(
            (n) => n.value.map(
                (v, i) =>
                    [n.name, n.leaf ? t(n.constant ? "stepper.input" : "stepper.parameter") : n.op,
                     subscript(n.shape, i) || "–", v, n.gradient ? n.gradient[i] : null]))));
    this.layOut();
    this.go(this.state.at);
  },
  go(to) {
    const last = this.lesson.steps.length - 1;
    this.state.at = Math.max(0, Math.min(last, to));
    const at = this.state.at, steps = this.lesson.steps, step = steps[at];
    this.slider.value = at;
    this.where.textContent = t("stepper.at", {i: at + 1, n: last + 1});
    this.slider.setAttribute("aria-valuetext", this.where.textContent);
    this.says.replaceChildren(...this.describe(step));
    // What is known by now.
    const known = this.lesson.nodes.map((n) => n.leaf),
          gradients = this.lesson.nodes.map(() => null), into = new Set();
    for (const s of steps.slice(0, at + 1)) {
      if (s.phase === "forward") {
        known[s.node] = true;
        continue;
      }
      if (s.node === this.lesson.nodes.length - 1)
        gradients[s.node] = this.lesson.nodes[s.node].gradient;
      for (const a of s.additions) gradients[a.to] = a.after;
    }
    if (step.phase === "backward")
      for (const a of step.additions) into.add(a.to);
    this.boxes.forEach(
        (box, i) => this.paint(box, i, known[i], gradients[i], i === step.node, into.has(i)));
    for (const edge of this.edges) {
      const hot = step.phase === "forward" ?
          edge.dataset.to === String(step.node) :
          edge.dataset.to === String(step.node) && into.has(Number(edge.dataset.from));
      edge.classList.toggle("hot", hot);
      edge.setAttribute(
          hot && step.phase === "backward" ? "marker-start" : "marker-end", "url(#step-arrow)");
      edge.removeAttribute(hot && step.phase === "backward" ? "marker-end" : "marker-start");
    }
    const place = this.places[step.node], c = this.canvas;
    if (c.scrollHeight > c.clientHeight) c.scrollTop = place.y * this.zoom - c.clientHeight / 2;
    if (c.scrollWidth > c.clientWidth) c.scrollLeft = place.x * this.zoom - c.clientWidth / 2;
  },
  describe(step) {
    const lesson = this.lesson, n = lesson.nodes[step.node], back = step.phase === "backward";
    const parts = [
      el("p", {class: "step-phase small" + (back ? " back" : "")}, t("stepper." + step.phase)),
      el("h3", {}, t(back ? "stepper.passes" : "stepper.computes", {name: n.name}))
    ];
    const note = `stepper.op.${n.op}`;
    if (back && t(note) !== note) parts.push(el("p", {class: "muted"}, t(note)));
    if (step.lines.length && back) parts.push(el("p", {class: "muted"}, t("stepper.seed")));
    parts.push(...formulas(step.lines));
    for (const a of step.additions) {
      const to = lesson.nodes[a.to];
      parts.push(el("h4", {class: "step-into"}, t("stepper.into", {name: to.name})));
      if (this.users[a.to] > 1)
        parts.push(el("p", {class: "muted small"}, t("stepper.fan", {name: to.name})));
      // The four numbers, where there is one of each.
      if (a.product.length === 1 && n.gradient.length === 1) {
        const four = [
          [t("stepper.incoming"), n.gradient[0]], a.local ? [t("stepper.local"), a.local[0]] : null,
          [t("stepper.product"), a.product[0]],
          a.before ? [t("stepper.before"), a.before[0]] : null,
          a.before ? [t("stepper.added"), a.after[0]] : null
        ].filter(Boolean);
        parts.push(
            el("dl", {class: "step-four"},
               four.map(
                   ([name, v], i) =>
                       el("div", {}, el("dt", {}, name),
                          el("dd", {"data-value": String(v)}, plain(v))))));
      } else {
        parts.push(grid(to, a.after));
      }
      parts.push(...formulas(a.lines));
    }
    if (!back && n.value.length > 1) parts.push(grid(n, n.value));
    return parts;
  },
  // ---- the graph: the loss on the right (or, on narrow screens, below) ----
  layOut() {
    const lesson = this.lesson, graph = new dagre.graphlib.Graph({multigraph: true});
    graph.setGraph({rankdir: "TB", nodesep: 16, ranksep: 34, marginx: 12, marginy: 12});
    graph.setDefaultEdgeLabel(() => ({}));
    const size = (n) => {
      const [rows, columns] = table2d(n.shape);
      const one = rows * columns === 1;
      return {
        width: Math.max(
            118, Math.min(280, 14 + 7.5 * this.title(n).length), one ? 0 : 16 + columns * 60),
        height: one ? 68 : 30 + rows * 38
      };
    };
    lesson.nodes.forEach((n, i) => graph.setNode(String(i), size(n)));
    lesson.nodes.forEach(
        (n, i) =>
            n.inputs.forEach((from, k) => graph.setEdge(String(from), String(i), {}, String(k))));
    dagre.layout(graph);
    const {width, height} = graph.graph();
    this.places = lesson.nodes.map((_, i) => graph.node(String(i)));
    this.edges = graph.edges().map(
        (e) => svg("path", {
          class: "edge",
          "data-from": e.v,
          "data-to": e.w,
          "marker-end": "url(#step-arrow)",
          d: "M" + graph.edge(e).points.map((p) => `${p.x.toFixed(1)} ${p.y.toFixed(1)}`).join("L")
        }));
    this.boxes = lesson.nodes.map(
        (n, i) => svg("g", {
          class: "step-node",
          "data-node": i,
          transform: `translate(${(this.places[i].x - this.places[i].width / 2).toFixed(1)} ${
              (this.places[i].y - this.places[i].height / 2).toFixed(1)})`
        }));
    this.svg = svg(
        "svg", {viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": t("stepper.graph")},
        arrowHead("step-arrow"), this.edges, this.boxes);
    this.canvas.replaceChildren(this.svg);
    const fit = () => {
      const room = this.canvas.clientWidth || page.paper || 520;
      this.zoom = Math.max(0.62, Math.min(1, (room - 2) / width));
      this.svg.setAttribute("width", width * this.zoom);
      this.svg.setAttribute("height", height * this.zoom);
    };
    fit();
    if (this.watch) this.watch.disconnect();
    this.watch = new ResizeObserver(fit);
    this.watch.observe(this.canvas);
  },
  title(n) {
    if (n.constant && /^\(?−?[\d.]+\)?$/.test(n.name)) return t("stepper.input");
    return n.leaf ? n.name : `${n.name} = ${[n.op, n.activation].filter(Boolean).join(" + ")}`;
  },
  paint(box, i, known, gradient, now, into) {
    const n = this.lesson.nodes[i], {width, height} = this.places[i],
          [rows, columns] = table2d(n.shape), one = rows * columns === 1;
    const title = this.title(n);
    const parts = [
      svg("rect", {
        class: "box" +
            (now      ? " now" :
                 into ? " into" :
                        "") +
            (n.leaf ? " leaf" : ""),
        width,
        height,
        rx: n.leaf ? 14 : 6
      }),
      text(width / 2, 17, cut(title, width - 8), {class: "strong", "text-anchor": "middle"})
    ];
    const cell = (k, x, y) => {
      parts.push(text(
          x, y, known ? plain(n.value[k], 3) : "·",
          {"text-anchor": "middle", class: known ? "ink" : ""}));
      if (gradient)
        parts.push(text(
            x, y + (one ? 21 : 15), plain(gradient[k], 3),
            {"text-anchor": "middle", class: "grad"}));
    };
    if (one) {
      cell(0, width / 2, 37);
    } else {
      for (let k = 0; k < n.value.length; ++k)
        cell(
            k, width / 2 + ((k % columns) - (columns - 1) / 2) * 60,
            38 + Math.floor(k / columns) * 38);
    }
    box.replaceChildren(...parts);
  },
});

// How a small tensor is drawn: axes of one are left out.
function table2d(shape) {
  const sizes = shape.filter((s) => s > 1), n = sizes.reduce((a, b) => a * b, 1);
  const columns = sizes.length ? sizes[sizes.length - 1] : 1;
  return [n / columns, columns];
}
function subscript(shape, i) {
  const index = [];
  for (let axis = shape.length - 1; axis >= 0; --axis) {
    if (shape[axis] > 1) index.unshift((i % shape[axis]) + 1);
    i = Math.floor(i / shape[axis]);
  }
  return index.join(", ");
}
// A number without zeros that say nothing: 0.37, not 0.370.
function plain(v, digits = 4) {
  const x = number(v);
  return isNumber(x) && x !== 0 && Math.abs(x) >= 1e-3 && Math.abs(x) < 1e6 ?
      format(x, {maximumSignificantDigits: digits}) :
      num(v, digits);
}
function grid(node, values) {
  const [, columns] = table2d(node.shape);
  const rows = [];
  for (let k = 0; k < values.length; k += columns)
    rows.push(
        el("tr", {}, values.slice(k, k + columns).map((v) => el("td", {class: "n"}, plain(v)))));
  return el(
      "div", {class: "scroll step-grid", tabindex: 0, role: "region", "aria-label": node.name},
      el("table", {}, el("tbody", {}, rows)));
}
// The first lines in sight, the others behind a summary.
function formulas(lines, shown = 4) {
  const few = lines.length <= shown + 1 ? lines : lines.slice(0, shown),
        rest = lines.slice(few.length);
  return [
    ...few.map(formula),
    rest.length ? el("details", {}, el("summary", {}, t("stepper.more", {n: rest.length})),
                     rest.map(formula)) :
                  null
  ].filter(Boolean);
}
// "∂L/∂x[1] = ∂L/∂y · 1[x > 0] = 0.37 · 0" as MathML, in pieces between which a line may break.
function formula(line) {
  const pieces = line.split(/ (?==|\+=|\+ )|; {3}/),
        long = pieces.some((piece) => piece.length > 40);
  return el(
      "p", {
        class: long ? "step-formula long" : "step-formula",
        ...(long ? {tabindex: 0, role: "group", "aria-label": line} : {})
      },
      pieces.flatMap((piece) => [math(...mathParts(piece)), " "]));
}
function mathParts(textOf) {
  const parts = [];
  const localized = (s) => (page.lang === "pt" ? s.replace(".", ",") : s);
  const indexed = (name, index) => {
    const [, stem, digits] = /^(.*?)(\d*)$/.exec(name);
    const sub = index || digits;
    const base = M.mi(index ? name : stem || name);
    return sub && (index || stem) ? M.msub(base, M.mn(sub.replace(/,/g, ""))) : base;
  };
  // A sign is one where nothing stands before it; what a piece begins with stands between two.
  const operator = (sign, before) => {
    const o = M.mo(sign),
          opens = !before || (before.localName === "mo" && !/[)\]²]/.test(before.textContent));
    if (sign === "−")
      o.setAttribute("form", opens ? "prefix" : "infix");
    else if (/^[=+]/.test(sign))
      o.setAttribute("form", "infix");
    return o;
  };
  const token =
      /∂([^\s/∂]+)\/∂([^\s[\]=·+;()]+)(\[[\d,]+\])?|(1)(?=\[)|((?:\d+\.)*[\p{L}_][\p{L}\p{N}_.]*)(\[[\d,]+\])?|(\d+(?:\.\d+)?(?:e[-+]?\d+)?)|\s+|(\+=|\S)/gu;
  // Powers of e, roots and squares.
  const prepared = textOf.replace(/²/g, "^2");
  for (const m of prepared.matchAll(token)) {
    let part = null;
    if (m[1])
      part = M.mfrac(
          M.mrow(M.mo("∂"), indexed(m[1])),
          M.mrow(M.mo("∂"), indexed(m[2], m[3] && m[3].slice(1, -1))));
    else if (m[4])
      part = M.mn("𝟏");
    else if (m[5])
      part = indexed(m[5], m[6] && m[6].slice(1, -1));
    else if (m[7])
      part = M.mn(localized(m[7]));
    else if (m[8])
      part = operator(m[8], parts[parts.length - 1]);
    else
      continue;
    parts.push(part);
    if (/^(ln|tanh)$/.test(m[5] || "")) parts.push(M.mtext("\u2009"));
  }
  // "a ^ b": b is raised, with its sign or its bracket.
  for (let i = 1; i < parts.length; ++i) {
    if (parts[i].textContent !== "^") continue;
    let end = i + 1;
    if (parts[end] && parts[end].textContent === "−") ++end;
    if (parts[end] && parts[end].textContent === "(") {
      while (end < parts.length && parts[end].textContent !== ")") ++end;
    }
    const from = parts[i - 1].textContent === ")" ?
        parts.slice(0, i).map((p) => p.textContent).lastIndexOf("(") :
        i - 1;
    parts.splice(
        from, end - from + 1,
        M.msup(M.mrow(...parts.slice(from, i)), M.mrow(...parts.slice(i + 1, end + 1))));
    i = from;
  }
  return parts;
}
