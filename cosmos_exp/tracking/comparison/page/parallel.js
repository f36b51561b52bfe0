// Parallel coordinates (Inselberg 1985): a line per cell through the swept axes and the chosen metrics.
const NARROWEST = 112,
  TOP = 46,
  HEIGHT = 230,
  SIDE = 66;

function drawParallel() {
  const host = document.querySelector("#parallel .plot");
  const keys = [
    ...data.axes.map(a => a.key),
    ...measured()
      .filter(m => state.metrics.parallel.has(m.key))
      .map(m => m.key),
  ];
  const kept = new Set(shown());
  const step = Math.max(
    NARROWEST,
    Math.min((host.clientWidth - 2 * SIDE) / Math.max(keys.length - 1, 1), 2 * NARROWEST),
  );
  const x = i => SIDE + i * step,
    y = share => TOP + (1 - share) * HEIGHT;
  const chart = svg("svg", {
    width: SIDE * 2 + step * Math.max(keys.length - 1, 0),
    height: TOP + HEIGHT + 34,
    role: "group",
    "aria-label": "Parallel coordinates",
  });
  const path = cell =>
    keys.reduce(
      (d, key, i) => {
        const place = placeOn(key, cell);
        if (place === undefined) return {d: d.d, broken: true};
        return {d: d.d + (d.broken ? "M" : "L") + x(i) + "," + y(place).toFixed(1), broken: false};
      },
      {d: "", broken: true},
    ).d;
  const opacity = kept.size > 60 ? 0.4 : 0.75;
  for (const cell of data.cells) if (!kept.has(cell)) chart.append(svg("path", {class: "aside", d: path(cell)}));
  for (const cell of kept) {
    const failed = !hasResult(cell);
    const line = svg("path", {
      class: "cell" + (failed ? " failed" : ""),
      d: path(cell),
      stroke: failed ? undefined : colourOf(cell),
      "stroke-opacity": opacity,
    });
    line.onclick = () => toggleTick(cell);
    chart.append(standsFor(line, cell, cellNote(cell, keys)));
  }
  keys.forEach((key, i) => chart.append(...parallelAxis(key, x(i), y)));
  const scrolled = host.scrollLeft;
  host.replaceChildren(chart);
  host.scrollLeft = scrolled;
}
function cellNote(cell, keys) {
  const values = keys
    .map(metricNamed)
    .filter(Boolean)
    .map(m => `${m.label}: ${fixed(metricOf(cell, m.key), m)}`);
  return [...label(cell).map(p => p.join(": ")), ...(cell.state === "done" ? [] : [stateOf(cell)]), ...values].join(
    "\n",
  );
}

function parallelAxis(key, x, y) {
  const scale = scaleOf(key),
    metric = metricNamed(key);
  const name = scale.axis ? scale.axis.label : metricLabel(metric),
    range = state.ranges[key];
  const ticks =
    scale.axis && scale.values.length <= 12
      ? scale.values.map(v => [shareOf(scale, v), text(v)])
      : [scale.low, (scale.low + scale.high) / 2, scale.high].map(v => [
          shareOf(scale, scale.ordinal ? scale.values[Math.round(v)] : v),
          scale.axis ? text(scale.ordinal ? scale.values[Math.round(v)] : +v.toPrecision(4)) : fixed(v, metric),
        ]);
  const nodes = [
    svg("line", {class: "axis", x1: x, x2: x, y1: y(0), y2: y(1)}),
    words(shorten(name, 17), x, 18, {class: "name", "text-anchor": "middle"}),
  ];
  nodes[1].append(svg("title", {}, scale.axis ? key : metric.about));
  for (const [share, content] of ticks) nodes.push(words(shorten(content, 14), x + 6, y(share) + 4));
  if (range) {
    nodes.push(
      svg("rect", {
        class: "range",
        x: x - 8,
        width: 16,
        y: y(range[1]),
        height: Math.max(y(range[0]) - y(range[1]), 2),
      }),
    );
  }
  const grip = svg("rect", {
    class: "grip",
    x: x - 12,
    width: 24,
    y: y(1) - 6,
    height: HEIGHT + 12,
    tabindex: 0,
    role: "slider",
    "data-range": key,
    "aria-orientation": "vertical",
    "aria-label": `Range of ${name}: up and down move its lower end, with Shift its upper end, Escape removes it`,
    "aria-valuemin": 0,
    "aria-valuemax": 100,
    "aria-valuenow": Math.round(100 * (range || [0, 1])[0]),
    "aria-valuetext": range ? `${Math.round(range[0] * 100)} to ${Math.round(range[1] * 100)} percent` : "all",
  });
  grip.onpointerdown = event => dragRange(event, key, y);
  grip.onkeydown = event => moveRange(event, key);
  return [...nodes, grip];
}

function setRange(key, range) {
  if (range && (range[0] > 0.001 || range[1] < 0.999)) state.ranges[key] = range;
  else delete state.ranges[key];
  draw();
  document.querySelector(`[data-range="${CSS.escape(key)}"]`).focus({preventScroll: true});
}
function dragRange(event, key, y) {
  const box = event.target.ownerSVGElement.getBoundingClientRect();
  const share = e => Math.min(Math.max(1 - (e.clientY - box.top - TOP) / HEIGHT, 0), 1);
  const start = share(event),
    preview = svg("rect", {class: "range", x: +event.target.getAttribute("x") + 4, width: 16});
  event.target.ownerSVGElement.append(preview);
  const ends = e => [Math.min(start, share(e)), Math.max(start, share(e))];
  const move = e => {
    const [low, high] = ends(e);
    preview.setAttribute("y", y(high));
    preview.setAttribute("height", y(low) - y(high));
  };
  const up = e => {
    removeEventListener("pointermove", move);
    removeEventListener("pointerup", up);
    const [low, high] = ends(e);
    setRange(key, high - low < 0.02 ? null : [low, high]); // a click removes the range
  };
  addEventListener("pointermove", move);
  addEventListener("pointerup", up);
  event.preventDefault();
}
function moveRange(event, key) {
  const step = {ArrowUp: 0.05, ArrowDown: -0.05}[event.key],
    range = [...(state.ranges[key] || [0, 1])];
  if (event.key === "Escape") setRange(key, null);
  else if (step) {
    event.preventDefault();
    const end = event.shiftKey ? 1 : 0;
    range[end] = end
      ? Math.min(Math.max(range[1] + step, range[0]), 1)
      : Math.max(Math.min(range[0] + step, range[1]), 0);
    setRange(key, range);
  }
}
