/** A chart of series over time, with its table. uPlot draws on a canvas: colours come from the page's own properties. */
import uPlot from "./uplot.mjs";
import { useEffect, useRef, useState } from "./hooks.mjs";
import { html, Table } from "./ui.mjs";
import { number } from "./text.mjs";

const colour = (name) => {
  const probe = document.createElement("i");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
};
const FONT = '11px "Inter", system-ui, sans-serif';

/** `series`: [{name, colour, fill, values}] over `times` in seconds since 1970; `label` tells a time. */
export function Chart({ times, series, label, caption, height = 190 }) {
  const box = useRef(null);
  const [table, setTable] = useState(false);
  useEffect(() => {
    const place = box.current;
    if (!place) return undefined;
    let plot = null;
    const draw = () => {
      const step = Math.max(1, Math.ceil(times.length / Math.max(2, place.clientWidth / 90)));
      const marks = times.filter((_, i) => i % step === 0 && i > 0);
      plot?.destroy();
      const axis = { stroke: colour("--muted"), font: FONT, grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
      plot = new uPlot({
        width: place.clientWidth, height, legend: { show: false }, cursor: { show: false }, padding: [8, 4, 0, 4],
        scales: { x: { time: false }, y: { range: (_, low, high) => [0, Math.max(1, high * 1.1)] } },
        axes: [
          { ...axis, grid: { show: false }, size: 26, splits: () => marks, values: (_, at) => at.map(label) },
          { ...axis, side: 1, size: 48, space: 44, values: (_, at) => at.map((v) => (Number.isInteger(v) ? number(v) : "")) },
        ],
        series: [{}, ...series.map((each) => ({ stroke: colour(each.colour), width: each.fill ? 2 : 1.5, fill: each.fill && colour(each.fill), points: { show: times.length < 2 } }))],
      }, [times, ...series.map((each) => each.values)], place);
    };
    draw();
    const theme = matchMedia("(prefers-color-scheme: dark)");
    const sized = new ResizeObserver(() => plot.setSize({ width: place.clientWidth, height }));
    theme.addEventListener("change", draw);
    sized.observe(box.current);
    return () => { theme.removeEventListener("change", draw); sized.disconnect(); plot.destroy(); };
  }, [table, JSON.stringify([times, series])]);
  const rows = times.map((at, i) => ({ at, values: series.map((each) => each.values[i]) }));
  return html`<div class="title"><h2>${caption}</h2><div class="legend">${series.map((each) => html`<span><i style=${{ background: `var(${each.colour})` }}></i>${each.name}</span>`)}
      <button class="plain" aria-pressed=${table} onClick=${() => setTable(!table)}>${table ? "Chart" : "Table"}</button></div></div>
    ${table
      ? html`<div class="short"><${Table} caption=${caption} rows=${rows} columns=${[["Time, UTC", (r) => label(r.at)], ...series.map((each, i) => [each.name, (r) => number(r.values[i]), "num"])]}/></div>`
      : html`<div class="chart" ref=${box} role="img" aria-label=${`${caption}: ${series.map((each) => `${each.name} ${number(each.values.reduce((a, b) => a + (b ?? 0), 0))}`).join(", ")} in all`}></div>`}`;
}
