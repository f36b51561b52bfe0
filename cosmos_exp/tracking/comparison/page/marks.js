// SVG, colours and the light that falls on one cell in all views.
function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== undefined) node.setAttribute(name, value);
  node.append(...children);
  return node;
}
function words(content, x, y, attributes = {}) {
  return svg("text", {x, y, ...attributes}, content);
}
const shorten = (content, length) => (content.length > length ? content.slice(0, length - 1) + "…" : content);

// Six colours (page.css) that any two of can be told apart with every kind of colour vision, in light and dark; more
// values than that, and metrics, take a ramp of cividis, which grows evenly lighter. Shapes repeat what colours say.
const HUES = 6;
const CIVIDIS = [
  [0, 34, 78],
  [53, 69, 108],
  [102, 105, 112],
  [148, 142, 119],
  [200, 184, 102],
  [254, 232, 56],
];
const darkScheme = matchMedia("(prefers-color-scheme: dark)");
function ramp(share) {
  const at = (darkScheme.matches ? 0.3 + 0.7 * share : 0.82 * share) * (CIVIDIS.length - 1);
  const low = Math.min(Math.floor(at), CIVIDIS.length - 2);
  return `rgb(${CIVIDIS[low].map((c, i) => Math.round(c + (at - low) * (CIVIDIS[low + 1][i] - c)))})`;
}
function colourOfValue(axis, value) {
  const index = axis.values.findIndex(v => text(v) === text(value));
  if (index < 0) return "var(--soft)";
  return axis.values.length <= HUES ? `var(--c${index})` : ramp(index / (axis.values.length - 1));
}
function colourOf(cell) {
  const axis = axisOf(state.colour);
  if (axis) return colourOfValue(axis, cell.axes[axis.key]);
  if (!state.colour) return "var(--c0)";
  const place = placeOn(state.colour, cell);
  return place === undefined ? "var(--soft)" : ramp(place);
}
function mark(index, x, y, size, attributes) {
  const s = size,
    shapes = [
      () => svg("circle", {cx: x, cy: y, r: s, ...attributes}),
      () => svg("rect", {x: x - s, y: y - s, width: 2 * s, height: 2 * s, ...attributes}),
      () => svg("path", {d: `M${x},${y - 1.3 * s}L${x + 1.2 * s},${y + s}H${x - 1.2 * s}Z`, ...attributes}),
      () =>
        svg("path", {
          d: `M${x},${y - 1.4 * s}L${x + 1.4 * s},${y}L${x},${y + 1.4 * s}L${x - 1.4 * s},${y}Z`,
          ...attributes,
        }),
      () => svg("path", {d: `M${x},${y + 1.3 * s}L${x + 1.2 * s},${y - s}H${x - 1.2 * s}Z`, ...attributes}),
    ];
  return shapes[(index < 0 ? 0 : index) % shapes.length]();
}

function drawLegend() {
  const axis = axisOf(state.colour);
  const swatch = (index, colour) =>
    svg("svg", {width: 13, height: 13, "aria-hidden": "true"}, mark(index, 6.5, 6.5, 4.5, {fill: colour}));
  let entries = [];
  if (axis)
    entries = axis.values.map((value, i) => make("span", {}, swatch(i, colourOfValue(axis, value)), text(value)));
  else if (state.colour) {
    const scale = scaleOf(state.colour),
      metric = metricNamed(state.colour);
    const [worst, best] = scale.turned ? [scale.high, scale.low] : [scale.low, scale.high];
    const bar = make("span", {});
    bar.className = "ramp";
    bar.style.background = `linear-gradient(to right, ${[0, 0.25, 0.5, 0.75, 1].map(ramp)})`;
    entries = [
      make("span", {textContent: fixed(worst, metric)}),
      bar,
      make("span", {textContent: fixed(best, metric)}),
    ];
  }
  $("legend").replaceChildren(...entries);
}

// Cells that the pointer is on are lit wherever they are drawn; what there is to say of them stands beside the pointer.
function lightAll(cells, event, note) {
  document.querySelectorAll(".lit").forEach(node => node.classList.remove("lit"));
  $("tip").hidden = !event || !note;
  for (const cell of cells)
    document.querySelectorAll(`[data-cell="${cell.index}"]`).forEach(node => node.classList.add("lit"));
  if (!event || !note) return;
  $("tip").textContent = note;
  const box = $("tip").getBoundingClientRect();
  $("tip").style.left = Math.max(0, Math.min(event.clientX + 14, innerWidth - box.width - 8)) + "px";
  $("tip").style.top = Math.max(0, Math.min(event.clientY + 14, innerHeight - box.height - 8)) + "px";
}
// Says what there is to say of these cells to the pointer, and to the keyboard where the node can have the focus.
function explains(node, cells, note) {
  node.onpointermove = event => lightAll(cells, event, note);
  node.onpointerleave = node.onblur = () => lightAll([]);
  node.onfocus = () => {
    const {right, bottom} = node.getBoundingClientRect();
    lightAll(cells, {clientX: right, clientY: bottom}, note);
  };
  return node;
}
function standsFor(node, cell, note) {
  node.dataset.cell = cell.index;
  return explains(node, [cell], note);
}
function toggleTick(cell) {
  cell.ticked = !cell.ticked;
  drawTable();
  drawVideos();
}
