// The graph of the probe step: what was computed from what, and which gradient came back.
"use strict";

const kNodeWidth = 236, kNodeHeight = 62;
// A parameter beside the one op that takes it.
const kLeafWidth = 172, kLeafHeight = 28, kLeafGap = 26;

register({
  name: "tape",
  order: 1,
  has: (glass) => glass.files.some((f) => f.probe.some((p) => (p.nodes || []).length > 0)),
  state: {probe: null, open: null, level: null, chosen: null, zoom: null, query: "", leaves: true},
  render(container, glass) {
    const state = this.state;
    this.probes = glass.files.flatMap(
        (file, i) => file.probe.filter((p) => (p.nodes || []).length)
                         .map((probe) => ({
                                file,
                                probe,
                                label: `${glass.files.length > 1 ? fileLabel(file, i) + ", " : ""}${
                                    t("step")} ${count(probe.step)}`
                              })));
    if (state.probe === null) state.probe = this.probes.length - 1;
    this.canvas =
        el("div", {class: "canvas", tabindex: 0, role: "group", "aria-label": t("tape.graph")});
    this.side = el(
        "aside", {class: "inspect panel", "aria-live": "polite", "aria-label": t("tape.detail")});
    this.found = el("span", {class: "muted small", role: "status"});
    this.search = el("input", {
      type: "search",
      id: "tape-search",
      placeholder: t("tape.search"),
      "aria-label": t("tape.search"),
      value: state.query,
      oninput: () => {
        state.query = this.search.value;
        this.match(0);
      },
      onkeydown: (e) => {
        if (e.key === "Enter") this.match(e.shiftKey ? -1 : 1);
      }
    });
    this.levels = el("span");
    container.append(
        el("div", {class: "bar"},
           this.probes.length > 1 ?
               select(
                   t("tape.when"), this.probes.map((p, i) => [i, p.label]), state.probe,
                   (v) => {
                     state.probe = Number(v);
                     this.load();
                   }) :
               null,
           this.levels, this.search, this.found),
        el("div", {class: "bar"},
           el("label", {}, el("input", {
                type: "checkbox",
                checked: state.leaves,
                onchange: (e) => {
                  state.leaves = e.target.checked;
                  this.draw();
                }
              }),
              t("tape.leaves")),
           el("span", {class: "choice"},
              el("button", {
                type: "button",
                "aria-label": t("tape.smaller"),
                onclick: () => this.scale(1 / 1.25)
              },
                 "−"),
              el("button",
                 {type: "button", "aria-label": t("tape.larger"), onclick: () => this.scale(1.25)},
                 "+"),
              el("button", {
                type: "button",
                onclick: () => {
                  state.zoom = null;
                  this.scale(1);
                }
              },
                 t("tape.fit"))),
           el("button",
              {type: "button", onclick: () => save("tape.svg", "image/svg+xml", this.exportSvg())},
              t("tape.svg")),
           el("button", {
             type: "button",
             onclick: () => save("tape.dot", "text/vnd.graphviz", this.exportDot())
           },
              t("tape.dot"))),
        this.legend = el("div"), el("div", {class: "tape"}, this.canvas, this.side),
        this.data = el("div"));
    new ResizeObserver(() => {
      if (this.canvas.clientWidth && !state.zoom) this.scale(1);
    }).observe(this.canvas);
    this.load();
  },
  key(event) {
    if (event.key === "/" && event.target.tagName !== "INPUT") {
      this.search.focus();
      return true;
    }
    return false;
  },
  load() {
    const {file, probe} = this.probes[this.state.probe];
    this.file = file;
    this.probe = probe;
    const names = new Set(((file.model && file.model.parameters) || []).map((p) => p.name));
    this.nodes = new Map(probe.nodes.map(
        (n) =>
            [n.id,
             {...n, parameter: names.size ? names.has(n.name) : Boolean(n.name && n.layer)}]));
    const layers = new Set(probe.nodes.map((n) => n.layer || ""));
    if (this.state.level === null)
      this.state.level = probe.nodes.length > 70 ? (layers.size > 36 ? "block" : "layer") : "op";
    this.levels.replaceChildren(choice(
        t("tape.level"),
        [
          ["op", t("tape.level.op")], ["layer", t("tape.level.layer")],
          ["block", t("tape.level.block")]
        ],
        this.state.level, (v) => {
          this.state.level = v;
          this.state.open = new Set();
          this.state.zoom = null;
          this.draw();
        }));
    if (!this.state.open) this.state.open = new Set();
    const norms =
        probe.nodes.map((n) => number(n.gnorm)).filter((v) => isNumber(v) && v > 0).map(Math.log10);
    const [low, high] = range(norms);
    this.low = Math.floor(low);
    this.high = Math.max(Math.ceil(high), this.low + 1);
    this.legend.replaceChildren(
        el("ul", {class: "keys"}, el("li", {}, t("tape.gradient"), " ", math(mathNorm("∂L/∂y"))),
           [...colourBar("--ramp", powerOfTen(this.low), powerOfTen(this.high)).children],
           el("li", {},
              svg("svg", {width: 12, height: 10, "aria-hidden": "true"},
                  svg("rect", {width: 10, height: 10, rx: 2, fill: "var(--bad)"})),
              t("tape.zero")),
           ...keyList([
             {label: t("tape.values"), color: "var(--muted)", dot: true},
             {label: t("tape.gradients"), color: "var(--accent)", dot: true}
           ]).children));
    this.data.replaceChildren(tableDetails(
        t("tape.graph"),
        [
          "id", t("tape.op"), t("layer"), t("shape"), t("tape.inputs"), t("mean"), t("std"),
          "‖∂L/∂y‖"
        ],
        () => [...this.nodes.values()].map(
            (n) =>
                [`%${n.id}`, opName(n), n.layer ? layerName(file, n.layer) : "", shape(n.shape),
                 (n.inputs || []).map((i) => `%${i}`).join(" "), n.y ? n.y.mean : n.value ?? null,
                 n.y ? n.y.std : null, n.gnorm ?? null])));
    this.draw();
  },
  // The group that a node is folded into, or null.
  groupOf(node) {
    if (this.state.level === "op" || !node.layer)
      return this.state.open.has(`-${node.layer}`) && node.layer ? node.layer : null;
    const path = this.state.level === "block" ? node.layer.split(".")[0] : node.layer;
    return this.state.open.has(path) ? null : path;
  },
  // What is drawn: nodes and groups, each op with the parameters that it alone takes, and the
  // edges.
  graph() {
    const items = new Map(), itemOf = new Map();
    const users = new Map();
    for (const n of this.nodes.values())
      for (const i of n.inputs || []) users.set(i, [...(users.get(i) || []), n.id]);
    const beside = (n) => isParameter(n) && this.groupOf(n) === null &&
        (users.get(n.id) || []).length === 1 &&
        this.groupOf(this.nodes.get(users.get(n.id)[0])) === null;
    for (const n of this.nodes.values()) {
      const group = this.groupOf(n);
      if ((isParameter(n) && !this.state.leaves && group === null) || beside(n)) continue;
      const key = group === null ? `n${n.id}` : `g${group}`;
      if (!items.has(key)) items.set(key, {key, group, nodes: [], leaves: []});
      items.get(key).nodes.push(n);
      itemOf.set(n.id, key);
    }
    if (this.state.leaves) {
      for (const n of this.nodes.values()) {
        if (beside(n))
          items.get(itemOf.get(users.get(n.id)[0]))
              .leaves.push({key: `n${n.id}`, group: null, nodes: [n], leaves: [], beside: true});
      }
    }
    const edges = new Map();
    for (const n of this.nodes.values()) {
      for (const i of n.inputs || []) {
        const from = itemOf.get(i), to = itemOf.get(n.id);
        if (from && to && from !== to) edges.set(`${from}>${to}`, [from, to]);
      }
    }
    return {items, edges: [...edges.values()]};
  },
  describe(item) {
    const last = item.nodes[item.nodes.length - 1];
    if (item.group === null) {
      const name = last.leaf && last.name;
      return {
        title: name || opName(last),
        right: times(last.shape),
        under: name    ? opName(last) :
            last.layer ? layerName(this.file, last.layer) :
                         "",
        node: last,
        gnorm: number(last.gnorm)
      };
    }
    const layer = this.file.byPath.get(item.group);
    const out = item.nodes.filter((n) => !n.leaf).pop() || last;
    return {
      title: layer ? layer.type || layer.text : item.group,
      right: times(out.shape),
      under: `${item.group}${layer ? " " + layer.text : ""} · ${
          t("tape.ops", {n: item.nodes.filter((n) => !n.leaf).length})}`,
      node: out,
      gnorm: number(out.gnorm),
      group: item.group
    };
  },
  colour(gnorm) {
    if (gnorm === null || gnorm === undefined) return "var(--line)";
    if (!Number.isFinite(gnorm) || gnorm === 0) return "var(--bad)";
    return rgb(colours("--ramp")((Math.log10(gnorm) - this.low) / (this.high - this.low)));
  },
  draw() {
    const {items, edges} = this.graph();
    const graph = new dagre.graphlib.Graph();
    graph.setGraph({rankdir: "TB", nodesep: 22, ranksep: 34, marginx: 16, marginy: 16});
    graph.setDefaultEdgeLabel(() => ({}));
    // All as wide, so that what follows from each other stands in one line.
    const room = [...items.values()].some((i) => i.leaves.length) ? kLeafGap + kLeafWidth : 0;
    const tall = (item) => Math.max(kNodeHeight, item.leaves.length * (kLeafHeight + 4) - 4);
    for (const [key, item] of items)
      graph.setNode(key, {width: kNodeWidth + room, height: tall(item)});
    for (const [from, to] of edges) graph.setEdge(from, to);
    dagre.layout(graph);
    const {width, height} = graph.graph();
    this.size = {width: Math.max(1, width || 1), height: Math.max(1, height || 1)};
    this.at = new Map();
    this.items = new Map();
    const lines = edges.map(([from, to]) => {
      const points = graph.edge(from, to).points.map((p) => ({...p})), near = points.length <= 3;
      points.forEach((p, i) => {
        if (near || i === 0 || i === points.length - 1) p.x -= room / 2;
      });
      return svg("path", {
        class: "edge",
        "data-from": from,
        "data-to": to,
        "marker-end": "url(#arrow)",
        d: curve(points)
      });
    });
    for (const [key, item] of items) {
      const at = graph.node(key), x = at.x - room / 2, h = tall(item);
      this.items.set(key, item);
      this.at.set(key, {x, y: at.y, w: kNodeWidth, h});
      item.leaves.forEach((leaf, i) => {
        const y = at.y - h / 2 + (h - item.leaves.length * (kLeafHeight + 4) + 4) / 2 +
            i * (kLeafHeight + 4) + kLeafHeight / 2;
        const left = x + kNodeWidth / 2 + kLeafGap;
        this.items.set(leaf.key, leaf);
        this.at.set(leaf.key, {x: left + kLeafWidth / 2, y, w: kLeafWidth, h: kLeafHeight});
        edges.push([leaf.key, key]);
        lines.push(svg("path", {
          class: "edge",
          "data-from": leaf.key,
          "data-to": key,
          "marker-end": "url(#arrow)",
          d: `M${left} ${y}L${x + kNodeWidth / 2} ${y}`
        }));
      });
    }
    this.edges = edges;
    this.order = [...this.items.keys()].sort(
        (a, b) => this.at.get(a).y - this.at.get(b).y || this.at.get(a).x - this.at.get(b).x);
    this.boxes =
        new Map(this.order.map((key) => [key, this.box(this.items.get(key), this.at.get(key))]));
    this.svg =
        svg("svg", {
          viewBox: `0 0 ${this.size.width} ${this.size.height}`,
          role: "group",
          "aria-label": t("tape.graph")
        },
            arrowHead("arrow"), lines, [...this.boxes.values()]);
    this.canvas.replaceChildren(this.svg);
    this.scale(1);
    const last = [...items.keys()].pop();
    this.choose(this.items.has(this.state.chosen) ? this.state.chosen : last, false);
    this.match(0);
  },
  box(item, at) {
    const d = this.describe(item), w = at.w, h = at.h,
          sure = d.gnorm === null || (d.gnorm !== 0 && Number.isFinite(d.gnorm));
    const norm = (y) =>
        (d.gnorm !== null ? text(
                                w - 9, y, num(d.gnorm, 2),
                                {"text-anchor": "end", style: sure ? null : "fill:var(--bad)"}) :
                            null);
    const strip =
        svg("rect", {x: 0.5, y: 6, width: 5, height: h - 12, rx: 2.5, fill: this.colour(d.gnorm)});
    const rightWidth = 7 * d.right.length;
    const sketch = d.node.y && !(d.node.shape && d.node.shape.length === 0) ? d.node.y : null;
    const value = number(d.node.value);
    const box = svg(
        "g", {
          class: "node",
          transform: `translate(${at.x - w / 2} ${at.y - h / 2})`,
          tabindex: -1,
          role: "button",
          "aria-pressed": "false",
          "data-key": item.key,
          onclick: () => this.choose(item.key, true),
          ondblclick: () => this.fold(item),
          onkeydown: (e) => this.nodeKey(e, item)
        },
        item.group !== null ? svg("rect", {
          x: 5,
          y: h - 7,
          width: w - 10,
          height: 11,
          rx: 5,
          fill: "var(--panel)",
          stroke: "var(--line)"
        }) :
                              null,
        svg("rect", {class: "box", width: w, height: h, rx: 7}), strip,
        item.beside ? [text(13, 18, cut(d.title, w - 64), {class: "ink"}), norm(18)] :
                      [
                        text(
                            14, 19, cut(d.title, (w - 30 - rightWidth) * 0.8),
                            {class: "strong", style: "font-size:13px"}),
                        text(w - 9, 19, d.right, {"text-anchor": "end"}),
                        text(14, 35, cut(d.under, w - 24), {}),
                        value !== null ? text(14, 53, num(value, 4), {class: "ink"}) :
                            sketch     ? svg("g", {transform: "translate(14 42)"},
                                             sparkline(
                                                 sketch, 64, 14,
                                                 {fill: "var(--muted)", "fill-opacity": .8}, true)) :
                                         null,
                        d.node.dy && value === null ?
                            svg("g", {transform: "translate(92 42)"},
                                sparkline(d.node.dy, 64, 14, {fill: "var(--accent)"}, true)) :
                            null,
                        norm(53)
                      ],
        svg("title", {}, `${d.title} ${d.right}\n${d.under}`));
    for (const word of box.querySelectorAll("text")) word.after(" ");  // read aloud word by word
    return box;
  },
  scale(by) {
    if (!this.svg) return;
    const room = this.canvas.clientWidth || page.paper || 700;
    if (by === 1 && !this.state.zoom) {
      // All of its width, unless that is too small to read; never larger than life.
      this.zoom = Math.max(0.8, Math.min(1, (room - 4) / this.size.width));
    } else {
      this.zoom = Math.max(0.15, Math.min(3, (this.state.zoom || this.zoom) * by));
      if (by !== 1) this.state.zoom = this.zoom;
    }
    this.svg.setAttribute("width", this.size.width * this.zoom);
    this.svg.setAttribute("height", this.size.height * this.zoom);
  },
  choose(key, focus) {
    this.state.chosen = key;
    for (const [k, box] of this.boxes) {
      box.setAttribute("aria-pressed", String(k === key));
      box.setAttribute("tabindex", k === key ? 0 : -1);
    }
    for (const edge of this.svg.querySelectorAll(".edge"))
      edge.classList.toggle("hot", edge.dataset.from === key || edge.dataset.to === key);
    if (focus) {
      const at = this.at.get(key), z = this.zoom, c = this.canvas;
      this.boxes.get(key).focus({preventScroll: true});
      const x = at.x * z, y = at.y * z;
      if (x < c.scrollLeft + 60 || x > c.scrollLeft + c.clientWidth - 60)
        c.scrollLeft = x - c.clientWidth / 2;
      if (y < c.scrollTop + 50 || y > c.scrollTop + c.clientHeight - 50)
        c.scrollTop = y - c.clientHeight / 2;
    }
    this.inspect(this.items.get(key));
  },
  inspect(item) {
    const d = this.describe(item), n = d.node;
    const link = (id) => {
      const key = [...this.items.values()].find((i) => i.nodes.some((m) => m.id === id));
      const node = this.nodes.get(id),
            word = `%${id} ${node ? (node.leaf && node.name) || opName(node) : ""}`;
      return key ? el("button", {
        type: "button",
        style: "margin:2px 4px 2px 0",
        onclick: () => this.choose(key.key, true)
      },
                      word) :
                   el("span", {}, word + " ");
    };
    const facts = [
      [t("tape.op"), item.group === null ? opName(n) : null], [t("tape.name"), n.name],
      [t("layer"), n.layer ? layerName(this.file, n.layer) : null],
      [t("shape"), n.shape ? (n.shape.length ? shape(n.shape) : t("tape.scalar")) : null],
      [t("tape.value"), number(n.value) !== null ? num(n.value, 5) : null],
      [t("mean"), n.y && number(n.value) === null ? num(n.y.mean) : null],
      [t("std"), n.y && number(n.value) === null ? num(n.y.std) : null],
      [
        t("tape.range"),
        n.y && number(n.value) === null ? `${num(n.y.min)} … ${num(n.y.max)}` : null
      ],
      [
        t("distributions.zeros.share"),
        n.y && number(n.value) === null ? percent(number(n.y.zeros)) : null
      ],
      ["‖∂L/∂y‖", number(n.gnorm) !== null ? num(n.gnorm, 4) : t("tape.nogradient")]
    ];
    const inside = item.group !== null ? item.group : n.layer;
    this.side.replaceChildren(
        ...[el("h3", {}, d.title),
            el("p", {class: "muted small", style: "margin:0"}, d.under),
            el("dl", {class: "facts"},
               facts.filter(([, v]) => v).map(([k, v]) => [el("dt", {}, k), el("dd", {}, v)])),
            n.y && n.y.hist && number(n.value) === null ?
                [
                  el("p", {class: "small", style: "margin:0 0 2px"}, t("tape.values")),
                  histogram(n.y, t("tape.values"), "var(--muted)")
                ] :
                null,
            n.dy && n.dy.hist && number(n.value) === null ?
                [
                  el("p", {class: "small", style: "margin:8px 0 2px"}, t("tape.gradients")),
                  histogram(n.dy, t("tape.gradients"), "var(--accent)")
                ] :
                null,
            item.group === null && (n.inputs || []).length ?
                el("p", {class: "small", style: "margin:12px 0 0"}, t("tape.inputs"), el("br"),
                   n.inputs.map(link)) :
                null,
            inside ? el("p", {style: "margin:14px 0 0"},
                        el("button", {type: "button", onclick: () => this.fold(item)},
                           t(item.group !== null ? "tape.unfold" : "tape.fold"))) :
                     null,
    ].flat().filter(Boolean));
  },
  // Opens a group, or folds the layer of a node; those folded by hand are "-path" at level "op".
  fold(item) {
    const open = this.state.open, level = this.state.level;
    const path = item.group !== null ? item.group :
        level === "block"            ? (item.nodes[0].layer || "").split(".")[0] :
                                       item.nodes[0].layer;
    if (!path) return;
    const key = level === "op" ? `-${path}` : path;
    if (open.has(key))
      open.delete(key);
    else
      open.add(key);
    const id = item.nodes[item.nodes.length - 1].id;
    this.draw();
    const now = [...this.items.values()].find((i) => i.nodes.some((n) => n.id === id));
    if (now) this.choose(now.key, true);
  },
  // Along the graph: up to what it was made of, down to what is made of it, left and right beside
  // it.
  nodeKey(event, item) {
    if (event.key === "Enter" || event.key === " ") {
      this.fold(item);
      event.preventDefault();
      return;
    }
    const near = (keys) => keys.sort(
        (a, b) => Math.abs(this.at.get(a).x - this.at.get(item.key).x) -
            Math.abs(this.at.get(b).x - this.at.get(item.key).x))[0];
    const here = this.at.get(item.key);
    let next = null;
    if (event.key === "ArrowUp")
      next = near(this.edges.filter(([, to]) => to === item.key).map(([from]) => from));
    if (event.key === "ArrowDown")
      next = near(this.edges.filter(([from]) => from === item.key).map(([, to]) => to));
    if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
      const sign = event.key === "ArrowRight" ? 1 : -1;
      next = near(this.order.filter(
          (k) => Math.abs(this.at.get(k).y - here.y) < kNodeHeight &&
              sign * (this.at.get(k).x - here.x) > 1));
    }
    if (event.key === "Home") next = this.order[0];
    if (event.key === "End") next = this.order[this.order.length - 1];
    if (!/^(Arrow|Home|End)/.test(event.key)) return;
    event.preventDefault();
    if (next) this.choose(next, true);
  },
  // What a node is found by. (An input stands in no layer.)
  words(node) {
    const layer = node.leaf && !node.parameter ? null : node.layer;
    return [
      opName(node), node.name, layer && layerName(this.file, layer), shape(node.shape),
      `%${node.id}`
    ].filter(Boolean)
        .join("\n");
  },
  match(step) {
    const query = this.state.query.trim().toLowerCase();
    const hits = [];
    for (const key of this.order) {
      const item = this.items.get(key);
      const hit = query && item.nodes.some((n) => this.words(n).toLowerCase().includes(query));
      this.boxes.get(key).classList.toggle("dim", Boolean(query) && !hit);
      if (hit) hits.push(key);
    }
    this.found.textContent = query ? t("tape.found", {n: hits.length}) : "";
    if (!hits.length || !query) return;
    const now = hits.indexOf(this.state.chosen);
    if (step === 0 && now >= 0) return;
    const key = hits[(Math.max(now, step > 0 ? now : 0) + step + hits.length) % hits.length];
    this.choose(key, true);
    this.search.focus();
  },
  // A picture of its own: the colours as they are now, no style sheet.
  exportSvg() {
    const copy = this.svg.cloneNode(true);
    const from = [this.svg, ...this.svg.querySelectorAll("*")],
          to = [copy, ...copy.querySelectorAll("*")];
    from.forEach((element, i) => {
      const style = getComputedStyle(element);
      for (const name
               of ["fill", "stroke", "stroke-width", "stroke-opacity", "fill-opacity",
                   "font-family", "font-size", "font-weight"])
        if (!/^(g|svg|defs|title)$/.test(element.tagName))
          to[i].setAttribute(name, style.getPropertyValue(name));
      for (const name
               of ["style", "class", "tabindex", "role", "aria-pressed", "aria-label", "data-key",
                   "data-from", "data-to"])
        to[i].removeAttribute(name);
    });
    copy.setAttribute("width", this.size.width);
    copy.setAttribute("height", this.size.height);
    copy.prepend(
        svg("rect", {width: this.size.width, height: this.size.height, fill: css("--panel")}));
    return new XMLSerializer().serializeToString(copy);
  },
  exportDot() {
    const quote = (s) =>
        `"${String(s).replace(/\\/g, "\\\\").replace(/"/g, '\\"').replace(/\n/g, "\\n")}"`;
    const lines =
        ["digraph tape {", "  rankdir=TB; node [shape=box, style=rounded, fontname=Helvetica];"];
    for (const [key, item] of this.items) {
      const d = this.describe(item);
      lines.push(`  ${quote(key)} [label=${quote([
        `${d.title} ${d.right}`.trim(), d.under, d.gnorm !== null ? `|g| ${num(d.gnorm)}` : ""
      ].filter(Boolean).join("\n"))}];`);
    }
    for (const [from, to] of this.edges) lines.push(`  ${quote(from)} -> ${quote(to)};`);
    return lines.join("\n") + "\n}\n";
  },
});
function opName(node) {
  const name = node.leaf ? t(isParameter(node) ? "tape.parameter" : "tape.leaf") : node.op;
  return node.activation && !String(node.op).includes(node.activation) ?
      `${name} + ${node.activation}` :
      name;
}
function isParameter(node) {
  return Boolean(node.leaf && node.parameter);
}
const times = (dims) => (dims || []).join("×");
// A smooth line through dagre's points.
function curve(points) {
  let d = `M${points[0].x} ${points[0].y}`;
  for (let i = 1; i < points.length - 1; ++i) {
    const p = points[i], q = points[i + 1], last = i === points.length - 2;
    d += `Q${p.x} ${p.y} ${last ? q.x : (p.x + q.x) / 2} ${last ? q.y : (p.y + q.y) / 2}`;
  }
  return points.length < 3 ? d + `L${points[points.length - 1].x} ${points[points.length - 1].y}` :
                             d;
}
