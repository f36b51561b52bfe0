// The ticked cells' videos side by side, on one clock.
const MAX_PLAYED = 48; // browsers stop making players at some number
const NARROWEST_VIDEO = 130; // pixels; the page scrolls within itself where they do not fit
let figures = new Map(); // by cell and source, so that a video that stays on the page is not loaded again

function figure(cell) {
  const key = [cell.index, cell.videos[state.show], state.overlay, state.beside].join(" ");
  if (!figures.has(key)) figures.set(key, newFigure(cell));
  return figures.get(key);
}
function player(source) {
  const video = make("video", {src: source, muted: true, playsInline: true, preload: "auto"});
  video.addEventListener("loadedmetadata", () => {
    seek(video);
    drawTime();
    if (state.playing) video.play();
  });
  video.addEventListener("error", () =>
    video.replaceWith(
      make("div", {
        className: "none bad",
        textContent: `${decodeURIComponent(source)} is gone or does not play here`,
      }),
    ),
  );
  return video;
}
function newFigure(cell) {
  const source = cell.videos[state.show];
  const picture = source
    ? stage(cell, player(source))
    : make("div", {
        className: "none " + (cell.state === "done" ? "soft" : "bad"),
        textContent: cell.state === "done" ? `no ${state.show || "video"}` : stateOf(cell),
      });
  const caption = make("figcaption", {title: cell.prompt});
  label(cell).forEach(([name, value], i) =>
    caption.append(
      i ? "  ·  " : "",
      make("span", {className: "soft", textContent: name + " "}),
      make("b", {textContent: value}),
    ),
  );
  if (!label(cell).length) caption.append(cell.run || "run");
  return standsFor(make("figure", {}, picture, caption), cell);
}

function drawVideos() {
  const all = shown().filter(c => c.ticked),
    players = Math.max(1, ...all.map(playersOf)),
    ticked = all.slice(0, Math.max(1, Math.floor(MAX_PLAYED / players))),
    across = 1 + Math.max(0, ...ticked.map(c => Object.keys(besideOf(c)).length)),
    axis = axisOf(state.columns),
    width = $("size").value * across + "px";
  $("opacity-label").hidden = !state.overlay;
  $("beside").setAttribute("aria-pressed", state.beside);
  let nodes = ticked.map(figure),
    columns = `repeat(auto-fill, minmax(min(100%, ${width}), 1fr))`;
  if (axis) {
    const values = axis.values.filter(v => ticked.some(c => text(c.axes[axis.key]) === text(v)));
    const rows = groupBy(ticked, cell =>
      joint(
        cell,
        data.axes.filter(a => a !== axis),
      ),
    );
    const at = (row, value) => row.filter(c => text(c.axes[axis.key]) === text(value)).map(figure);
    nodes = [...rows.values()].flatMap(row =>
      values.map(value => {
        const here = at(row, value);
        return here.length === 1 ? here[0] : make("div", {}, ...here);
      }),
    );
    columns = `repeat(${values.length || 1}, minmax(${NARROWEST_VIDEO * across}px, ${width}))`;
  }
  if (!nodes.length) nodes = [make("p", {className: "soft", textContent: "No cell is ticked among those shown."})];
  $("videos").style.gridTemplateColumns = columns;
  $("videos").replaceChildren(...nodes);
  $("played").textContent =
    all.length > ticked.length ? `the first ${ticked.length} of ${all.length} ticked cells` : "";
  figures = new Map([...figures].filter(([, node]) => node.isConnected));
  videos().forEach(v => {
    if (v.readyState && Math.abs(v.currentTime - state.time) > 0.02) seek(v);
    if (state.playing) v.play();
  });
  drawTime();
}

const videos = () => [...document.querySelectorAll("video")];
const duration = () => Math.max(0, ...videos().map(v => v.duration || 0));
function seek(video) {
  video.currentTime = Math.min(state.time, Math.max((video.duration || 0) - 0.001, 0));
}
function drawTime() {
  const total = duration();
  $("scrub").value = total ? (1000 * state.time) / total : 0;
  $("time").textContent = `${state.time.toFixed(2)} / ${total.toFixed(2)} s`;
}
function goTo(time) {
  if (state.playing) pause();
  state.time = Math.min(Math.max(time, 0), duration());
  videos().forEach(seek);
  drawTime();
}
// To the middle of a frame, so that no rounding shows its neighbour.
const stepFrames = count => goTo((Math.floor(state.time * data.fps + 1e-6) + count + 0.5) / data.fps);
function pause() {
  state.playing = false;
  $("play").textContent = "Play";
  videos().forEach(v => {
    v.pause();
    seek(v);
  });
}
function play() {
  if (!duration()) return;
  if (state.time >= duration() - 0.05) state.time = 0;
  state.playing = true;
  $("play").textContent = "Pause";
  videos().forEach(v => {
    seek(v);
    v.playbackRate = +$("speed").value;
    v.play();
  });
  let last = performance.now();
  const step = now => {
    if (!state.playing) return;
    state.time += ((now - last) / 1000) * $("speed").value;
    last = now;
    if (state.time >= duration()) {
      state.time = 0;
      videos().forEach(v => {
        seek(v);
        v.play();
      });
    }
    for (const v of videos()) {
      if (Math.abs(v.currentTime - Math.min(state.time, v.duration || 0)) > 0.15 && !v.seeking) seek(v);
    }
    drawTime();
    requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
}
