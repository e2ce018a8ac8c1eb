"use strict";
// Whatever comes from a catalog or a file's name goes through textContent: nothing of it becomes markup.

const at = (id) => document.getElementById(id);
const percent = (share) => `${(100 * share).toFixed(1)} %`;
let served = { models: [], searched_photos: null };
let started = null; // the promise of `begin`
let asked = 0; // counts what was dropped, so that a late answer to an earlier drop is not shown

function made(tag, text = "", name = "") {
  const element = document.createElement(tag);
  if (text !== "") element.textContent = text;
  if (name) element.className = name;
  return element;
}

function say(text, bad = false) {
  at("status").textContent = text;
  at("status").classList.toggle("bad", bad);
}

class ServerError extends Error {}

async function request(path, options = {}) {
  const headers = new Headers(options.headers);
  const token = sessionStorage.getItem("token");
  if (token) headers.set("Authorization", `Bearer ${token}`);
  let answer;
  try {
    answer = await fetch(path, { ...options, headers });
  } catch {
    throw new ServerError("The server cannot be reached.");
  }
  if (answer.ok) return answer;
  if (answer.status === 401) at("token-form").hidden = false;
  const told = await answer.json().catch(() => ({}));
  const again = answer.headers.get("Retry-After");
  throw new ServerError(`${told.error || `The server answered ${answer.status}.`}${again ? ` Try again in ${again} s.` : ""}`);
}

function form(photos, options = {}) {
  const data = new FormData();
  for (const photo of photos) data.append("photos", photo, photo.name || "pasted.png");
  for (const [name, value] of Object.entries(options)) data.append(name, value);
  return { method: "POST", body: data };
}

async function ask(path, photos, options) {
  return (await request(path, form(photos, options))).json();
}

function picture(photo) {
  const image = made("img");
  image.alt = photo.name || "the photo";
  image.src = URL.createObjectURL(photo);
  image.onload = () => URL.revokeObjectURL(image.src);
  image.onerror = () => { image.remove(); }; // such as HEIC, which the server reads and few browsers show
  return image;
}

async function found(place, name) {
  const image = made("img");
  image.alt = name;
  image.loading = "lazy";
  try {
    image.src = URL.createObjectURL(await (await request(place)).blob());
    image.onload = () => URL.revokeObjectURL(image.src);
  } catch { /* without its photo, what was found is still named */ }
  return image;
}

// A category's path, which lines may break between its nodes.
const breaking = (path) => path.replaceAll("/", " / ");

function chances(title, named) {
  const row = made("tr");
  row.append(made("th", title), made("td", named[0].label));
  const bar = made("td");
  const meter = made("meter");
  meter.value = named[0].confidence;
  meter.textContent = percent(named[0].confidence);
  bar.append(meter);
  row.append(bar, made("td", percent(named[0].confidence), "number"));
  row.title = named.map((one) => `${one.label} ${percent(one.confidence)}`).join("\n");
  return row;
}

function labels(answer, version) {
  const part = made("section");
  const levels = Object.keys(answer).filter((name) => /^level\d+$/.test(name));
  const table = made("table");
  if (levels.length) {
    const deepest = answer[levels[levels.length - 1]];
    const path = made("p", "", "path");
    for (const node of deepest[0].label.split("/")) path.append(made("b", node));
    part.append(path);
    for (const level of levels) {
      const own = answer[level].map((one) => ({ ...one, label: one.label.split("/").pop() }));
      table.append(chances(`level ${level.slice(5)}`, own));
    }
    for (const other of deepest.slice(1, 4)) table.append(chances("or", [{ ...other, label: breaking(other.label) }]));
  }
  for (const [name, named] of Object.entries(answer)) {
    if (name.startsWith("attr:")) table.append(chances(name.slice(5), named));
  }
  part.append(table, made("small", version));
  return part;
}

async function products(photos, into) {
  const answer = await ask("/search", photos, { k: 12 });
  for (const [place, result] of answer.results.entries()) {
    const list = made("ul", "", "grid");
    into[place].append(made("h2", `Nearest products, of ${answer.searched_photos.toLocaleString()} photos`), list);
    for (const hit of result.products) {
      const item = made("li");
      item.append(await found(hit.photo, hit.product || hit.image), made("p", hit.product || hit.image));
      item.append(made("p", `${breaking(hit.category)} `), made("small", `cosine ${hit.score.toFixed(3)}`));
      list.append(item);
    }
  }
}

function card(photo) {
  const article = made("article");
  const top = made("div", "", "asked");
  const said = made("div");
  said.append(made("h2", photo.name || "photo"));
  top.append(picture(photo), said);
  article.append(top);
  return { article, said };
}

async function describe(photos, turn) {
  const naming = served.models.filter((model) => model.output === "labels");
  for (const photo of photos) {
    if (turn !== asked) return; // something else was dropped while the one before was being answered
    const { article, said } = card(photo);
    at("answers").append(article);
    const parts = naming.map(async (model) => {
      const answer = await ask("/predict", [photo], { model: model.name, top: 5 });
      said.append(labels(answer.answers[0], `${answer.model} ${answer.version}`));
    });
    if (served.searched_photos !== null) parts.push(products([photo], [article]));
    for (const done of await Promise.allSettled(parts)) {
      if (done.status === "rejected") said.append(made("p", String(done.reason.message), "bad"));
    }
  }
}

async function judge(photos, turn) {
  const answer = await ask("/verify", photos, {});
  if (turn !== asked) return;
  const article = made("article");
  article.append(made("p", answer.verdict, "verdict"));
  const chance = made("table");
  chance.append(chances("authentic", [{ label: "", confidence: answer.probability }]));
  article.append(chance, made("h2", "What each photo had to do with it"));
  const list = made("ul", "", "grid");
  const deciding = answer.deciding_photos.length;
  const order = answer.weights.map((one, place) => ({ ...one, place })).sort((a, b) => b.weight - a.weight);
  for (const [rank, one] of order.entries()) {
    const item = made("li", "", rank < deciding ? "decided" : "");
    item.append(picture(photos[one.place]), made("p", one.image), made("small", `weight ${percent(one.weight)}`));
    list.append(item);
  }
  article.append(list, made("small", `${answer.model} ${answer.version}; framed: the fewest photos that hold half of the weight`));
  at("answers").append(article);
}

async function take(files) {
  const photos = [...files];
  if (!photos.length) return;
  const turn = ++asked;
  at("answers").replaceChildren();
  await started; // what is asked depends on what is served
  if (turn !== asked) return;
  say(photos.length === 1 ? "Looking at the photo ..." : `Looking at ${photos.length} photos ...`);
  const judging = served.models.some((model) => model.output === "verdict");
  const naming = served.models.some((model) => model.output === "labels");
  const chosen = document.querySelector("input[name=way]:checked").value;
  const listing = judging && (chosen === "listing" || (!naming && served.searched_photos === null));
  try {
    await (listing ? judge(photos, turn) : describe(photos, turn));
    if (turn === asked) say("");
  } catch (error) {
    if (turn === asked) say(error.message, true);
  }
}

async function begin() {
  try {
    served = await (await request("/models")).json();
    const kinds = new Set(served.models.map((model) => model.output));
    at("ways").hidden = !kinds.has("verdict") || (kinds.size === 1 && served.searched_photos === null);
    say(served.models.length || served.searched_photos !== null ? "" : "The server is still loading its models; try again soon.");
  } catch (error) {
    say(error.message, true);
  }
}

at("files").addEventListener("change", (event) => { take(event.target.files); event.target.value = ""; });
at("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", at("token").value);
  at("token-form").hidden = true;
  started = begin();
});
for (const [kind, over] of [["dragenter", true], ["dragover", true], ["dragleave", false], ["drop", false]]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    at("drop").classList.toggle("over", over);
  });
}
document.addEventListener("drop", (event) => take(event.dataTransfer.files));
document.addEventListener("paste", (event) => take(event.clipboardData.files));
started = begin();
