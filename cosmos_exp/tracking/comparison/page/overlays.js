// What lies over a video, the HD map or the verdicts on labels, and the controls beside it: videos on the same clock.
const OVERLAYS = {hdmap: cell => cell.controls.hdmap, labels: cell => cell.labels};
const OVERLAY_NAMES = {hdmap: "HD map", labels: "label verdicts"};

// Sources of one kind for the video that is shown: rows of them where that is a grid. Empty where it has none.
function tilesOf(cell, paths) {
  const front = cell.views[0];
  if (!paths || state.show.startsWith("control ")) return [];
  const rows =
    state.show === "grid"
      ? cell.grid.map(row => row.map(view => paths[view]))
      : [[paths[cell.views.includes(state.show) ? state.show : front]]];
  return rows.flat().some(Boolean) ? rows : [];
}
const overlayOf = cell => (state.overlay ? tilesOf(cell, OVERLAYS[state.overlay](cell)) : []);
// {control: its tiles} of those that the run used, of all where it did not say.
function besideOf(cell) {
  if (!state.beside) return {};
  const used = Object.entries(cell.controls).filter(([name]) => !cell.used.length || cell.used.includes(name));
  return Object.fromEntries(
    used.map(([name, paths]) => [name, tilesOf(cell, paths)]).filter(([, rows]) => rows.length),
  );
}
// How many videos a cell takes.
const playersOf = cell =>
  1 +
  [overlayOf(cell), ...Object.values(besideOf(cell))].reduce(
    (sum, rows) => sum + rows.flat().filter(Boolean).length,
    0,
  );

// Shorter rows stand in the middle, as in the video of all views: a tile is two columns wide.
function mosaic(rows, className) {
  const across = Math.max(...rows.map(row => row.length));
  const tiles = rows.flatMap((row, r) =>
    row.map((source, i) => {
      const tile = source ? player(source) : make("span");
      tile.style.gridArea = `${r + 1} / ${across - row.length + 1 + 2 * i} / auto / span 2`;
      return tile;
    }),
  );
  const node = make("div", {className}, ...tiles);
  node.style.gridTemplateColumns = `repeat(${2 * across}, 1fr)`;
  node.style.gridTemplateRows = `repeat(${rows.length}, 1fr)`;
  return node;
}
// A video with its overlay, and its controls beside it.
function stage(cell, picture) {
  const over = overlayOf(cell),
    beside = Object.entries(besideOf(cell));
  const main = make("div", {className: "stage"}, picture);
  if (over.length) main.append(mosaic(over, "overlay"));
  if (!beside.length) return main;
  const named = beside.map(([name, rows]) =>
    make(
      "div",
      {className: "control"},
      mosaic(rows, "mosaic"),
      make("span", {className: "of-control", textContent: name}),
    ),
  );
  return make("div", {className: "beside"}, main, ...named);
}

function setUpOverlays() {
  const there = Object.keys(OVERLAYS).filter(kind =>
    data.cells.some(cell => Object.keys(OVERLAYS[kind](cell) || {}).length),
  );
  $("overlay-label").hidden = !there.length;
  options($("overlay"), [["", "none"], ...there.map(kind => [kind, OVERLAY_NAMES[kind]])]);
  choose($("overlay"), "", value => {
    state.overlay = value;
    drawVideos();
  });
  const fade = () => $("videos").style.setProperty("--opacity", $("opacity").value / 100);
  $("opacity").oninput = fade;
  fade();
  $("beside").hidden = !data.cells.some(cell => Object.keys(cell.controls).length);
  $("beside").onclick = () => {
    state.beside = !state.beside;
    drawVideos();
  };
}
