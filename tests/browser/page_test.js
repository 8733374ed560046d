// The report's page in a real browser: every view opens without an error or a request, the keyboard
// does all, axe finds nothing, hostile names stay text.
//   node page_test.js <chromium> <ramp-report, or ""> [page.html ..]     (further pages are opened
//   too)
"use strict";
const assert = require("assert");
const fs = require("fs");
const os = require("os");
const path = require("path");
const {execFileSync} = require("child_process");
const {chromium} = require("playwright-core");
const {template, pageOf, kMade, kHostile} = require("./pages.js");

const [executablePath, reporter, ...extra] = process.argv.slice(2);
const axe = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const folder = fs.mkdtempSync(path.join(os.tmpdir(), "ramp-browser-"));
const url = (name, hash = "") => `file://${path.join(folder, name)}.html${hash ? "#" + hash : ""}`;

let browser;
// A page that fails the test for whatever it must not do.
async function open(address, {theme = "light", width = 1280} = {}) {
  const context = await browser.newContext({
    viewport: {width, height: width < 500 ? 844 : 860},
    colorScheme: theme,
    locale: "en-US",
    acceptDownloads: true
  });
  const page = await context.newPage();
  page.setDefaultTimeout(120000);  // of a busy machine
  page.faults = [];
  page.on("console", (m) => {
    if (["error", "warning"].includes(m.type())) page.faults.push(`console: ${m.text()}`);
  });
  page.on("pageerror", (e) => page.faults.push(`error: ${e.message}`));
  page.on("dialog", (d) => {
    page.faults.push(`dialog: ${d.message()}`);
    d.dismiss();
  });
  page.on("request", (r) => {
    if (r.url().split("#")[0] !== address.split("#")[0] && !/^(data|blob):/.test(r.url()))
      page.faults.push(`request: ${r.url()}`);
  });
  await page.goto(address);
  page.done = async () => {
    await context.close();
    assert.deepStrictEqual(page.faults, []);
  };
  return page;
}
const viewsOf = (page) => page.$$eval("#side nav a", (links) => links.map((a) => a.hash.slice(1)));
const go = async (page, view) => {
  await page.evaluate((v) => {
    location.hash = v;
  }, view);
  await page.waitForFunction(
      (v) => document.querySelector(`#${v}:not([hidden])[data-drawn]`), view);
  await page.waitForTimeout(120);
};

async function everyViewOpens(name, all) {
  const found = [];
  for (const theme of ["light", "dark"]) {
    for (const width of [1280, 390]) {
      if (!all && (theme === "light") === (width === 1280)) continue;
      const page = await open(url(name), {theme, width});
      for (const view of await viewsOf(page)) {
        await go(page, view);
        assert((await page.innerText(`#${view} h2`)).length > 0);
        const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert(over <= 0, `${name}, ${view}, ${width} px wide: ${over} px stick out`);
        if (width === 1280 || theme === "light") {
          await page.evaluate(axe);
          const {violations} =
              await page.evaluate(() => window.axe.run(document, {resultTypes: ["violations"]}));
          found.push(...violations.map(
              (v) => `${name} ${view} ${theme} ${width}: ${v.id}: ${
                  v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160)).join("  ")}`));
        }
      }
      await page.done();
    }
  }
  assert.deepStrictEqual(found, []);
}

const tests = {
  async "every view opens, fits, and axe finds nothing: plain"() {
    await everyViewOpens("plain", true);
  },
  async "every view opens, fits, and axe finds nothing: two runs"() {
    await everyViewOpens("beside");
  },
  async "every view opens, fits, and axe finds nothing: hostile"() {
    await everyViewOpens("hostile");
  },
  async "every view opens, fits, and axe finds nothing: deep"() {
    await everyViewOpens("deep");
  },

  async "each chart has a title and a table"() {
    const page = await open(url("plain"));
    let charts = 0;
    for (const view of await viewsOf(page)) {
      await go(page, view);
      for (const figure of await page.$$(`#${view} figure`)) {
        ++charts;
        assert((await (await figure.$("h3")).innerText()).length > 0);
        await (await figure.$("summary")).click();
        await figure.waitForSelector("details table tbody tr");
      }
    }
    assert(charts > 25, `${charts} charts`);
    await page.done();
  },

  async "hostile names stay text"() {
    const page = await open(url("hostile"));
    for (const view of await viewsOf(page)) await go(page, view);
    assert.strictEqual(await page.evaluate(() => window.hacked), undefined);
    assert.strictEqual(
        await page.$$eval("img, iframe, object, embed, [onerror]", (all) => all.length), 0);
    assert.strictEqual(await page.innerText("#side h1"), `hostile ${kHostile}`);
    assert((await page.textContent("#model")).includes(kHostile));
    assert((await page.textContent("#stepper")).includes(kHostile));
    assert((await page.textContent("#gradcheck")).includes(kHostile));
    await page.done();
  },

  async "a cell of the confusion matrix opens its images"() {
    const run = kMade.plain()[0];
    const page = await open(url("plain", "errors"));
    for (const key of Object.keys(run.mistakes.cells).slice(0, 5)) {
      const [truth, said] = key.split(",");
      await page.click(`[data-cell="${key}"]`);
      const shown = await page.$$eval(".shown-cell .shot", (all) => all.map((s) => {
        const canvas = s.querySelector("canvas"),
              data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
        return {
          label: s.dataset.label,
          said: s.dataset.said,
          pixels: Array.from(data).filter((_, i) => i % 4 === 0),
          top: s.querySelectorAll(".top .n").length
        };
      }));
      const cell = run.mistakes.cells[key];
      assert.strictEqual(shown.length, cell.length);
      shown.forEach((s, i) => {
        assert.strictEqual(s.label, truth);
        assert.strictEqual(s.said, said);
        assert.strictEqual(s.top, 3);
        assert.deepStrictEqual(s.pixels, [...Buffer.from(cell[i].pixels, "base64")]);
      });
      // And why: the nearest of both classes, by their numbers.
      const near = await page.$$eval(
          ".shown-cell .reasons li",
          (all) => all.map(
              (li) => [...li.querySelectorAll("canvas")].slice(-2).map(
                  (c) =>
                      [c.getAttribute("aria-label"),
                       ...c.getContext("2d")
                           .getImageData(0, 0, 28, 28)
                           .data.filter((_, i) => i % 4 === 0)])));
      assert.strictEqual(near.length, cell.length);
      for (const [ofSaid, ofLabel] of near) {
        const of = (k) =>
            [`nearest ${k}`, ...Buffer.from(run.mistakes.pictures[9000 + Number(k)], "base64")];
        assert.deepStrictEqual(ofSaid, of(said));
        assert.deepStrictEqual(ofLabel, of(truth));
      }
      const [n, of] = run.mistakes.nearer[key], text = await page.innerText(".shown-cell");
      assert(
          text.includes(2 * n >= of ? "looks like one" : "decides wrongly") ||
              text.includes("look like one"),
          text);
    }
    await page.done();
  },

  async "the keyboard does all"() {
    const page = await open(url("plain"));
    const views = await viewsOf(page);
    const current = () => page.$eval("#side nav a[aria-current]", (a) => a.hash.slice(1));
    for (const view of [...views.slice(1), views[0]]) {
      await page.keyboard.press("n");
      await page.waitForTimeout(60);
      assert.strictEqual(await current(), view);
      assert.strictEqual(await page.evaluate(() => document.activeElement.tagName), "H2");
    }
    await page.keyboard.press("p");
    await page.waitForTimeout(60);
    assert.strictEqual(await current(), views[views.length - 1]);
    await page.keyboard.press("t");
    assert.strictEqual(await page.evaluate(() => document.documentElement.dataset.theme), "dark");
    await page.keyboard.press("l");
    assert.strictEqual(await page.evaluate(() => document.documentElement.lang), "pt");
    await page.keyboard.press("?");
    assert(await page.isVisible("#help"));
    await page.keyboard.press("Escape");
    assert(!(await page.isVisible("#help")));
    // Everything that can be clicked is reached by Tab or, inside the tape and the matrix, by
    // arrows.
    await go(page, "errors");
    await page.focus('.confusion [aria-pressed="true"]');
    const before = await page.evaluate(() => document.activeElement.dataset.cell);
    let after = before;
    for (const key of ["ArrowDown", "ArrowRight", "ArrowUp", "ArrowLeft"]) {
      await page.keyboard.press(key);
      after = await page.evaluate(() => document.activeElement.dataset.cell);
      if (after !== before) break;
    }
    assert.notStrictEqual(after, before);
    await page.keyboard.press("Enter");
    assert.strictEqual(
        await page.$eval('.confusion [aria-pressed="true"]', (b) => b.dataset.cell), after);
    await go(page, "tape");
    await page.keyboard.press("/");
    await page.keyboard.type("cross");
    await page.focus('.canvas .node[tabindex="0"]');
    const chosen = () => page.$eval('.canvas .node[aria-pressed="true"]', (n) => n.dataset.key);
    const loss = await chosen();
    await page.keyboard.press("ArrowUp");
    assert.notStrictEqual(await chosen(), loss);
    assert((await chosen()).startsWith("n"));
    await page.keyboard.press("Enter");
    assert((await chosen()).startsWith("g"), "the layer is folded");
    await page.keyboard.press("Enter");
    assert((await chosen()).startsWith("n"), "and unfolded");
    await go(page, "boundary");
    await page.focus('input[type="range"]');
    const step = await page.inputValue('input[type="range"]');
    await page.keyboard.press("ArrowLeft");
    assert.strictEqual(Number(await page.inputValue('input[type="range"]')), Number(step) - 1);
    await page.done();
  },

  async "the clinic's counts are those of the file, unit by unit"() {
    const run = kMade.plain()[0], last = run.epochs[run.epochs.length - 1];
    const page = await open(url("plain", "clinic"));
    const rows = await page.$$eval(
        "#clinic section.part table tbody tr",
        (all) => all.map((r) => [...r.cells].map((c) => c.textContent)));
    run.model.layers.slice(0, -1).forEach((layer, i) => {
      const fired = last.fired[layer.path], seen = last.seen[layer.path];
      let dead = 0, sleeping = 0;
      for (const n of fired) {
        if (n === 0)
          ++dead;
        else if (n < 0.01 * seen)
          ++sleeping;
      }
      assert.deepStrictEqual(
          rows[i].slice(1, 4), [String(fired.length), String(dead), String(sleeping)]);
    });
    // Born dead: positive in no recorded step and in no epoch.
    const born = run.model.layers.slice(0, -1).map(
        (l) => last.fired[l.path].filter(
            (n, unit) => n === 0 && run.steps.every((s) => s.fire[l.path][unit] === 0) &&
                run.epochs.every((e) => e.fired[l.path][unit] === 0)));
    assert.strictEqual(
        (await page.innerText("#clinic")).match(/born dead: it never fired/g).length,
        born.flat().length);
    await page.done();
  },

  async "a silent unit is dead where its slope is 0, and else it is not"() {
    const runs = kMade.beside(), page = await open(url("beside", "clinic"));
    const tables = await page.$$eval(
        "#clinic .grid2:first-child table",
        (all) => all.map(
            (t) => [...t.tBodies[0].rows].map(
                (r) => [...r.cells].map((c) => c.textContent).slice(2, 4))));
    runs.forEach((run, i) => {
      const last = run.epochs[run.epochs.length - 1];
      run.model.layers.slice(0, -1).forEach((layer, k) => {
        const never = String(last.fired[layer.path].filter((n) => n === 0).length);
        assert.deepStrictEqual(tables[i][k], i === 0 ? [never, "0"] : ["0", never]);
      });
    });
    const text = await page.innerText("#clinic");
    assert(/dead unit/.test(text) && /silent unit/.test(text));
    await page.done();
  },

  async "each of Doctor's findings has a name in both languages"() {
    const doctor = fs.readFileSync(path.join(__dirname, "../../train/doctor.cc"), "utf8");
    const codes = /kNames\[kCodes\] = \{([^}]*)\}/.exec(doctor)[1].match(/\w+/g);
    assert(codes.length > 15);
    const of = (l) => JSON.parse(
        fs.readFileSync(path.join(__dirname, `../../glass/page/words.${l}.json`), "utf8"));
    const english = of("en");
    for (const l of ["en", "pt"]) {
      const words = of(l);
      for (const code of codes) assert(words["finding." + code], `${l}: ${code}`);
      // And its texts: those of doctor.cc in English, with the same values in Portuguese.
      const found = [...doctor.matchAll(/\b(?:add|set)\(k(\w+), "(\w*)"/g)];
      assert(found.length > 20);
      for (const [, name, variant] of found) {
        const code =
            codes[doctor.match(/enum Code \{([^}]*)\}/)[1].match(/\w+/g).indexOf("k" + name)];
        const key = `finding.${code}${variant && "_" + variant}`;
        for (const what of ["evidence", "remedy"])
          assert(words[`${key}.${what}`], `${l}: ${key}.${what}`);
        const names = (w) => (w[`${key}.evidence`].match(/\{\w+\}/g) || []).sort();
        assert.deepStrictEqual(names(words), names(english));
      }
    }
  },

  async "findings, reasons and what was not measured are told in both languages"() {
    const page = await open(url("plain", "overview"));
    const told = async (view, ...texts) => {
      await go(page, view);
      const text = (await page.innerText(`#${view}`)).replace(/\s+/g, " ");
      for (const part of texts) assert(text.includes(part), `${view}: no "${part}" in ${text}`);
    };
    // From the key and the values; the text of the file is for pages that do not know the key.
    await told(
        "overview", "3 of 32 units (9.4 %) let no gradient through for the last 4096 examples",
        "Try: LeakyReLU, PReLU or ELU instead", "nearest");
    assert.strictEqual((await page.$$("#overview .reasons li")).length, 3);
    await page.keyboard.press("l");
    await told(
        "overview", "3 de 32 unidades (9,4 %) não deixaram passar gradiente nos últimos 4096",
        "Experimente: LeakyReLU, PReLU ou ELU no lugar", "mais próximo");
    await page.done();
    const other = await open(url("hostile", "overview"));
    assert((await other.innerText("#overview .findings")).includes("were 0 for the last 4,096"));
    await other.done();
    const byHand = await open(url("deep", "curves"));
    assert((await byHand.innerText("#curves")).includes("Not measured. In a loop of one’s own"));
    await byHand.done();
  },

  async "the tape is saved as SVG and as DOT"() {
    const page = await open(url("hostile", "tape"));
    for (const [button, name, check] of [
             ["SVG", "tape.svg", (s) => /^<svg /.test(s) && !/<script|<img/.test(s)],
             ["DOT", "tape.dot", (s) => /^digraph tape \{/.test(s) && s.includes("->")]]) {
      const [download] = await Promise.all(
          [page.waitForEvent("download"), page.click(`button:has-text("${button}")`)]);
      assert.strictEqual(download.suggestedFilename(), name);
      assert(check(fs.readFileSync(await download.path(), "utf8")), name);
    }
    await page.done();
  },

  async "both languages have all words, and the page shows words"() {
    const [en, pt] = ["en", "pt"].map(
        (l) => JSON.parse(
            fs.readFileSync(path.join(__dirname, `../../glass/page/words.${l}.json`), "utf8")));
    assert.deepStrictEqual(Object.keys(pt).sort(), Object.keys(en).sort());
    for (const key of Object.keys(en))
      assert.deepStrictEqual(
          [...JSON.stringify(pt[key]).matchAll(/\{\w+\}/g)].map(String).sort(),
          [...JSON.stringify(en[key]).matchAll(/\{\w+\}/g)].map(String).sort(), key);
    const page = await open(url("plain"));
    await page.keyboard.press("l");
    for (const view of await viewsOf(page)) {
      await go(page, view);
      const keys = (await page.innerText("body"))
                       .match(new RegExp(
                           `\\b(${
                               (await viewsOf(page))
                                   .join("|")}|fact|phase|metric|quantity|finding)\\.[a-z]+\\b`,
                           "g"));
      assert.deepStrictEqual(keys, null);
    }
    await page.done();
  },

  async "on paper: all views, in light"() {
    const page = await open(url("plain"), {theme: "dark"});
    await page.evaluate(() => dispatchEvent(new Event("beforeprint")));
    assert.strictEqual(await page.$$eval("main > section[hidden]", (all) => all.length), 0);
    assert.strictEqual(await page.evaluate(() => document.documentElement.dataset.theme), "light");
    await page.evaluate(() => dispatchEvent(new Event("afterprint")));
    assert.strictEqual(await page.evaluate(() => document.documentElement.dataset.theme), "dark");
    const pdf = await page.pdf();
    assert(pdf.length > 100000, `${pdf.length} bytes of PDF`);
    await page.done();
  },

  async "lessons: every view opens, fits, and axe finds nothing"() {
    if (reporter) await everyViewOpens("lessons", true);
  },

  async "the stepper shows the file's numbers, by keyboard"() {
    if (!reporter) return;
    const page = await open(url("lessons", "stepper"));
    const lessons = await page.evaluate(
        () => JSON.parse(document.getElementById("data").textContent).runs[0].lessons);
    assert.strictEqual(lessons.length, 9);
    const shown = () => page.$$eval(
        ".step-four",
        (lists) =>
            lists.map((l) => [...l.querySelectorAll("dd")].map((d) => Number(d.dataset.value))));
    let compared = 0;
    for (const [i, lesson] of lessons.entries()) {
      await page.selectOption("#stepper select", String(i));
      await page.focus("#title-stepper");
      for (const [at, step] of lesson.steps.entries()) {
        assert.strictEqual(
            await page.innerText("#stepper [role=status]"),
            `Step ${at + 1} of ${lesson.steps.length}`);
        const dy = lesson.nodes[step.node].gradient;
        const expected = step.additions.filter((a) => a.product.length === 1 && dy.length === 1)
                             .map(
                                 (a) =>
                                     [dy[0], ...(a.local ? [a.local[0]] : []), a.product[0],
                                      ...(a.before ? [a.before[0], a.after[0]] : [])]);
        assert.deepStrictEqual(await shown(), expected, `${lesson.name}, step ${at}`);
        compared += expected.length;
        await page.keyboard.press("ArrowRight");
      }
      await page.keyboard.press("ArrowLeft");
      assert.strictEqual(
          await page.innerText("#stepper [role=status]"),
          `Step ${lesson.steps.length - 1} of ${lesson.steps.length}`);
      await page.keyboard.press("Home");
      assert.strictEqual(await page.inputValue("#stepper input[type=range]"), "0");
    }
    assert(compared > 25, `${compared}`);
    await page.keyboard.press("l");
    assert((await page.innerText("#stepper")).includes("Lição"));
    await page.done();
  },

  async "a planted fault is shown"() {
    if (!reporter) return;
    const page = await open(url("lessons", "gradcheck"));
    assert.deepStrictEqual(
        (await page.$$eval(
            "#gradcheck [data-wrong]", (all) => all.map((e) => Number(e.dataset.wrong) > 0))),
        [false, true, true, true]);
    await page.done();
  },

  async "10,000 recorded steps: it is painted, and says after how long"() {
    let best = Infinity;
    for (let i = 0; i < 3; ++i) {
      const page = await open(url("long"));
      await page.waitForFunction(
          () => performance.getEntriesByName("first-contentful-paint").length > 0);
      best = Math.min(
          best,
          await page.evaluate(
              () => performance.getEntriesByName("first-contentful-paint")[0].startTime));
      await page.done();
    }
    console.log(`  first paint after ${best.toFixed(0)} ms`);
  },
};

(async () => {
  const html = template();
  console.log(
      reporter ? `pages by ${path.basename(reporter)}` : "no ramp-report: pages without it");
  for (const name of Object.keys(kMade))
    fs.writeFileSync(path.join(folder, `${name}.html`), pageOf(html, name, reporter, folder));
  if (reporter) execFileSync(reporter, ["--lessons", "-o", path.join(folder, "lessons.html")]);
  for (const file of extra) {
    const name = path.basename(file, ".html");
    fs.copyFileSync(file, path.join(folder, `${name}.html`));
    tests[`every view opens, fits, and axe finds nothing: ${name}`] = () => everyViewOpens(name);
  }
  browser =
      await chromium.launch({executablePath, args: process.getuid() === 0 ? ["--no-sandbox"] : []});
  let failed = 0;
  for (const [name, test] of Object.entries(tests)) {
    if (process.env.ONLY && !name.includes(process.env.ONLY)) continue;
    try {
      await test();
      console.log(`ok: ${name}`);
    } catch (e) {
      ++failed;
      console.log(
          `FAILED: ${name}\n  ${String(e.stack || e).split("\n").slice(0, 24).join("\n  ")}`);
    }
  }
  await browser.close();
  fs.rmSync(folder, {recursive: true});
  process.exit(failed ? 1 : 0);
})();
