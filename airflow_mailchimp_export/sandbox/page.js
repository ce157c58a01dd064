function traffic(data) {
  const recent = data.rates.slice(-11, -1);
  const average = which => recent.reduce((sum, one) => sum + one[which], 0) / recent.length;
  return section("wide", "Traffic", "last minute", make("div", {class: "numbers"},
    figure(average(0).toFixed(1), "requests a second"),
    figure(number(Math.round(average(1))), "members a second"),
    figure(`${data.in_flight} of ${data.max_connections}`, "connections"),
    figure(number(data.requests), "requests"),
    figure(number(data.rows), "members received"),
    figure(number(data.faults), "faults injected")), chart(data.rates));
}

function batches(found) {
  const rows = found.map(batch => {
    const share = batch.total_operations ? batch.finished_operations / batch.total_operations : 0;
    const filled = make("i");
    filled.style.width = `${Math.round(share * 100)}%`;
    return [batch.id, make("span", {class: batch.status}, batch.status), make("div", {class: "bar"}, filled),
      `${number(batch.finished_operations)} / ${number(batch.total_operations)}`,
      number(batch.errored_operations), clock(batch.submitted_at)];
  });
  return section("wide", "Batches", "newest first", rows.length ? table(
    [["Batch"], ["Status"], ["Progress"], ["Operations", "number"], ["Errored", "number"],
      ["Submitted", "number"]], rows)
    : empty("No batch yet."));
}

function audience(one) {
  const statuses = Object.entries(one.statuses).map(([status, count]) => figure(number(count), status));
  const tags = one.tags.map(tag => [tag.name, number(tag.members)]);
  const members = one.recent.map(member => [
    member.name ? [member.email, make("br"), make("small", {}, member.name)] : member.email,
    make("span", {class: member.status}, member.status),
    member.tags.map(tag => make("span", {class: "chip"}, tag)), clock(member.last_changed)]);
  return [
    section("wide", one.name, one.id, make("div", {class: "numbers"}, ...statuses)),
    section("left", "Tags", `${number(one.tags_total)} in all, subscribed members counted`, tags.length
      ? table([["Tag"], ["Members", "number"]], tags) : empty("No tag yet.")),
    section("right", "Members", "lately changed", members.length
      ? table([["Member"], ["Status"], ["Tags"], ["Changed", "number"]], members) : empty("No member yet.")),
  ];
}

const sections = data => [traffic(data), batches(data.batches), ...data.audiences.flatMap(audience)];
