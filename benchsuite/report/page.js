// Draws the charts when they come into view. The page says everything that matters without it.
"use strict";
(() => {
  const root = document.documentElement;
  const names = ["ink", "muted", "line", "paper", "panel", "good", "bad",
    "blue", "vermillion", "green", "purple"];
  const colours = () => {
    const style = getComputedStyle(root);
    return names.map((name) => style.getPropertyValue("--" + name).trim());
  };
  // Charts are written in the light colours; what is drawn has those of the theme in force.
  const light = () => {
    const had = root.classList.contains("light");
    root.classList.add("light");
    const values = colours();
    root.classList.toggle("light", had);
    return values;
  };
  const written = light();
  const figure = (plot) => {
    let json = document.getElementById(plot.id + "-figure").textContent;
    const now = colours();
    written.forEach((value, i) => { json = json.replaceAll('"' + value + '"', '"' + now[i] + '"'); });
    return JSON.parse(json);
  };

  let library = null;
  const load = () => library ??= (async () => {
    const packed = atob(document.getElementById("plotly").textContent);
    const bytes = Uint8Array.from(packed, (character) => character.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
  })();

  const coarse = matchMedia("(pointer: coarse)");
  const drawn = new Set();
  const draw = (plot, width) => {
    const { data, layout } = figure(plot);
    layout.width = width;
    layout.dragmode = coarse.matches ? false : "zoom";
    drawn.add(plot);
    return Plotly.react(plot, data, layout, { displayModeBar: false, responsive: true });
  };
  const show = (plot) => load().then(() => draw(plot)).catch((problem) => {
    plot.textContent = "This browser cannot draw the chart: " + problem.message;
    throw problem;
  });

  const plots = [...document.querySelectorAll(".plot")];
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      watcher.unobserve(entry.target);
      show(entry.target);
    }
  }, { rootMargin: "400px" });
  plots.forEach((plot) => watcher.observe(plot));

  // Printing does not wait: what draws must be there by then, though no chart was looked at.
  if (plots.length) addEventListener("load", () => setTimeout(load, 500));

  const redraw = () => drawn.forEach((plot) => draw(plot));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  addEventListener("beforeprint", () => {
    root.classList.add("light");
    if (globalThis.Plotly) plots.forEach((plot) => draw(plot, 680));  // what A4 and Letter hold
  });
  addEventListener("afterprint", () => {
    root.classList.remove("light");
    redraw();
  });
})();
