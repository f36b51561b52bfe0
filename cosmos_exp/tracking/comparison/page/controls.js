// Filters by axis, the choice of metrics, and which cells came to nothing.
function drawChips() {
  const rows = filterAxes
    .filter(a => a.values.length > 1)
    .flatMap(axis => {
      const off = (state.off[axis.key] ||= new Set());
      const chips = axis.values.map(value => {
        const chip = make("button", {textContent: text(value)});
        chip.setAttribute("aria-pressed", !off.has(text(value)));
        chip.dataset.axis = axis.key;
        chip.dataset.value = text(value);
        chip.title = "Show or hide; with Shift, show this alone";
        chip.onclick = event => {
          if (event.shiftKey) state.off[axis.key] = new Set(axis.values.map(text).filter(v => v !== text(value)));
          else off.has(text(value)) ? off.delete(text(value)) : off.add(text(value));
          draw();
          document
            .querySelector(`[data-axis="${CSS.escape(axis.key)}"][data-value="${CSS.escape(text(value))}"]`)
            .focus();
        };
        return chip;
      });
      return [make("span", {className: "soft", textContent: axis.key}), make("div", {}, ...chips)];
    });
  $("chips").replaceChildren(...rows);
  const count = shown().length,
    total = data.cells.length;
  $("shown").textContent = count === total ? "" : `${count} of ${total} cells shown`;
  $("reset").hidden = count === total;
}

// The menus that choose one metric offer what the cells have of the chosen part. What was wanted returns with the part
// that has it; until then the first one stands for it.
const METRIC_MENUS = {
  objective: value => {
    state.objective = value;
    showColumn(value);
    drawAnswer();
  },
  "scatter-y": value => {
    state.scatter.y = value;
    drawScatter();
  },
  "scatter-x": value => {
    state.scatter.x = value;
    drawScatter();
  },
  "heat-metric": value => {
    state.heat.metric = value;
    drawHeat();
  },
};
function setUpMetricMenus() {
  for (const [id, apply] of Object.entries(METRIC_MENUS))
    $(id).onchange = () => apply((state.wanted[id] = $(id).value));
  drawMetricMenus();
}
function drawMetricMenus() {
  const offered = measured(),
    compared = offered.filter(m => m.direction);
  state.objective = offer("objective", objectives(), metricLabel);
  state.scatter.y = offer("scatter-y", offered);
  state.scatter.x = offer("scatter-x", offered, m => m.label, state.scatter.y);
  state.heat.metric = offer("heat-metric", offered);
  $("scatter").hidden = compared.length < 2 || settingsOf(data.cells).length < 2;
}
// Fills a menu, and returns what it shows: what is wanted, else the first metric with a direction that is not `taken`.
function offer(id, metrics, name = m => m.label, taken = "") {
  const others = metrics.filter(m => m.direction && m.key !== taken);
  const here = metrics.find(m => m.key === state.wanted[id]) || others[0] || metrics[0] || {key: ""};
  options(
    $(id),
    metrics.map(m => [m.key, name(m)]),
  );
  return ($(id).value = here.key);
}

function drawMenus() {
  for (const name of ["table", "parallel", "plots"]) {
    const chosen = state.metrics[name];
    $(name + "-menu")
      .querySelector("div")
      .replaceChildren(
        ...measured().map(metric => {
          const box = make("input", {type: "checkbox", checked: chosen.has(metric.key)});
          box.onchange = () => {
            box.checked ? chosen.add(metric.key) : chosen.delete(metric.key);
            delete state.ranges[metric.key];
            draw();
          };
          return make("label", {title: metric.about}, box, metricLabel(metric));
        }),
      );
  }
}

function drawWithout() {
  const without = data.cells.filter(cell => cell.state !== "done");
  $("without").hidden = !without.length;
  $("without").querySelector("summary").textContent =
    `${without.length} of ${data.cells.length} cells without a full result`;
  $("without")
    .querySelector("ul")
    .replaceChildren(
      ...without.map(cell =>
        make(
          "li",
          {},
          describe(cell) + ": ",
          make("span", {className: "bad", textContent: stateOf(cell)}),
          cell.run ? make("span", {className: "soft", textContent: `  (${cell.run})`}) : "",
        ),
      ),
    );
}
