// The dashboard: reads the API every few seconds and shows it. All that comes from the API is set as text, never as markup.

const period = 3000;
let problems = []; // what the proxy says is wrong
let ready = null; // the last answer of readyz: [class, text]
let fleetOff = false; // hosts are not counted
let selected = null; // the repository whose detail is shown

// make returns an element with properties and children. A child that is no node becomes text.
function make(name, properties, ...children) {
  const element = document.createElement(name);
  Object.assign(element, properties);
  element.append(...children.filter((c) => c !== null && c !== undefined));
  return element;
}

const byID = (id) => document.getElementById(id);

async function ask(path) {
  const response = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(20000) });
  const document = await response.json();
  if (!response.ok) throw new Error(document.error || `HTTP ${response.status}`);
  return document;
}

function bytes(n) {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let i = 0;
  let value = Math.abs(n);
  while (value >= 999.5 && i < units.length - 1) {
    value /= 1000;
    i++;
  }
  const digits = i === 0 || value >= 99.95 ? 0 : 1;
  return `${n < 0 ? "−" : ""}${value.toFixed(digits)} ${units[i]}`;
}

function time(seconds) {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const steps = [[60, "s"], [60, "min"], [24, "h"], [Infinity, "d"]];
  let value = seconds;
  for (const [size, unit] of steps) {
    if (value < size) return `${Math.round(value)} ${unit}`;
    value /= size;
  }
}

function ago(timestamp) {
  if (!timestamp) return "–";
  const seconds = Math.max(0, (Date.now() - Date.parse(timestamp)) / 1000);
  return make("time", { dateTime: timestamp, title: new Date(timestamp).toLocaleString() }, seconds < 10 ? "just now" : `${time(Math.round(seconds))} ago`);
}

const share = (part, whole) => (whole > 0 ? `${((100 * part) / whole).toFixed(part < whole / 10 ? 1 : 0)} %` : "–");
const short = (digest) => make("code", { title: digest }, (digest || "").replace(/^sha256:/, "").slice(0, 12) || "–");
const plural = (n, word) => `${n.toLocaleString()} ${word}${n === 1 ? "" : "s"}`;

// table returns a card with a table, or with a sentence when there are no rows. A heading that starts with # is for numbers.
function table(headings, rows, empty) {
  if (rows.length === 0) return make("div", { className: "card" }, make("p", { className: "empty" }, empty));
  const numeric = headings.map((h) => h.startsWith("#"));
  const head = headings.map((h, i) => make("th", { scope: "col", className: numeric[i] ? "number" : "" }, h.replace(/^#/, "")));
  const body = rows.map((cells) => make("tr", {}, ...cells.map((cell, i) => {
    const list = Array.isArray(cell) ? cell : [cell];
    return make("td", { className: Array.isArray(cell) ? "wide" : numeric[i] ? "number" : "" }, ...list);
  })));
  return make("div", { className: "card" },
    make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...body)));
}

// bar returns a bar of parts, each [class, size].
function bar(whole, label, ...parts) {
  const spans = parts.map(([className, size]) => {
    const span = make("span", { className });
    span.style.width = `${whole > 0 ? Math.min(100, (100 * size) / whole) : 0}%`;
    return span;
  });
  const element = make("div", { className: "bar", title: label }, ...spans);
  element.setAttribute("role", "img");
  element.setAttribute("aria-label", label);
  return element;
}

function tile(title, value, note) {
  return make("div", { className: "tile" }, make("dt", {}, title), make("dd", {}, value),
    note ? make("dd", { className: "note" }, note) : null);
}

// upkeep returns the tiles of how full the store is and when it was looked after; none where nothing looks after it.
function upkeep(u) {
  if (!u) return [];
  const quota = u.quota_bytes > 0 ? `${share(u.used_bytes, u.quota_bytes)} of the quota of ${bytes(u.quota_bytes)}` : "no quota";
  const scrub = u.scrub_finished_at ? ["scrub ", ago(u.scrub_finished_at)] : [u.scrub_started_at ? "scrub under way" : "no scrub yet"];
  const gc = u.gc_at ? ["gc ", ago(u.gc_at)] : ["no gc yet"];
  const damaged = make("span", { className: u.damaged > 0 ? "bad" : "" }, u.damaged.toLocaleString());
  return [tile("Space used", bytes(u.used_bytes), quota), tile("Damaged objects", damaged, make("span", {}, ...gc, " · ", ...scrub))];
}

// edge returns the tiles of what came from other Stratas, and why some of it came whole; none where nothing does.
function edge(e) {
  if (!e) return [];
  const whole = Object.entries(e.reasons || {}).map(([reason, n]) => `${n} ${reason}`).join(", ");
  const central = (c) => c.unknown ? `${c.host}: not known` : !c.makes_deltas ? `${c.host}: makes no deltas`
    : c.slow_until ? `${c.host}: too slow, asked again ${new Date(c.slow_until).toLocaleTimeString()}`
    : c.bytes_per_second ? `${c.host}: ${bytes(c.bytes_per_second)}/s` : c.host;
  return [
    tile("Saved by deltas", bytes(e.saved_bytes), `${bytes(e.delta_bytes)} for ${bytes(e.delta_bytes + e.saved_bytes)}, ${e.deltas} of ${e.deltas + e.whole} layers`),
    tile("Layers that came whole", e.whole.toLocaleString(), `${whole || "none"}${e.centrals.length ? ` · ${e.centrals.map(central).join(", ")}` : ""}`),
  ];
}

function showStatus(s) {
  problems = s.problems || [];
  byID("problems").hidden = problems.length === 0;
  byID("problems").replaceChildren(...problems.map((p) => make("li", {}, p)));
  showReady();
  byID("about").textContent = `${s.version} · up ${time(Math.round(s.uptime_seconds))} · ${s.store.driver} ${s.store.location || ""}`;
  const source = s.update_bytes + s.update_bytes_saved;
  const j = s.jobs;
  byID("tiles").replaceChildren(
    ...edge(s.edge),
    tile("Saved on updates", bytes(s.update_bytes_saved), `${share(s.update_bytes_saved, source)} of ${bytes(source)}`),
    tile("Repositories", s.repositories.toLocaleString(), plural(s.versions, "version")),
    tile("Stored", bytes(s.store.total_bytes), `${bytes(s.store.served_bytes)} served · ${bytes(s.store.source_bytes)} source`),
    ...upkeep(s.upkeep),
    tile("Jobs running", j.running.toLocaleString(), `${j.queued} queued · ${j.done} done · ${j.failed} failed`),
  );
}

function showJobs(jobs) {
  const rows = jobs.slice(0, 20).map((j) => {
    const label = j.total_bytes > 0 ? `${bytes(j.done_bytes)} of ${bytes(j.total_bytes)}` : j.done_bytes > 0 ? bytes(j.done_bytes) : "";
    const shown = j.state === "running" ? j.phase || j.state : j.state === "failed" && j.phase ? `failed at ${j.phase}` : j.state;
    const state = make("span", { className: j.state === "failed" ? "bad" : j.state === "done" ? "good" : "" }, shown);
    const what = [j.repository, j.reference].filter(Boolean).join(" ") || j.source_digest || j.id;
    return [
      [make("code", {}, what), j.platform ? ` ${j.platform}` : "", j.error ? make("div", { className: j.state === "failed" ? "bad" : "note" }, j.error) : null],
      j.kind, state, j.state === "running" && j.total_bytes > 0 ? bar(j.total_bytes, label, ["new", j.done_bytes]) : label || "–",
      time(j.seconds),
    ];
  });
  byID("jobs").replaceChildren(table(["What", "Kind", "State", "Progress", "#Time"], rows, "Nothing is being rechunked."));
}

// showDeltas shows what is made for other Stratas; nothing while none asked for any.
function showDeltas(d) {
  byID("deltas-section").hidden = d.deltas.length === 0;
  const refused = Object.entries(d.refused || {}).map(([reason, n]) => `${n} ${reason}`).join(", ");
  const note = make("p", { className: "legend" },
    `${plural(d.stored, "delta")} of ${bytes(d.bytes)} for layers of ${bytes(d.layer_bytes)} (${share(d.bytes, d.layer_bytes)}) · ` +
    `at most ${bytes(d.keep_bytes)} are kept · ${d.running} being made · ${d.waiting} waiting${refused ? ` · refused: ${refused}` : ""}`);
  const rows = d.deltas.slice(0, 30).map((p) => {
    const state = make("span", { className: p.state === "refused" ? "bad" : p.state === "stored" ? "good" : "", title: p.message || "" },
      p.refused ? `refused: ${p.refused}` : p.state);
    return [[make("code", {}, p.repository || "–"), p.message ? make("div", { className: "bad" }, p.message) : null],
      short(p.seed), short(p.layer), state,
      p.bytes ? bar(p.layer_bytes, `${bytes(p.bytes)} of ${bytes(p.layer_bytes)}`, ["new", p.bytes]) : "–",
      p.bytes ? bytes(p.bytes) : "–", bytes(p.layer_bytes), p.bytes ? share(p.bytes, p.layer_bytes) : "–",
      (p.needs || []).join(", ") || "–", ago(p.at), p.seconds ? time(p.seconds) : "–"];
  });
  byID("deltas").replaceChildren(note, table(["Repository", "From image", "Layer", "State", "Size", "#Delta", "#Layer", "#Ratio", "Needs", "When",
    "#Took"], rows, "No delta was asked for yet."));
}

const mostTags = 50; // that are shown

// showFleet shows which versions hosts got; nothing where they are not counted.
function showFleet(f) {
  byID("fleet-section").hidden = false;
  const programs = f.clients.slice(0, 6).map((c) => `${c.hosts.toLocaleString()} ${c.client || "unknown"}`).join(", ");
  const tags = [...f.tags].sort((a, b) => b.behind - a.behind || b.hosts - a.hosts);
  const more = tags.length > mostTags ? ` · the ${mostTags} tags of ${tags.length} with most hosts behind` : "";
  const note = make("p", { className: "legend" }, `${plural(f.hosts, "host")}, told apart by ${f.identify}${programs ? ` · ${programs}` : ""}${more}`);
  const rows = tags.slice(0, mostTags).map((t) => {
    const versions = t.versions.slice(0, 4).map((v) => make("div", {}, `${v.hosts.toLocaleString()} × `, v.version || short(v.digest),
      v.lag > 0 ? ` (${v.lag} behind)` : "", ", seen ", ago(v.last_seen)));
    if (t.versions.length > 4) versions.push(make("div", { className: "note" }, `and ${t.versions.length - 4} more versions`));
    return [[make("code", {}, t.reference)], versions, bar(t.hosts, `${t.current} of ${t.hosts} have the newest`, ["kept", t.current], ["new", t.behind]),
      t.hosts.toLocaleString(), t.behind.toLocaleString()];
  });
  byID("fleet").replaceChildren(note, table(["Tag", "Versions", "Newest, behind", "#Hosts", "#Behind"], rows, "No host has pulled yet."));
}

// rollout says which share of hosts gets a tag's newest version, and why no more do.
function rollout(t) {
  const { state, held, versions } = t.rollout;
  const last = versions[versions.length - 1];
  const stop = held || last.withdrawn;
  const why = stop ? ` by ${stop.by}${stop.reason ? `: ${stop.reason}` : ""}` : last.next_at ? `, next step ${new Date(last.next_at).toLocaleString()}` : "";
  const text = state === "reverting" ? `${t.tag}: reverting, ${share(last.share, 1)} of the hosts that got a version since get the one before again${why}` : last.withdrawn ? `${t.tag}: rolled back${why}` : `${t.tag}: ${state}, ${share(last.share, 1)} of hosts get the newest version${why}`;
  return make("div", { className: stop ? "bad" : "note" }, text);
}

function showRepositories(repositories) {
  const rows = repositories.map((r) => {
    const open = make("button", { className: "link", type: "button" }, r.name);
    open.setAttribute("aria-expanded", String(selected === r.name));
    open.addEventListener("click", () => select(selected === r.name ? null : r.name));
    const tags = r.tags.slice(0, 8).map((t) => make("span", { className: `tag ${t.served}`, title: `${t.served} ${t.digest}` }, t.tag));
    if (r.tags.length > tags.length) tags.push(`and ${r.tags.length - tags.length} more`);
    for (const t of r.tags.filter((t) => t.as_it_is).slice(0, 3)) tags.push(make("div", {}, `${t.tag}: ${t.as_it_is}`));
    for (const t of r.tags.filter((t) => t.rollout && t.rollout.state !== "complete").slice(0, 3)) tags.push(rollout(t));
    for (const t of r.tags.filter((t) => t.refused).slice(0, 3)) tags.push(make("div", { className: "bad" }, `${t.tag}: ${t.refused}`));
    const source = r.update_bytes + r.update_bytes_saved;
    return [open, tags, r.versions.toLocaleString(), bytes(r.update_bytes_saved), share(r.update_bytes_saved, source), ago(r.updated_at)];
  });
  const focus = document.activeElement?.closest("#repositories button")?.textContent;
  byID("repositories").replaceChildren(table(["Name", "Tags", "#Versions", "#Saved", "#Share", "Updated"], rows,
    "Nothing was pulled through yet. Point a client here, or run strata warm."));
  if (focus) [...document.querySelectorAll("#repositories button")].find((b) => b.textContent === focus)?.focus();
}

function showDetail(d) {
  const history = d.history.map((v) => {
    const label = `${bytes(v.new_bytes)} new of ${bytes(v.total_bytes)}`;
    return [short(v.digest), v.platform, ago(v.created), `${v.layers_kept} kept + ${v.layers_new} new`,
      bar(v.total_bytes, label, ["kept", v.total_bytes - v.new_bytes], ["new", v.new_bytes]),
      bytes(v.new_bytes), bytes(v.total_bytes), share(v.stale_bytes, v.total_bytes), time(v.seconds)];
  });
  const largest = Math.max(1, ...d.layers.map((l) => l.size));
  const layers = d.layers.map((l, i) => [String(i + 1), [l.name || "–"], short(l.digest),
    bar(largest, bytes(l.size), [l.kept ? "kept" : "new", l.size]), bytes(l.size),
    l.kept ? plural(l.age, "version") : make("strong", {}, "new")]);
  const legend = make("p", { className: "legend" }, make("span", { className: "kept" }, "kept from an earlier version"),
    make("span", { className: "new" }, "new, what an update downloads"));
  byID("detail").replaceChildren(
    make("h2", { id: "detail-title" }, d.name), legend,
    make("h3", {}, "Versions, newest first"),
    table(["Image", "Platform", "Made", "Layers", "Bytes", "#New", "#Total", "#Stale", "#Took"], history, "No version was rechunked yet."),
    make("h3", {}, "Layers of the newest version, lowest first"),
    table(["#", "Holds", "Layer", "Size", "#Bytes", "Age"], layers, "No version was rechunked yet."));
  byID("detail").hidden = false;
}

async function select(name) {
  selected = name;
  byID("detail").hidden = true;
  await refresh();
  if (selected) byID("detail").scrollIntoView({ behavior: "smooth", block: "start" });
}

// showReady shows the health: a proxy that is ready while something is wrong is not well.
function showReady() {
  if (!ready) return;
  const [className, text] = ready;
  const element = byID("health");
  const well = className === "good" && problems.length === 0;
  element.className = `health ${className === "good" && !well ? "warn" : className}`;
  element.textContent = className === "good" && !well ? `ready, with ${plural(problems.length, "problem")}` : text;
}

async function showHealth() {
  try {
    const response = await fetch("readyz", { cache: "no-store", signal: AbortSignal.timeout(20000) });
    const report = await response.json();
    ready = response.ok ? ["good", "ready"] : ["bad", `not ready: ${report.error}`];
  } catch {
    ready = ["bad", "no answer from the proxy"];
  }
  showReady();
}

async function refresh() {
  const wanted = selected;
  const detail = wanted ? ask(`api/v1/repositories/${wanted.split("/").map(encodeURIComponent).join("/")}`).then((d) => {
    if (selected === wanted) showDetail(d);
  }) : null;
  await Promise.allSettled([
    showHealth(),
    ask("api/v1/status").then(showStatus),
    ask("api/v1/jobs").then((d) => showJobs(d.jobs)),
    ask("api/v1/deltas").then(showDeltas),
    fleetOff ? null : ask("api/v1/fleet").then(showFleet).catch(() => { fleetOff = true; }),
    ask("api/v1/repositories").then((d) => showRepositories(d.repositories)),
    detail,
  ].map((p) => Promise.resolve(p).catch((problem) => console.warn(problem))));
}

async function loop() {
  if (!document.hidden) await refresh();
  setTimeout(loop, period);
}

loop();

// The files of a host are made when they are asked for.
byID("hosts").addEventListener("submit", async (event) => {
  event.preventDefault();
  const query = new URLSearchParams(new FormData(event.target));
  const files = byID("hosts-files");
  try {
    const response = await fetch(`client-config?${query}`, { cache: "no-store", signal: AbortSignal.timeout(20000) });
    const text = await response.text();
    files.textContent = response.ok ? text : JSON.parse(text).error;
    byID("hosts-copy").hidden = !response.ok;
  } catch (error) {
    files.textContent = String(error);
    byID("hosts-copy").hidden = true;
  }
  files.hidden = false;
});
// Pages that come by plain HTTP have no clipboard, but may copy what is selected.
byID("hosts-copy").addEventListener("click", async () => {
  const files = byID("hosts-files");
  try {
    await navigator.clipboard.writeText(files.textContent);
  } catch {
    getSelection().selectAllChildren(files);
    document.execCommand("copy");
  }
});
ask("api/v1/client-config").then((proxy) => {
  byID("hosts").elements.host.value = proxy.names[0] || "";
}).catch(() => {});
