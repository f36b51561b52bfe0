// The table: a row per cell, or per combination of the axes that are neither scene nor seed.
function tableRows() {
  const cells = shown();
  if (!state.means)
    return cells.map(cell => ({cells: [cell], axes: cell.axes, value: key => ({mean: metricOf(cell, key)})}));
  return [...groupBy(cells, cell => joint(cell, factors)).values()].map(group => {
    const known = new Map();
    const value = key => {
      if (!known.has(key)) {
        const pairs = valuesOf(group, key);
        known.set(key, pairs.length ? interval(pairs) : {});
      }
      return known.get(key);
    };
    return {cells: group, axes: group[0].axes, value};
  });
}
const rowState = row =>
  row.cells.length === 1 && !state.means
    ? stateOf(row.cells[0])
    : [...groupBy(row.cells, c => c.state)]
        .map(([name, of]) => `${of.length} ${name}`)
        .sort((a, b) => b.endsWith("done") - a.endsWith("done"))
        .join(", ");

function sorted(rows) {
  if (!state.sort) return rows;
  const [kind, key] = state.sort;
  const get = row => (kind === "metric" ? row.value(key).mean : key === "state" ? rowState(row) : row.axes[key]);
  const order = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));
  return rows.sort((a, b) => {
    const x = get(a),
      y = get(b),
      tie = a.cells[0].index - b.cells[0].index;
    if (x === undefined || x === null) return y === undefined || y === null ? tie : 1;
    if (y === undefined || y === null) return -1;
    return (order(x, y) || tie) * (state.descending ? -1 : 1);
  });
}

function heading(name, kind, key, about, numeric) {
  const here = state.sort && state.sort[0] === kind && state.sort[1] === key;
  const button = make("button", {textContent: name + (here ? (state.descending ? " ▾" : " ▴") : ""), title: about});
  button.onclick = () => {
    state.descending = here ? !state.descending : kind === "metric" && metricNamed(key).direction !== "down";
    state.sort = [kind, key];
    drawTable();
    document.querySelector(`th[data-key="${CSS.escape(key)}"] button`).focus();
  };
  const th = make("th", {className: numeric ? "num" : "", scope: "col"}, button);
  th.dataset.key = key;
  th.setAttribute("aria-sort", here ? (state.descending ? "descending" : "ascending") : "none");
  return th;
}

function drawTable() {
  const rows = sorted(tableRows()),
    metrics = measured(),
    axes = state.means ? factors : data.axes;
  document
    .querySelector("#table thead")
    .replaceChildren(
      make(
        "tr",
        {},
        make("th", {textContent: "▶", title: "Played below"}),
        ...axes.map(a => heading(a.label, "axis", a.key, a.key)),
        heading("state", "axis", "state", "state of the run"),
        ...metrics.map(m => heading(metricLabel(m), "metric", m.key, m.about, true)),
      ),
    );
  const best = Object.fromEntries(
    metrics.map(m => {
      const values = rows.map(row => row.value(m.key).mean).filter(v => v !== undefined);
      const pick = {up: Math.max, down: Math.min}[m.direction];
      return [m.key, pick && new Set(values).size > 1 ? pick(...values) : undefined];
    }),
  );
  document.querySelector("#table tbody").replaceChildren(...rows.map(row => tableRow(row, axes, metrics, best)));
}

function tableRow(row, axes, metrics, best) {
  const tick = make("input", {type: "checkbox", checked: row.cells.every(c => c.ticked)});
  tick.indeterminate = !tick.checked && row.cells.some(c => c.ticked);
  tick.setAttribute("aria-label", "Play " + axes.map(a => `${a.label} ${text(row.axes[a.key])}`).join(", "));
  tick.onchange = () => {
    row.cells.forEach(c => (c.ticked = tick.checked));
    drawVideos();
  };
  const failed = row.cells.some(c => c.state !== "done"),
    why = [...new Set(row.cells.map(c => c.error).filter(Boolean))].join("\n");
  const numbers = metrics.map(m => {
    const {mean: value, half, count, unit} = row.value(m.key);
    const cell = make("td", {
      className: "num" + (value !== undefined && value === best[m.key] ? " best" : ""),
      textContent: fixed(value, m),
    });
    if (half !== undefined)
      cell.append(
        make("span", {
          className: "spread",
          textContent: ` ± ${half.toFixed(3)}`,
          title: `95 % interval over ${count} ${unit}`,
        }),
      );
    return cell;
  });
  const tr = make(
    "tr",
    {title: row.cells[0].prompt},
    make("td", {}, tick),
    ...axes.map(a => make("td", {textContent: text(row.axes[a.key])})),
    make("td", {className: "state " + (failed ? "bad" : "soft"), title: why, textContent: rowState(row)}),
    ...numbers,
  );
  return row.cells.length === 1 ? standsFor(tr, row.cells[0]) : tr;
}
