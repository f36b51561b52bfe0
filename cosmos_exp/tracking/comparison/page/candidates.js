// The candidates of the cells that are shown: what each scored, and which one is kept.
function drawCandidates() {
  const cells = shown().filter(cell => cell.choice),
    all = cells.flatMap(cell => cell.choice.candidates);
  $("candidates").hidden = !cells.length;
  if (!cells.length) return;
  const names = [...new Set(all.flatMap(candidate => Object.keys(candidate.scores)))];
  const heads = ["cell", "candidate", "seed", "score", ...names.map(name => metricNamed(name)?.label || name), ""];
  $("candidates").querySelector("summary").textContent = `${all.length} candidates of ${cells.length} cells`;
  $("candidates")
    .querySelector("thead")
    .replaceChildren(make("tr", {}, ...heads.map(textContent => make("th", {textContent, scope: "col"}))));
  $("candidates")
    .querySelector("tbody")
    .replaceChildren(...cells.flatMap(cell => cell.choice.candidates.map(own => candidateRow(cell, own, names))));
}
function candidateRow(cell, own, names) {
  const kept = own.candidate === cell.choice.winner,
    number = value => (typeof value === "number" ? value.toFixed(3) : "–");
  const told = own.problems.length ? own.problems.join(", ") : kept ? `kept: ${cell.choice.why}` : "";
  const scores = names.map(name => number(own.scores[name]));
  const texts = [describe(cell), own.candidate, own.seed, number(own.score), ...scores, told];
  return make(
    "tr",
    {className: kept ? "kept" : own.problems.length ? "bad" : ""},
    ...texts.map(value => make("td", {textContent: text(value)})),
  );
}
