// The answer in a sentence per style: which setting is best by the chosen metric, and how sure that is.
const NAMED = 4;

function drawAnswer() {
  const metric = metricNamed(state.objective);
  if (!metric) return;
  const styles = stylesOf(shown());
  $("sentences").replaceChildren(
    ...styles.map(cells => {
      const style = styles.length > 1 ? make("span", {className: "style", textContent: `${text(cells[0].style)}: `}) : "";
      return make("p", {}, style, answer(settingsOf(cells), metric));
    }),
  );
}

function answer(settings, metric) {
  const kept = settings.filter(cells => !lostStyle(cells) && valuesOf(cells, metric.key).length),
    lost = settings.filter(lostStyle);
  const ranked = ranking(kept, metric);
  const aside = lost.length
    ? ` ${lost.length} of ${settings.length} settings lost the style: they look more like another one.`
    : settings.some(cells => cells.some(c => c.metrics[STYLE] !== undefined))
      ? ""
      : " Whether the style is kept was not measured.";
  if (!kept.length) return "No setting keeps the style and has this metric." + aside;
  if (!ranked) return `Only ${settingName(kept[0])} can be considered.` + aside;
  const {best, ties, count, unit} = ranked;
  const {mean: value, half} = interval(valuesOf(best, metric.key));
  const found = `${metric.label} ${fixed(value, metric)}${half === undefined ? "" : ` ± ${half.toFixed(3)}`}`;
  if (count < 2)
    return `No winner can be named with one scene and one seed. ${settingName(best)} has the best value, ${found}, which may be chance.${aside}`;
  const over = `paired over ${count} ${unit}`;
  if (!ties.length) return `${settingName(best)} is best: ${found}, better than every other setting (${over}).${aside}`;
  const names = ties.slice(0, NAMED).map(settingName).join("; ") + (ties.length > NAMED ? `; and ${ties.length - NAMED} more` : "");
  return `${settingName(best)} has the best mean, ${found}, but is not told apart from ${names} (${over}).${aside}`;
}

const settingName = cells =>
  factors
    .filter(a => a.values.length > 1 && a.key !== "style")
    .map(a => `${a.label} ${text(cells[0].axes[a.key])}`)
    .join(", ") || "the only setting";
