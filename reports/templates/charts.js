"use strict";
(() => {
  const content = JSON.parse(document.getElementById("chart-data").textContent);
  const boxes = [...document.querySelectorAll("[data-chart]")];
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const views = new Map();
  let printing = false;

  const strengths = new Set(
    Object.values(content.tables).flatMap((table) => (table.strength || []).map(Number)),
  ).size;

  function palette() {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(`--${name}`).trim();
    const prefix = printing ? "print-" : "";
    const get = (name) => colour(prefix + name) || colour(name);
    return {
      ink: get("ink"),
      muted: get("muted"),
      rule: get("rule"),
      accent: get("accent"),
      ramp: [get("ramp-0"), get("ramp-1"), get("ramp-2")],
    };
  }

  function mix(from, to, share) {
    const parse = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
    const [a, b] = [parse(from), parse(to)];
    return `rgb(${a.map((value, i) => Math.round(value + (b[i] - value) * share)).join(",")})`;
  }

  function ramp(stops, count) {
    return Array.from({ length: Math.max(count, 1) }, (_, i) => {
      const at = count > 1 ? (2 * i) / (count - 1) : 2;
      return at <= 1 ? mix(stops[0], stops[1], at) : mix(stops[1], stops[2], at - 1);
    });
  }

  function config() {
    const c = palette();
    const font = getComputedStyle(document.body).getPropertyValue("--sans").trim() || "sans-serif";
    const text = { labelFont: font, titleFont: font, labelFontSize: 12, titleFontSize: 12 };
    return {
      background: "transparent",
      aria: false,
      font,
      view: { stroke: null },
      axis: {
        ...text, titleFontWeight: "normal", titleColor: c.muted, labelColor: c.muted,
        domainColor: c.rule, tickColor: c.rule, gridColor: c.rule, gridOpacity: 0.6,
        domain: false, ticks: false, labelPadding: 6, titlePadding: 8, tickCount: 5,
      },
      axisX: { grid: false, domain: true, ticks: true, tickSize: 4 },
      legend: { ...text, titleFontWeight: "normal", titleColor: c.muted, labelColor: c.ink,
        symbolSize: 70, titleOrient: "left", columnPadding: 12, offset: 6 },
      range: { ordinal: ramp(c.ramp, strengths) },
      style: {
        replicate: { color: c.ink, strokeWidth: 1, opacity: 0.28 },
        "trend-point": { color: c.ink, size: 20, opacity: 0.55 },
        "replicate-point": { size: 42, opacity: 0.8 },
        band: { color: c.accent, opacity: 0.2 },
        fit: { color: c.accent, strokeWidth: 2.5 },
        zero: { color: c.muted, strokeWidth: 1 },
        estimate: { color: c.accent, filled: true, size: 70, opacity: 1 },
        curve: { strokeWidth: 2 },
        "curve-point": { size: 16 },
      },
    };
  }

  function rows(slice) {
    const table = content.tables[slice.table];
    const conditions = Object.entries(slice.where);
    const columns = Object.entries(slice.columns);
    const found = [];
    const length = table[columns[0][1]].length;
    for (let i = 0; i < length; i += 1) {
      if (conditions.every(([name, value]) => table[name][i] === value)) {
        const row = {};
        for (const [name, source] of columns) row[name] = table[source][i];
        found.push(row);
      }
    }
    return found;
  }

  // several plots in one: beside each other where they fit, else below
  function fitted(spec, width) {
    if (!spec.concat) return spec;
    const columns = width < 640 ? 1 : spec.concat.length;
    const each = Math.floor(width / columns) - 64;
    const sized = (part) => ({ ...part, width: each, height: Math.min(each, 230) });
    return { ...spec, columns, concat: spec.concat.map(sized) };
  }

  const bytes = (letters) => Uint8Array.from(atob(letters), (letter) => letter.charCodeAt(0));

  function unpacked(letters) {
    const stream = new Blob([bytes(letters)]).stream();
    return new Response(stream.pipeThrough(new DecompressionStream("gzip"))).text();
  }

  // the library is a third as large packed; its text has its hash in the page's policy
  async function load(packed) {
    const script = document.createElement("script");
    script.textContent = await unpacked(packed.textContent);
    document.head.append(script);
    return window.vegaEmbed;
  }

  function draw(box) {
    const chart = content.charts[box.dataset.chart];
    const datasets = {};
    for (const [name, slice] of Object.entries(chart.data)) datasets[name] = rows(slice);
    const before = views.get(box);
    views.set(box, null);
    library
      .then((embed) => embed(box, { ...fitted(chart.spec, box.clientWidth), datasets }, {
        ast: true, actions: false, defaultStyle: false, tooltip: false,
        renderer: "svg", config: config(), mode: "vega-lite",
      }))
      .then((result) => {
        if (before) before.finalize();
        views.set(box, result);
        // the box says in words what it shows; the drawing's parts would only repeat its marks
        box.querySelector("svg").setAttribute("aria-hidden", "true");
        box.classList.add("drawn");
      })
      .catch((error) => {
        box.textContent = "This chart could not be drawn; its numbers stand in the tables.";
        console.error(error);
      });
  }

  const redraw = () => [...views.keys()].forEach(draw);
  const drawRest = () => boxes.filter((box) => !views.has(box) && box.offsetParent).forEach(draw);

  const packed = document.getElementById("chart-library");
  const library = packed && load(packed);
  if (packed && boxes.length) {
    const near = new IntersectionObserver(
      (entries) => {
        for (const entry of entries) {
          if (entry.isIntersecting) {
            near.unobserve(entry.target);
            if (!views.has(entry.target)) draw(entry.target);
          }
        }
      },
      { rootMargin: "600px" },
    );
    boxes.forEach((box) => near.observe(box));
    dark.addEventListener("change", redraw);
    window.addEventListener("beforeprint", () => {
      printing = true;
      redraw();
      drawRest();
    });
    window.addEventListener("afterprint", () => {
      printing = false;
      redraw();
    });
  }

  function tableRows(table) {
    return [...table.rows].map((row) => [...row.cells].map((cell) => {
      const copy = cell.cloneNode(true);
      copy.querySelectorAll("svg").forEach((drawing) => drawing.remove());
      copy.querySelectorAll("data").forEach((number) => { number.textContent = number.value; });
      copy.querySelectorAll("small, b").forEach((part) => { part.prepend(" "); part.append(" "); });
      return copy.textContent.replace(/\s+/g, " ").trim();
    }));
  }

  function chartRows(chart) {
    const parts = Object.entries(chart.data).map(([name, slice]) => [name, rows(slice)]);
    const names = [...new Set(parts.flatMap(([, found]) => Object.keys(found[0] || {})))];
    return [["part", ...names], ...parts.flatMap(([name, found]) =>
      found.map((row) => [name, ...names.map((column) => row[column] ?? "")]))];
  }

  function csv(lines) {
    const field = (value) => {
      const text = String(value);
      return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
    };
    return lines.map((line) => `${line.map(field).join(",")}\n`).join("");
  }

  function save(text, name) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    link.download = name;
    link.click();
    URL.revokeObjectURL(link.href);
  }

  for (const place of document.querySelectorAll("[data-rows]")) {
    const name = place.dataset.rows;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "CSV";
    button.setAttribute("aria-label", `CSV of ${place.dataset.of}`);
    button.addEventListener("click", () => {
      const chart = content.charts[name];
      const lines = chart ? chartRows(chart)
        : tableRows(document.getElementById(name).querySelector("table"));
      save(csv(lines), `${name}.csv`);
    });
    place.replaceWith(button);
  }

  for (const link of document.querySelectorAll('a[href^="data:application/gzip"]')) {
    link.addEventListener("click", async (event) => {
      // what could not be unpacked here is downloaded as it is
      if (!window.DecompressionStream) return;
      event.preventDefault();
      save(await unpacked(link.href.split(",")[1]), link.download.replace(/\.gz$/, ""));
    });
  }

  function outline(cells, side, tau) {
    const on = (row, column) => row >= 0 && column >= 0 && row < side && column < side
      && cells[row * side + column] > 255 * tau;
    let path = "";
    const run = (edge, write) => {
      for (let line = 0; line <= side; line += 1) {
        for (let at = 0; at < side; at += 1) {
          if (!edge(line, at)) continue;
          const start = at;
          while (at < side && edge(line, at)) at += 1;
          path += write(line, start, at - start);
        }
      }
    };
    run((y, x) => on(y - 1, x) !== on(y, x), (y, x, length) => `M${x} ${y}h${length}`);
    run((x, y) => on(y, x - 1) !== on(y, x), (x, y, length) => `M${x} ${y}v${length}`);
    return path;
  }

  for (const place of document.querySelectorAll(".threshold")) {
    const taus = place.dataset.taus.split(",");
    const declared = place.dataset.tau;
    const label = document.createElement("label");
    const slider = document.createElement("input");
    const said = document.createElement("output");
    Object.assign(slider, { type: "range", min: 0, max: taus.length - 1, step: 1, id: "cut" });
    slider.value = taus.indexOf(declared);
    label.htmlFor = "cut";
    label.textContent = "Cut all masks at";
    const gallery = document.getElementById("gallery");
    const cut = () => {
      const tau = taus[slider.value];
      said.textContent = `${tau} of a map’s range${tau === declared ? ", as declared" : ""}`;
      slider.setAttribute("aria-valuetext", said.textContent);
      for (const each of gallery.querySelectorAll("[data-tau]:not(.threshold)")) {
        each.hidden = each.dataset.tau !== tau;
      }
      for (const path of gallery.querySelectorAll("path[data-cells]")) {
        const cells = bytes(path.dataset.cells);
        path.setAttribute("d", outline(cells, Math.round(Math.sqrt(cells.length)), Number(tau)));
      }
    };
    slider.addEventListener("input", cut);
    place.append(label, slider, said);
    said.textContent = `${declared} of a map’s range, as declared`;
    slider.setAttribute("aria-valuetext", said.textContent);
  }

  for (const place of document.querySelectorAll(".order")) {
    const list = document.querySelector(`#${place.dataset.of} .classes`);
    const label = document.createElement("label");
    const choice = document.createElement("select");
    choice.id = "order";
    label.htmlFor = "order";
    label.textContent = "Sort classes by";
    const by = {
      "most alike first": (a, b) => b.dataset.mean - a.dataset.mean,
      "least alike first": (a, b) => a.dataset.mean - b.dataset.mean,
      name: (a, b) => a.dataset.label.localeCompare(b.dataset.label, undefined, { numeric: true }),
    };
    for (const words of Object.keys(by)) choice.append(new Option(words, words));
    choice.addEventListener("change", () => list.append(...[...list.children].sort(by[choice.value])));
    place.append(label, choice);
  }

  for (const quote of document.querySelectorAll("blockquote.copy")) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      const text = quote.querySelector("p, pre").textContent;
      try {
        await navigator.clipboard.writeText(text);
        button.textContent = "Copied";
      } catch {
        window.getSelection().selectAllChildren(quote.querySelector("p, pre"));
        button.textContent = "Selected";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
    quote.append(button);
  }
})();
