/* Draws the figures that aiops_site/charts describes: resolves their colours, follows the theme, drills down. */
(() => {
  "use strict";

  const source = document.currentScript.dataset.plotly;
  const NARROW = 520;
  let plotly = null;

  /** Plotly is large: it is fetched once, when the first chart comes near the screen. */
  function loadPlotly() {
    plotly ??= new Promise((done, failed) => {
      const script = document.createElement("script");
      script.src = source;
      script.onload = () => done(window.Plotly);
      script.onerror = () => failed(new Error("The chart library did not load."));
      document.head.append(script);
    });
    return plotly;
  }

  // ---- colours -------------------------------------------------------------------------------------------------
  const probe = document.createElement("span");
  probe.hidden = true;
  let known = new Map();

  /** "var(--c1)" or "var(--c1)/0.2" as rgb(): light-dark() is only resolved on a real property. */
  function colour(text) {
    if (known.has(text)) return known.get(text);
    const [, name, alpha] = text.match(/^var\((--[\w-]+)\)(?:\/([\d.]+))?$/);
    if (!probe.isConnected) document.body.append(probe);
    probe.style.color = `var(${name})`;
    const rgb = getComputedStyle(probe).color;
    const value = alpha ? rgb.replace(/^rgb\((.*)\)$/, (_, parts) => `rgba(${parts}, ${alpha})`) : rgb;
    known.set(text, value);
    return value;
  }

  function resolved(value) {
    if (typeof value === "string") return value.startsWith("var(--") ? colour(value) : value;
    if (Array.isArray(value)) return value.map(resolved);
    if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, resolved(v)]));
    return value;
  }

  // ---- drawing -------------------------------------------------------------------------------------------------
  const figures = (root) => [...root.querySelectorAll("figure[data-chart]")].filter((f) => f.querySelector("[data-plot]"));
  const payload = (figure) => figure.querySelector('script[type="application/json"]').textContent;

  /** Threshold labels stand at a value; on a log axis Plotly wants the logarithm. */
  function placed(layout) {
    if (layout.yaxis.type !== "log") return layout.annotations;
    return layout.annotations.map((a) => (a.yref === "paper" ? a : { ...a, y: Math.log10(a.y) }));
  }

  /** Names at the line ends take room at the right: only where there is room and no chart above or below to be in line with. */
  function speaksDirectly(figure, spec, width) {
    const alone = figures(figure.parentElement).length === 1;
    const direct = spec.meta.labels.length > 0 && width >= NARROW && alone;
    figure.querySelector("[data-key]")?.toggleAttribute("data-direct", direct);
    return direct;
  }

  /** On a phone there is room for four times and for the name of the newest change only; the rules all stay. */
  function squeeze(layout) {
    layout.xaxis.nticks = 4;
    const changes = layout.annotations.filter((a) => a.yref === "paper");
    const newest = changes.reduce((last, a) => (!last || a.x > last.x ? a : last), null);
    layout.annotations = layout.annotations.filter((a) => a.yref !== "paper" || a === newest);
    const [start, end] = (layout.xaxis.range ?? []).map(Date.parse);
    if (newest && start && Date.parse(newest.x) > (start + end) / 2) newest.xanchor = "right";
  }

  function shaped(spec, width, direct) {
    const layout = structuredClone(spec.layout);
    layout.annotations = placed(layout).concat(direct ? spec.meta.labels : []);
    if (!direct) layout.margin.r = 12;
    if (width < NARROW) squeeze(layout);
    layout.font.family = getComputedStyle(document.body).fontFamily;
    layout.width = width;
    return resolved(layout);
  }

  async function draw(figure) {
    const plot = figure.querySelector("[data-plot]");
    const text = payload(figure);
    const library = await loadPlotly();
    const spec = JSON.parse(text);
    const width = Math.floor(plot.clientWidth - 8);
    if (width <= 0) return;
    await library.react(plot, resolved(spec.data), shaped(spec, width, speaksDirectly(figure, spec, width)), { displayModeBar: false, responsive: false, displaylogo: false, scrollZoom: false, doubleClick: false, locale: "en" });
    plot.drawnText = text;
    plot.drawnWidth = width;
    plot.toggleAttribute("data-clickable", Boolean(spec.meta.drill));
    if (!plot.wired) wire(figure, plot);
  }

  function wire(figure, plot) {
    plot.wired = true;
    plot.on("plotly_clickannotation", ({ annotation }) => annotation.name?.startsWith("/") && location.assign(annotation.name));
    plot.on("plotly_click", (event) => drill(JSON.parse(payload(figure)).meta, event.points[0]));
  }

  /** Goes to the events behind a point: from and to are the ends of its bucket, in UTC. */
  function drill(meta, point) {
    if (!meta.drill || !point?.customdata) return;
    const url = new URL(meta.drill, location.href);
    if (meta.step) {
      const from = new Date(point.customdata);
      url.searchParams.delete("range");
      url.searchParams.set("from", from.toISOString());
      url.searchParams.set("to", new Date(from.getTime() + meta.step * 1000).toISOString());
    }
    location.assign(url);
  }

  const complain = (figure) => (error) => {
    const plot = figure.querySelector("[data-plot]");
    plot.textContent = `${error.message} The data table below has every figure.`;
    figure.querySelector(".chart-data").open = true;
  };
  const drawSafely = (figure) => draw(figure).catch(complain(figure));

  const seen = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        seen.unobserve(entry.target);
        drawSafely(entry.target);
      }
    },
    { rootMargin: "800px 0px" },
  );
  const sized = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      if (target.drawnWidth && Math.abs(target.clientWidth - 8 - target.drawnWidth) > 1) drawSafely(target.closest("figure"));
    }
  });

  function watch(root) {
    for (const figure of figures(root)) {
      const plot = figure.querySelector("[data-plot]");
      if (plot.drawnText === undefined) {
        seen.observe(figure);
        sized.observe(plot);
      } else if (plot.drawnText !== payload(figure)) drawSafely(figure);
    }
  }

  function redrawAll() {
    known = new Map();
    for (const figure of figures(document)) if (figure.querySelector("[data-plot]").drawnText !== undefined) drawSafely(figure);
  }

  // ---- downloads -----------------------------------------------------------------------------------------------
  function save(name, href) {
    const link = document.createElement("a");
    link.download = name;
    link.href = href;
    link.click();
  }

  async function savePng(figure) {
    const plot = figure.querySelector("[data-plot]");
    const library = await loadPlotly();
    const ground = getComputedStyle(figure).backgroundColor;
    const title = { text: figure.querySelector("h2").textContent, x: 0, xref: "paper", font: { size: 14 } };
    const layout = { ...plot.layout, paper_bgcolor: ground, title, height: plot.layout.height + 40, margin: { ...plot.layout.margin, t: 48 } };
    const data = await library.toImage({ data: plot.data, layout }, { format: "png", width: plot.drawnWidth, height: layout.height, scale: 2 });
    save(`${figure.dataset.chart}.png`, data);
  }

  const cell = (node) => `"${node.textContent.trim().replaceAll('"', '""')}"`;
  function saveCsv(figure) {
    const rows = [...figure.querySelectorAll(".chart-data tr")].map((row) => [...row.cells].map(cell).join(","));
    const href = URL.createObjectURL(new Blob([rows.join("\r\n")], { type: "text/csv" }));
    save(`${figure.dataset.chart}.csv`, href);
    setTimeout(() => URL.revokeObjectURL(href), 1000);
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-png], [data-csv]");
    if (!button) return;
    const figure = button.closest("figure");
    if (button.matches("[data-png]")) savePng(figure);
    else saveCsv(figure);
  });
  document.addEventListener("desk:theme", redrawAll);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redrawAll);
  // Paper is light whatever the screen is.
  matchMedia("print").addEventListener("change", redrawAll);
  addEventListener("beforeprint", () => figures(document).forEach(drawSafely));
  document.addEventListener("htmx:after:swap", () => watch(document));
  watch(document);
})();
