// The pages are whole without this. It keeps them up to date: when the server says that a page would look different, the page
// is asked for again, and what differs is changed in place, so that focus, selection, scrolling and open parts stay.

const page = () => location.pathname + location.search;
const element = (name, properties, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};

// ask fetches a page as a document. It comes parsed, so no text is made into markup here.
function ask(url) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("GET", url);
    request.responseType = "document";
    request.timeout = 30000;
    request.onload = () => (request.response && request.response.getElementById("content") ? resolve(request.response) : reject(new Error("no page")));
    request.onerror = request.ontimeout = () => reject(new Error("no answer"));
    request.send();
  });
}

const keyOf = (node) => (node.nodeType === Node.ELEMENT_NODE && node.id) || null;

// morph makes one element like another, and changes as little as it can.
function morph(old, next) {
  // What the reader opened or closed, and what was revealed here, is not the server's to say.
  const mine = (name) => (old.localName === "details" && name === "open") || (old.dataset.shown !== undefined && (name === "hidden" || name === "data-shown"));
  for (const { name, value } of next.attributes) {
    if (old.getAttribute(name) !== value && !mine(name)) old.setAttribute(name, value);
  }
  for (const { name } of [...old.attributes]) {
    if (!next.hasAttribute(name) && !mine(name)) old.removeAttribute(name);
  }
  const keyed = new Map([...old.childNodes].filter(keyOf).map((n) => [n.id, n]));
  let at = old.firstChild;
  for (const child of [...next.childNodes]) {
    const key = keyOf(child);
    let match = key ? keyed.get(key) : at;
    if (match && !key && keyOf(match)) match = null; // it belongs to somebody else
    const same = match && match.nodeType === child.nodeType && match.nodeName === child.nodeName;
    if (!same) {
      old.insertBefore(document.importNode(child, true), at);
      continue;
    }
    if (match !== at) old.insertBefore(match, at);
    else at = at.nextSibling;
    if (match.nodeType === Node.ELEMENT_NODE) morph(match, child);
    else if (match.nodeValue !== child.nodeValue) match.nodeValue = child.nodeValue;
  }
  while (at) {
    const gone = at;
    at = at.nextSibling;
    gone.remove();
  }
}

// show puts a document that was fetched in the place of what is shown.
function show(next) {
  for (const id of ["head", "content", "foot"]) {
    const [from, to] = [document.getElementById(id), next.getElementById(id)];
    if (from && to) morph(from, to);
  }
  document.title = next.title;
  if (next.body.dataset.state) document.body.dataset.state = next.body.dataset.state;
  enrich();
}

let asked = 0; // of the newest request, whose answer counts
async function refresh(url = page()) {
  const mine = ++asked;
  try {
    const next = await ask(url);
    if (mine === asked && !over(next)) show(next);
  } catch (problem) {
    if (mine === asked) lost(problem.message);
  }
}

// over goes to the login when the session has ended.
function over(next) {
  const ended = location.pathname !== "/login" && next.querySelector('form[action="/login"]') !== null;
  if (ended) location.assign(`/login?next=${encodeURIComponent(page())}`);
  return ended;
}

// lost says that what is shown is old.
function lost(why) {
  const health = document.getElementById("health");
  if (!health) return;
  health.className = "health bad";
  health.textContent = `${why} from the proxy: this is what it last said`;
}

let stream = null;
function listen() {
  stream?.close();
  stream = null;
  if (document.hidden || !document.body.dataset.state) return;
  stream = new EventSource(`/events?${new URLSearchParams({ page: page(), state: document.body.dataset.state })}`);
  let broken = false;
  stream.addEventListener("changed", () => refresh());
  stream.addEventListener("open", () => { if (broken) refresh(); broken = false; });
  stream.addEventListener("error", () => {
    broken = true;
    lost("no answer");
    if (stream?.readyState === EventSource.CLOSED) setTimeout(() => { refresh(); listen(); }, 5000); // it was refused
  });
}
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) refresh();
  listen();
});

// Ages are told anew without the server.
function ages() {
  for (const time of document.querySelectorAll("time[datetime]")) {
    const seconds = (Date.now() - Date.parse(time.dateTime)) / 1000;
    const text = Math.abs(seconds) < 10 ? "just now" : seconds > 0 ? `${took(seconds)} ago` : `in ${took(-seconds)}`;
    if (time.textContent !== text) time.textContent = text;
  }
}
function took(seconds) {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} d`;
}
setInterval(ages, 5000);

// Pages that come by plain HTTP have no clipboard, but may copy what is selected.
async function copy(from) {
  try {
    await navigator.clipboard.writeText(from.textContent);
  } catch {
    getSelection().selectAllChildren(from);
    document.execCommand("copy");
  }
}

// enrich shows what works with a script only.
function enrich() {
  document.body.classList.add("scripted");
  for (const button of document.querySelectorAll("button[data-copy]")) reveal(button, true);
  for (const button of document.querySelectorAll("button[data-copies]")) {
    const from = document.getElementById(button.dataset.copies);
    reveal(button, !from.hidden && !from.classList.contains("bad"));
  }
}
function reveal(button, shown) {
  button.dataset.shown = "";
  button.hidden = !shown;
}
document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-copy], button[data-copies]");
  if (!button) return;
  copy(button.dataset.copies ? document.getElementById(button.dataset.copies) : button.parentElement.querySelector("code"));
});

// A form that only asks shows its answer in place; the address says what was asked.
async function fill(form) {
  const url = `${form.action}?${new URLSearchParams([...new FormData(form)].filter(([, value]) => value !== ""))}`;
  history.replaceState(null, "", url);
  await refresh(url);
  listen();
}
document.addEventListener("submit", (event) => {
  if (!event.target.matches("form[data-fill], form#search")) return;
  event.preventDefault();
  fill(event.target);
});
let typing;
document.addEventListener("input", (event) => {
  if (!event.target.matches("input[data-live]")) return;
  clearTimeout(typing);
  typing = setTimeout(() => fill(event.target.form), 150);
});

// Keys: to the pages, to the search, up and down in lists.
const help = () => {
  const keys = [["/", "find a repository"], ["j, k", "next and previous in a list"], ["Enter", "open it"], ["g then o, r, j, f, d, s", "overview, repositories, jobs, fleet, deltas, set up a host"], ["?", "this list"]];
  const dialog = element("dialog", { ariaLabel: "Keys" }, element("h2", {}, "Keys"),
    element("dl", {}, ...keys.flatMap(([key, what]) => [element("dt", {}, element("kbd", {}, key)), element("dd", {}, what)])),
    element("form", { method: "dialog" }, element("button", {}, "Close")));
  document.body.append(dialog);
  dialog.addEventListener("close", () => dialog.remove());
  dialog.showModal();
};
let going = false;
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea, dialog")) return;
  const to = going ? document.querySelector(`nav a[data-key="${CSS.escape(event.key)}"]`) : null;
  going = !going && event.key === "g";
  if (to) to.click();
  else if (event.key === "/") {
    event.preventDefault();
    const find = document.getElementById("find");
    if (find) find.focus();
    else location.assign("/repositories#find");
  } else if (event.key === "?" && !document.querySelector("dialog")) help();
  else if (event.key === "j" || event.key === "k") {
    const rows = [...document.querySelectorAll("tbody tr")].filter((row) => row.querySelector("a") && row.checkVisibility());
    const now = rows.indexOf(document.activeElement?.closest("tr"));
    const row = rows[event.key === "j" ? now + 1 : Math.max(now - 1, 0)];
    row?.querySelector("a").focus();
  }
});
if (location.hash === "#find") document.getElementById("find")?.focus();

enrich();
ages();
listen();
