// The report's page: what all views share. Plain ES2020, no build step: cmake/embed.cmake joins
// glass/page/*.js, in alphabetical order, into one script, which ends with start().
//
// A view is one file, view_<name>.js, that registers itself:
//
//     register({
//       name: "stepper",                  // its address: #stepper
//       order: 2,                         // its place among the views
//       words: {en: {title: "Stepper", lead: ".."}, pt: {title: "Passo a passo", lead: ".."}},
//       has: (glass) => glass.files[0].lesson.length > 0,      // whether there is something to
//       show render(container, glass) { .. },  // draws it; called again when the theme or the
//       language changes key(event) { .. },                // optional: keys while it is open; true
//       if it took the key
//     });
//
// t("stepper.title") is a word in the reader's language (words of other files, such as
// words.en.json, have names with their view's name in front too); {n} in it is filled in by
// t("..", {n: 3}). Title and lead (a sentence below the title) are set by the page.
//
// glass.files is the run, and perhaps a second one. A file has its lines by kind: epoch, probe,
// images, boundary, finding, lesson, gradcheck are arrays; run, model, mistakes, end are one line
// or null; steps and flow are columns, sketches are whole step lines, clinic is by layer (see
// readFile).
//
// All text of the data goes through el() or svg(), which make text nodes: a name that looks like
// HTML stays a name.
"use strict";

const views = [];
function register(view) {
  views.push(view);
}

// ---- elements ----

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function")
      element.addEventListener(name.replace(/^on/, ""), value);
    else
      element.setAttribute(name, value === true ? "" : value);
  }
  element.append(
      ...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false));
  return element;
}
// el("p", {class: "muted", onclick: f}, "text", el("b", {}, "more"))
function el(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}
function svg(tag, attributes, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}
// math(M.mfrac(M.mi("∂L"), M.mi("∂y")), M.mo("="), M.mn("0.37"))
const M = new Proxy({}, {
  get: (_, tag) => (...children) =>
      fill(document.createElementNS("http://www.w3.org/1998/Math/MathML", tag), {}, children),
});
function math(...children) {
  return M.math(M.mstyle(...children));
}
function mathNorm(name) {
  return M.mrow(M.mo("‖"), M.mi(name), M.mo("‖"));
}

// ---- words ----

const page = {
  lang: "en",
  theme: "light",
  view: "",
  glass: null,
  words: {en: {}, pt: {}}
};

function t(key, values = {}) {
  const english = page.words.en[key];
  let word = page.words[page.lang][key] ?? english ?? key;
  if (Array.isArray(word)) word = word[Number(values.n) === 1 ? 0 : 1];
  return word.replace(/\{(\w+)\}/g, (all, name) => (name in values ? String(values[name]) : all));
}

// ---- numbers ----

const kSuperscript = {
  "-": "⁻",
  0: "⁰",
  1: "¹",
  2: "²",
  3: "³",
  4: "⁴",
  5: "⁵",
  6: "⁶",
  7: "⁷",
  8: "⁸",
  9: "⁹"
};
function powerOfTen(exponent) {
  return "10" + [...String(exponent)].map((c) => kSuperscript[c]).join("");
}
const formats = new Map();
function format(value, options) {
  const key = page.lang + JSON.stringify(options);
  if (!formats.has(key)) {
    formats.set(key, new Intl.NumberFormat(page.lang === "pt" ? "pt-BR" : "en-US", options));
  }
  return formats.get(key).format(value).replace("-", "−");
}
// A number from the file, where those that are not finite are words.
function number(value) {
  if (value === "nan") return NaN;
  if (value === "inf") return Infinity;
  if (value === "-inf") return -Infinity;
  return typeof value === "number" ? value : null;
}
const isNumber = (value) => typeof value === "number" && Number.isFinite(value);
// With `digits` significant ones: 0.0123, 3.14, 12,345, 2.1·10⁻⁵.
function num(value, digits = 3) {
  const x = number(value);
  if (x === null) return "–";
  if (Number.isNaN(x)) return "NaN";
  if (!Number.isFinite(x)) return x > 0 ? "∞" : "−∞";
  if (x === 0) return "0";
  const size = Math.abs(x);
  if (size < 1e-3 || size >= 1e6) {
    let exponent = Math.floor(Math.log10(size));
    if (Number((size / 10 ** exponent).toPrecision(digits)) >= 10) ++exponent;
    const factor = format(
        x / 10 ** exponent, {minimumSignificantDigits: digits, maximumSignificantDigits: digits});
    return `${factor}·${powerOfTen(exponent)}`;
  }
  if (size >= 10 ** (digits - 1)) return format(Math.round(x), {maximumFractionDigits: 0});
  return format(x, {minimumSignificantDigits: digits, maximumSignificantDigits: digits});
}
function count(value) {
  return isNumber(value) ? format(value, {maximumFractionDigits: 0}) : "–";
}
// For an axis: no digits that say nothing.
function tick(value) {
  const size = Math.abs(value);
  if (value !== 0 && (size < 1e-3 || size >= 1e6)) {
    const exponent = Math.floor(Math.log10(size) + 1e-9);
    const factor = Number((value / 10 ** exponent).toPrecision(3));
    return (factor === 1 ? "" : format(factor, {maximumSignificantDigits: 3}) + "·") +
        powerOfTen(exponent);
  }
  return format(value, {maximumSignificantDigits: 6});
}
function percent(share, digits = 1) {
  return isNumber(share) ?
      format(100 * share, {minimumFractionDigits: digits, maximumFractionDigits: digits}) + " %" :
      "–";
}
// 12,345 -> 12.3 k, for tiles and axes.
const capital = (word) => word.charAt(0).toUpperCase() + word.slice(1);
function short(value) {
  if (!isNumber(value)) return "–";
  for (const [size, letter] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (Math.abs(value) >= size)
      return format(value / size, {maximumSignificantDigits: 3}) + " " + letter;
  }
  return format(value, {maximumSignificantDigits: 3});
}
function seconds(value) {
  if (!isNumber(value)) return "–";
  if (value >= 3600) return `${Math.floor(value / 3600)} h ${Math.round((value % 3600) / 60)} min`;
  if (value >= 100) return `${Math.floor(value / 60)} min ${Math.round(value % 60)} s`;
  return value >= 1 ? `${num(value)} s` :
      value >= 1e-3 ? `${num(1e3 * value)} ms` :
                      `${num(1e6 * value)} µs`;
}
const shape = (dims) => (dims ? "[" + dims.join(", ") + "]" : "");

// ---- colours ----

function css(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}
// --ramp or --signed as a function from 0..1 to [r, g, b].
function colours(name) {
  const stops =
      css(name).split(/\s+/).map((hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16)));
  return (share) => {
    const at = Math.max(0, Math.min(1, share || 0)) * (stops.length - 1);
    const low = Math.min(Math.floor(at), stops.length - 2);
    return stops[low].map((c, i) => Math.round(c + (stops[low + 1][i] - c) * (at - low)));
  };
}
const rgb = (colour) => `rgb(${colour.join(",")})`;
// Black or white, whichever is the more legible on a colour.
function inkOn([r, g, b]) {
  const linear = (c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4);
  const light = 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  return light > 0.179 ? "#000000" : "#ffffff";
}
// The i-th of n lines that have an order: from pale to strong.
function shade(i, n) {
  const least = page.theme === "dark" ? 0.42 : 0.3;
  return rgb(colours("--ramp")(n < 2 ? 0.75 : least + ((1 - least) * i) / (n - 1)));
}

// ---- tables and figures ----

// head: names; rows: arrays of strings, numbers (set with `num`) or elements, or a function of none
// that makes them. Columns of numbers are aligned right.
function table(head, rows, {label = "", digits = 4, free = false} = {}) {
  const all = typeof rows === "function" ? rows() : rows;
  const kNumber =
      /^[−\d][\d.,·⁻⁰¹²³⁴-⁹ ]*( ?(%|s|ms|µs|k|M|G|T|B|kB|MB|GB))?$|^–$/;
  const isNumeric = (cell) => cell === null || typeof cell === "number" ||
      ["nan", "inf", "-inf"].includes(cell) ||
      kNumber.test(cell instanceof Node ? cell.textContent : cell);
  const numeric = head.map((_, i) => all.length > 0 && all.every((row) => isNumeric(row[i])));
  const cell = (value, i) =>
      el(i === 0 && !numeric[0] ? "th" : "td",
         {class: numeric[i] ? "n" : "wrap", scope: i === 0 && !numeric[0] ? "row" : null},
         value instanceof Node                                   ? value :
             typeof value === "string" && !numeric[i]            ? value :
             Number.isInteger(value)                             ? count(value) :
             typeof value === "string" && number(value) === null ? value :
                                                                   num(value, digits));
  return el(
      "div", {
        class: free ? "scroll free" : "scroll",
        tabindex: 0,
        role: "region",
        "aria-label": label || head.join(", ")
      },
      el("table", {},
         el("thead", {},
            el("tr", {},
               head.map(
                   (name, i) => el("th", {scope: "col", class: numeric[i] ? "n" : null}, name)))),
         el("tbody", {}, all.map((row) => el("tr", {}, row.map(cell))))));
}
// Made when it is opened: a table of 2,000 rows costs nothing before.
function tableDetails(title, head, rows) {
  const details = el("details", {}, el("summary", {}, t("table")));
  details.addEventListener("toggle", () => {
    if (details.open && details.children.length === 1)
      details.append(table(head, rows, {label: title}));
  });
  return details;
}
// A drawing with its title, what it says (text or elements), its keys and its table.
function figure({title, note, formula, keys, body, table: data}) {
  return el(
      "figure", {},
      el("figcaption", {}, el("h3", {}, title), note ? el("p", {}, note) : null,
         formula ? el("p", {class: "formula"}, formula) : null),
      keys, body, data ? tableDetails(title, data.head, data.rows) : null);
}
// A row of buttons of which one is pressed.
function choice(label, options, chosen, onchange) {
  const group =
      el("fieldset", {class: "choice"},
         el("legend", {class: "muted small", style: "float:left;margin:5px 8px 0 0;padding:0"},
            label));
  for (const [value, text] of options) {
    group.append(
        el("button", {
          type: "button",
          "aria-pressed": String(value === chosen),
          "data-value": value,
          onclick: () => {
            for (const b of group.querySelectorAll("button"))
              b.setAttribute("aria-pressed", String(b.dataset.value === String(value)));
            onchange(value);
          }
        },
           text));
  }
  return group;
}
function select(label, options, chosen, onchange) {
  const list =
      el("select", {onchange: () => onchange(list.value)},
         options.map(
             ([value, text]) =>
                 el("option", {value, selected: String(value) === String(chosen)}, text)));
  return el("label", {}, label, list);
}
function save(name, type, text) {
  const link = el("a", {href: URL.createObjectURL(new Blob([text], {type})), download: name});
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

// ---- the data ----

// One run of the report's data: {file, run, model, curve, flow, steps, epochs, ..}; what was not
// thinned into columns is made from the whole step lines.
function readFile(data) {
  const curve = data.curve;
  const file = {
    name: data.file || "",
    cut: Boolean(data.cut),
    run: data.run || null,
    model: data.model || null,
    mistakes: data.mistakes || null,
    end: data.end || null,
    sketches: data.steps || [],
    epoch: data.epochs || [],
    probe: data.probes || [],
    images: data.images || [],
    boundary: data.boundaries || [],
    finding: data.findings || [],
    lesson: data.lessons || [],
    gradcheck: data.gradchecks || [],
  };
  file.steps = curve ? {
    ...curve,
    phases: {
      data: curve.data,
      forward: curve.forward,
      backward: curve.backward,
      step: curve.step_seconds
    }
  } :
                       columnsOfSteps(file.sketches);
  file.flow = data.flow || columnsOfFlow(file.sketches);
  file.layers = (file.model && file.model.layers) || [];
  file.byPath = new Map(file.layers.map((layer) => [layer.path, layer]));
  file.clinic = data.clinic || clinicOf(file);
  file.counted = data.counted || null;
  // Of the recorded steps what the units do: of more of them than are whole.
  file.fires = (data.fires || file.sketches).filter((l) => l.fire && Object.keys(l.fire).length);
  return file;
}
function columnsOfSteps(lines) {
  const of = (f) => lines.map((line) => number(f(line)));
  const phases = {};
  for (const name of ["data", "forward", "backward", "step"])
    phases[name] = of((line) => line.phases && line.phases[name]);
  return {
    step: of((l) => l.step),
    epoch: of((l) => l.epoch),
    loss: of((l) => l.loss),
    lr: of((l) => l.lr),
    seconds: of((l) => l.seconds),
    phases
  };
}
function columnsOfFlow(lines) {
  const flow = {step: lines.map((l) => l.step), layers: {}, parameters: {}};
  const names = (member) => [...new Set(lines.flatMap((l) => Object.keys(l[member] || {})))];
  for (const path of names("layers")) {
    const at = (f) => lines.map((l) => {
      const s = l.layers && l.layers[path];
      return s ? number(f(s)) : null;
    });
    flow.layers[path] = {y: at((s) => s.y && s.y.std), dy: at((s) => s.dy && s.dy.std)};
  }
  for (const name of names("parameters")) {
    const at = (f) => lines.map((l) => {
      const s = l.parameters && l.parameters[name];
      return s ? number(f(s)) : null;
    });
    flow.parameters[name] = {g: at((s) => s.gnorm), ratio: at((s) => s.ratio)};
  }
  return flow;
}
function clinicOf(file) {
  const clinic = {};
  const last = file.epoch.filter((line) => line.fired && line.seen).pop();
  for (const path of last ? Object.keys(last.fired) : []) {
    const fired = last.fired[path], total = last.seen[path];
    const seen = fired.map((_, unit) => (Array.isArray(total) ? total[unit] : total));
    const dead = [], silent = [], sleeping = [];
    const layer = file.byPath.get(path) || {}, f = layer.activation;
    const lives = typeof layer.dies === "boolean" ? !layer.dies : f && !/^relu6?$/.test(f);
    fired.forEach((n, unit) => {
      if (n === 0 && seen[unit] > 0) {
        const lines = file.sketches.filter((l) => l.fire && l.fire[path]);
        let alive = -1;
        lines.forEach((l, i) => {
          if (l.fire[path][unit] > 0) alive = i;
        });
        const line = lines[Math.min(alive + 1, lines.length - 1)];
        (lives ? silent : dead).push({
          unit,
          born: alive < 0,
          step: line ? line.step : last.step,
          lr: line ? line.lr : null
        });
      } else if (n < 0.01 * seen[unit]) {
        sleeping.push(unit);
      }
    });
    clinic[path] = {units: fired.length, seen, fired, dead, silent, sleeping};
  }
  return clinic;
}
function layerName(file, path) {
  const layer = file.byPath.get(path);
  return layer ? `${path ? path + " " : ""}${layer.text}` : path;
}
// The layers that have weights, first to last, each with its largest parameter; the scales of
// normalizations only where there is nothing else.
function weights(file) {
  const parameters =
      ((file.model && file.model.parameters) || []).filter((p) => file.flow.parameters[p.name]);
  const byLayer = new Map();
  for (const p of parameters) {
    if (!byLayer.has(p.layer) || byLayer.get(p.layer).count < p.count) byLayer.set(p.layer, p);
  }
  const all = [...byLayer.values()], matrices = all.filter((p) => (p.shape || []).length > 1);
  return matrices.length > 1 ? matrices : all;
}
const kBins = 63;
// The value where a bin of the log histogram begins, by size.
function binValue(bin) {
  return bin === 31 ? 0 : bin > 31 ? 2 ** (bin - 56) : -(2 ** (6 - bin));
}
function bytes(base64) {
  const text = atob(base64 || "");
  const data = new Uint8Array(text.length);
  for (let i = 0; i < text.length; ++i) data[i] = text.charCodeAt(i);
  return data;
}
function fileLabel(file, i) {
  return file.name || (file.run && file.run.title) || t("run.n", {n: i + 1});
}

// ---- the page ----

function remember(name, value) {
  try {
    localStorage.setItem("ramp." + name, value);
  } catch (e) { /* a file may have none */
  }
}
function remembered(name) {
  try {
    return localStorage.getItem("ramp." + name);
  } catch (e) {
    return null;
  }
}

const shown = () => views.filter((view) => view.has(page.glass));

function render(view) {
  const section = document.getElementById(view.name);
  const lead =
      page.words.en[view.name + ".lead"] ? el("p", {class: "lead"}, t(view.name + ".lead")) : null;
  section.replaceChildren(
      el("h2", {tabindex: -1, id: "title-" + view.name}, t(view.name + ".title")), lead || "");
  const body = el("div");
  section.append(body);
  view.render(body, page.glass);
  section.dataset.drawn = "yes";
}
function show(name, focus) {
  const view = shown().find((v) => v.name === name) || shown()[0];
  page.view = view.name;
  for (const section of document.querySelectorAll("main > section"))
    section.hidden = section.id !== view.name;
  for (const link of document.querySelectorAll("#side nav a")) {
    if (link.hash === "#" + view.name)
      link.setAttribute("aria-current", "page");
    else
      link.removeAttribute("aria-current");
  }
  const current = document.querySelector("#side nav a[aria-current]");
  const strip = document.querySelector("#side nav");
  if (strip.scrollWidth > strip.clientWidth) strip.scrollLeft = current.offsetLeft - 24;
  if (!document.getElementById(view.name).dataset.drawn) render(view);
  document.title = `${t(view.name + ".title")} · ${title()}`;
  if (focus) {
    document.getElementById("title-" + view.name).focus({preventScroll: true});
    window.scrollTo(0, 0);
  }
}
function title() {
  const file = page.glass.files[0];
  return (file.run && file.run.title) || file.name || "ramp";
}
function drawAll() {
  document.documentElement.lang = page.lang === "pt" ? "pt" : "en";
  document.documentElement.dataset.theme = page.theme;
  document.getElementById("skip").textContent = t("skip");
  const dark = page.theme === "dark";
  document.getElementById("side").replaceChildren(
      el("div", {}, el("div", {class: "brand"}, t("brand")), el("h1", {}, title()),
         page.glass.files.length > 1 ?
             el("div", {class: "brand"}, page.glass.files.map(fileLabel).join(" · ")) :
             null),
      el("nav", {"aria-label": t("views"), tabindex: -1},
         el("ol", {},
            shown().map(
                (view) =>
                    el("li", {}, el("a", {href: "#" + view.name}, t(view.name + ".title")))))),
      el("div", {class: "switches"},
         el("button", {
           type: "button",
           id: "theme",
           "aria-label": t(dark ? "light" : "dark"),
           title: t(dark ? "light" : "dark") + " (t)",
           onclick: toggleTheme
         },
            dark ? "☀" : "☾"),
         el("button", {
           type: "button",
           id: "lang",
           lang: page.lang === "pt" ? "en" : "pt",
           title: t("language") + " (l)",
           "aria-label": `${page.lang === "pt" ? "EN" : "PT"}: ${t("language")}`,
           onclick: toggleLanguage
         },
            page.lang === "pt" ? "EN" : "PT"),
         el("button", {
           type: "button",
           id: "keys",
           title: t("keys") + " (?)",
           "aria-label": "? " + t("keys"),
           onclick: showHelp
         },
            "?")));
  document.getElementById("main").replaceChildren(...shown().map(
      (view) =>
          el("section", {id: view.name, "aria-labelledby": "title-" + view.name, hidden: true})));
  show(page.view);
}
function toggleTheme() {
  page.theme = page.theme === "dark" ? "light" : "dark";
  remember("theme", page.theme);
  drawAll();
  document.getElementById("theme").focus();
}
function toggleLanguage() {
  page.lang = page.lang === "pt" ? "en" : "pt";
  remember("lang", page.lang);
  drawAll();
  document.getElementById("lang").focus();
}
function showHelp() {
  const dialog = document.getElementById("help");
  const rows = [
    ["n", "key.next"], ["p", "key.previous"], ["t", "key.theme"], ["l", "key.language"],
    ["/", "key.search"], ["?", "key.help"]
  ];
  dialog.setAttribute("aria-labelledby", "help-title");
  dialog.replaceChildren(
      el("h2", {id: "help-title"}, t("keys")),
      el("dl", {class: "facts"},
         rows.map(([key, word]) => [el("dt", {}, el("kbd", {}, key)), el("dd", {}, t(word))])),
      el("p", {class: "muted small", style: "margin:14px 0"}, t("key.more")),
      el("button", {type: "button", onclick: () => dialog.close()}, t("close")));
  dialog.showModal();
}
function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || document.getElementById("help").open)
    return;
  const view = views.find((v) => v.name === page.view);
  if (view.key && view.key(event)) {
    event.preventDefault();
    return;
  }
  if (/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
  const names = shown().map((v) => v.name);
  const step = {n: 1, p: -1}[event.key];
  if (step) {
    location.hash = names[(names.indexOf(page.view) + step + names.length) % names.length];
  } else if (event.key === "t") {
    toggleTheme();
  } else if (event.key === "l") {
    toggleLanguage();
  } else if (event.key === "?") {
    showHelp();
  } else {
    return;
  }
  event.preventDefault();
}
// On paper: all views, in light.
let beforePrint = null;
function printAll() {
  beforePrint = page.theme;
  page.theme = "light";
  drawAll();
  for (const section of document.querySelectorAll("main > section")) section.hidden = false;
  page.paper = 660;
  for (const view of shown()) render(view);
  page.paper = 0;
}
function printed() {
  page.theme = beforePrint;
  drawAll();
}
function start() {
  const data = JSON.parse(document.getElementById("data").textContent);
  page.words = JSON.parse(document.getElementById("words").textContent);
  for (const view of views) {
    for (const lang of ["en", "pt"]) {
      for (const [key, word] of Object.entries((view.words && view.words[lang]) || {}))
        page.words[lang][`${view.name}.${key}`] = word;
    }
  }
  views.sort((a, b) => a.order - b.order);
  page.glass = {files: data.runs.map(readFile)};
  const wanted = data.lang || remembered("lang") || (navigator.language || "").slice(0, 2);
  page.lang = wanted === "pt" ? "pt" : "en";
  page.theme = remembered("theme") ||
      (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  page.view = location.hash.slice(1);
  drawAll();
  addEventListener("hashchange", () => {
    if (location.hash !== "#main") show(location.hash.slice(1), true);
  });
  addEventListener("keydown", onKey);
  addEventListener("beforeprint", printAll);
  addEventListener("afterprint", printed);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", (e) => {
    if (remembered("theme")) return;
    page.theme = e.matches ? "dark" : "light";
    drawAll();
  });
}
