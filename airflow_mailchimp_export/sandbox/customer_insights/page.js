function traffic(data) {
  const recent = data.rates.slice(-11, -1);
  const average = which => recent.reduce((sum, one) => sum + one[which], 0) / recent.length;
  return section("wide", "Traffic", "last minute", make("div", {class: "numbers"},
    figure(average(0).toFixed(1), "requests a second"),
    figure(number(Math.round(average(1))), "rows a second"),
    figure(number(data.requests), "requests"),
    figure(number(data.rows), "rows read"),
    figure(number(data.faults), "faults injected")), chart(data.rates));
}

function tables(data) {
  return section("wide", "Tables", "of Dataverse", make("div", {class: "numbers"},
    figure(number(data.profiles), "customer profiles"),
    figure(number(data.memberships), "rows of segment memberships"),
    figure(number(data.refreshes), "refreshes")));
}

function segments(found) {
  const rows = found.map(one => [one.rule ? [one.name, make("br"), make("small", {}, one.rule)] : one.name,
    number(one.members)]);
  return section("left", "Segments", "by the names of their output tables", rows.length
    ? table([["Segment"], ["Members", "number"]], rows) : empty("No segment yet."));
}

function members(found) {
  const rows = found.map(one => [one.email || "no profile", one.id,
    one.segments.map(name => make("span", {class: "chip"}, name))]);
  return section("right", "Members", "some of them, with masked addresses", rows.length
    ? table([["Member"], ["Customer id"], ["Segments"]], rows) : empty("No member yet."));
}

const sections = data => [traffic(data), tables(data), segments(data.segments), members(data.members)];
