"use strict";
// One canvas: photos as marks, or as thumbnails where few are in view. Marks are set pixel by pixel, which takes a tenth
// of the time of drawing them one by one where no GPU helps.
(() => {
  const $ = (id) => document.getElementById(id);
  const data = JSON.parse($("data").textContent);
  const { count, edge, across, captions, colourings } = data;
  const numbers = (text) => new Uint16Array(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
  const xs = numbers(data.x), ys = numbers(data.y);
  const codes = colourings.map((colouring) => numbers(colouring.codes));
  const RANGE = 65535, CELLS = 128, SHEETS = 48, MOST_THUMBNAILS = 240, REACH = 14, NEAREST = 8;
  const SHAPES = ["circle", "square", "triangle", "diamond", "cross", "ring", "wedge"];

  // Where photos are: the rows of each of CELLS x CELLS fields.
  const fields = Array.from({ length: CELLS * CELLS }, () => []);
  const field = (value) => Math.min(CELLS - 1, Math.max(0, Math.floor((value * CELLS) / (RANGE + 1))));
  for (let i = 0; i < count; i++) fields[field(ys[i]) * CELLS + field(xs[i])].push(i);
  function* inside(left, top, right, bottom) {
    for (let row = field(top); row <= field(bottom); row++)
      for (let column = field(left); column <= field(right); column++) yield* fields[row * CELLS + column];
  }

  const canvas = $("map"), pen = canvas.getContext("2d", { alpha: false });
  const tip = $("tip"), live = $("live");
  let theme = {}, marks = [], picture, pixels, paper, width = 0, height = 0, ratio = 1;
  let scale = 1, left = 0, top = 0; // of the view: screen = (place - left) * scale
  let chosen = 0, wanted = new Set(), order = [], rank = new Int8Array(count);
  let hovered = -1, picked = -1, words = "", waiting = false, stale = true;

  const toX = (i) => (xs[i] - left) * scale, toY = (i) => (ys[i] - top) * scale;
  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function outline(context, shape, x, y, r) {
    context.beginPath();
    if (shape === "circle" || shape === "ring") context.arc(x, y, r, 0, 7);
    else if (shape === "square") context.rect(x - 0.88 * r, y - 0.88 * r, 1.76 * r, 1.76 * r);
    else {
      const corners = {
        triangle: [[0, -1.2], [1.1, 0.8], [-1.1, 0.8]], wedge: [[0, 1.2], [1.1, -0.8], [-1.1, -0.8]],
        diamond: [[0, -1.25], [1.25, 0], [0, 1.25], [-1.25, 0]],
        cross: [[-0.4, -1.2], [0.4, -1.2], [0.4, -0.4], [1.2, -0.4], [1.2, 0.4], [0.4, 0.4], [0.4, 1.2], [-0.4, 1.2],
          [-0.4, 0.4], [-1.2, 0.4], [-1.2, -0.4], [-0.4, -0.4]],
      }[shape];
      corners.forEach(([dx, dy], n) => context[n ? "lineTo" : "moveTo"](x + dx * r, y + dy * r));
      context.closePath();
    }
  }

  function mark(context, number, x, y, r) { // number -1: none of those in colour
    context.fillStyle = context.strokeStyle = number < 0 ? theme.faint : theme.colours[number];
    outline(context, number < 0 ? "circle" : SHAPES[number], x, y, r);
    if (number >= 0 && SHAPES[number] === "ring") { context.lineWidth = r * 0.7; context.stroke(); } else context.fill();
  }

  // A mark as pixels: where from its middle, and the colour with its opacity.
  function stamp(number, radius) {
    const r = radius * (number < 0 ? 0.8 : 1), side = 2 * Math.ceil((r * 1.3 + 1) * ratio) + 1, own = document.createElement("canvas");
    own.width = own.height = side;
    const context = own.getContext("2d");
    context.scale(ratio, ratio);
    mark(context, number, side / ratio / 2, side / ratio / 2, r);
    const found = context.getImageData(0, 0, side, side).data, pixels = [];
    for (let place = 0; place < side * side; place++) {
      const alpha = found[4 * place + 3];
      if (alpha > 20) pixels.push({ x: (place % side) - (side >> 1), y: Math.floor(place / side) - (side >> 1), colour: found.slice(4 * place, 4 * place + 3), alpha });
    }
    return {
      reach: side >> 1,
      xs: Int32Array.from(pixels, (one) => one.x), ys: Int32Array.from(pixels, (one) => one.y),
      colours: Uint32Array.from(pixels, ({ colour: [red, green, blue] }) => (255 << 24) | (blue << 16) | (green << 8) | red),
      alphas: Uint8Array.from(pixels, (one) => one.alpha),
    };
  }
  function restyle() {
    theme = { paper: style("--map"), faint: style("--faint"), ink: style("--ink"), colours: SHAPES.map((_, n) => style(`--c${n}`)) };
    marks = Array.from({ length: SHAPES.length + 1 }, (_, n) => [1.6, 2.6, 4, 6].map((radius) => stamp(n - 1, radius)));
    pen.fillStyle = theme.paper;
    pen.fillRect(0, 0, 1, 1);
    [paper] = new Uint32Array(pen.getImageData(0, 0, 1, 1).data.buffer);
    picture = pen.createImageData(canvas.width, canvas.height);
    pixels = new Uint32Array(picture.data.buffer);
  }
  function setMarks(size) {
    const across = canvas.width, down = canvas.height, zoom = scale * ratio, own = marks.map((sizes) => sizes[size]);
    pixels.fill(paper);
    for (let n = 0; n < count; n++) {
      const i = order[n], one = own[rank[i] + 1], x = Math.round((xs[i] - left) * zoom), y = Math.round((ys[i] - top) * zoom), reach = one.reach;
      if (x < reach || y < reach || x >= across - reach || y >= down - reach) continue;
      const middle = y * across + x;
      for (let p = 0; p < one.xs.length; p++) {
        const place = middle + one.ys[p] * across + one.xs[p], alpha = one.alphas[p];
        if (alpha > 250) { pixels[place] = one.colours[p]; continue; }
        const under = pixels[place], over = one.colours[p], rest = 255 - alpha;
        const red = ((over & 255) * alpha + (under & 255) * rest) / 255;
        const green = (((over >> 8) & 255) * alpha + ((under >> 8) & 255) * rest) / 255;
        const blue = (((over >> 16) & 255) * alpha + ((under >> 16) & 255) * rest) / 255;
        pixels[place] = (255 << 24) | (blue << 16) | (green << 8) | red;
      }
    }
  }

  // Which values are in colour: those asked for, else the commonest.
  function recolour() {
    const own = codes[chosen], names = colourings[chosen].names;
    const shown = wanted.size ? [...wanted] : names.map((_, n) => n + 1).slice(0, SHAPES.length);
    const number = new Int8Array(names.length + 1).fill(-1);
    shown.slice(0, SHAPES.length).forEach((code, n) => { number[code] = n; });
    if (wanted.size) shown.slice(SHAPES.length).forEach((code) => { number[code] = SHAPES.length - 1; });
    const grey = [], coloured = [];
    for (let i = 0; i < count; i++) {
      rank[i] = words && !captions[i].toLowerCase().includes(words) ? -1 : number[own[i]];
      (rank[i] < 0 ? grey : coloured).push(i);
    }
    order = grey.concat(coloured);
    $("legend").querySelectorAll("button").forEach((button, n) => {
      button.setAttribute("aria-pressed", wanted.has(n + 1));
      const context = button.firstChild.getContext("2d");
      context.setTransform(ratio, 0, 0, ratio, 0, 0);
      context.clearRect(0, 0, 16, 16);
      mark(context, number[n + 1], 8, 8, number[n + 1] < 0 ? 3 : 5);
    });
    $("shown").textContent = `${coloured.length.toLocaleString("en")} of ${count.toLocaleString("en")} photos in colour`;
    draw();
  }

  function legend() {
    const { names, counts } = colourings[chosen], list = $("legend");
    list.replaceChildren(...names.map((name, n) => {
      const item = document.createElement("li"), button = document.createElement("button"), sign = document.createElement("canvas");
      sign.width = sign.height = 16 * ratio;
      const text = document.createElement("span"), number = document.createElement("span");
      text.textContent = name;
      number.textContent = counts[n].toLocaleString("en");
      button.append(sign, text, number);
      button.type = "button";
      button.onclick = () => { wanted.has(n + 1) ? wanted.delete(n + 1) : wanted.add(n + 1); recolour(); };
      item.append(button);
      return item;
    }));
    recolour();
  }

  // Thumbnails: sheets are decoded when a photo of them is looked at, and the ones used longest ago are let go.
  const sheets = new Map();
  function sheet(number) {
    let found = sheets.get(number);
    sheets.delete(number);
    if (!found) {
      found = new Image();
      found.onload = () => { draw(); detail(); };
      found.src = $(`sheet${number}`).textContent;
    }
    sheets.set(number, found);
    if (sheets.size > SHEETS) sheets.delete(sheets.keys().next().value);
    return found;
  }
  function thumbnail(context, i, x, y, side) {
    const place = i % (across * across), image = sheet(Math.floor(i / (across * across)));
    if (!image.complete || !image.naturalWidth) return false;
    context.drawImage(image, (place % across) * edge, Math.floor(place / across) * edge, edge, edge, x, y, side, side);
    return true;
  }

  function paint() {
    waiting = false;
    const changed = stale;
    stale = false;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.fillStyle = theme.paper;
    pen.fillRect(0, 0, width, height);
    const visible = [];
    let many = false;
    for (const i of inside(left, top, left + width / scale, top + height / scale)) {
      if (visible.push(i) > MOST_THUMBNAILS) { many = true; break; }
    }
    const zoom = scale / fitted(), size = zoom < 1.7 ? (count > 6000 ? 0 : 1) : zoom < 6 ? 2 : 3;
    if (many || zoom < 1.7) {
      if (changed) setMarks(size);
      pen.putImageData(picture, 0, 0);
    } else {
      const side = Math.max(28, Math.min(Math.max(edge, 96), Math.sqrt((width * height) / Math.max(visible.length, 1)) * 0.6));
      visible.sort((a, b) => (rank[a] < 0 ? 0 : 1) - (rank[b] < 0 ? 0 : 1));
      for (const i of visible) {
        const x = toX(i) - side / 2, y = toY(i) - side / 2;
        pen.fillStyle = rank[i] < 0 ? theme.faint : theme.colours[rank[i]];
        pen.fillRect(x - 2, y - 2, side + 4, side + 4);
        thumbnail(pen, i, x, y, side);
        if (rank[i] >= 0) { pen.fillStyle = theme.paper; pen.fillRect(x - 2, y - 2, 13, 13); mark(pen, rank[i], x + 4, y + 4, 5); }
      }
    }
    for (const i of new Set([picked, hovered])) {
      if (i < 0) continue;
      pen.strokeStyle = theme.ink;
      pen.lineWidth = 2;
      pen.beginPath();
      pen.arc(toX(i), toY(i), 11, 0, 7);
      pen.stroke();
    }
  }
  function soon() { if (!waiting) { waiting = true; requestAnimationFrame(paint); } }
  function draw() { stale = true; soon(); }

  const fitted = () => Math.min(width, height) * 0.94 / RANGE;
  function fit() { scale = fitted(); left = RANGE / 2 - width / 2 / scale; top = RANGE / 2 - height / 2 / scale; draw(); }
  function zoomAt(x, y, factor) {
    const next = Math.min(fitted() * 80, Math.max(fitted() * 0.7, scale * factor));
    left += x / scale - x / next;
    top += y / scale - y / next;
    scale = next;
    draw();
  }

  function nearest(x, y, reach) {
    const px = x / scale + left, py = y / scale + top, r = reach / scale;
    let best = -1, least = r * r;
    for (const i of inside(px - r, py - r, px + r, py + r)) {
      const distance = (xs[i] - px) ** 2 + (ys[i] - py) ** 2 - (rank[i] >= 0 ? 1e-3 * r * r : 0);
      if (distance < least) { least = distance; best = i; }
    }
    return best;
  }
  function neighbours(i) {
    for (let r = RANGE / CELLS; ; r *= 2) {
      const found = [...inside(xs[i] - r, ys[i] - r, xs[i] + r, ys[i] + r)].filter((j) => j !== i);
      const far = (j) => (xs[j] - xs[i]) ** 2 + (ys[j] - ys[i]) ** 2;
      if (found.length >= Math.min(NEAREST, count - 1) || r > RANGE) return found.sort((a, b) => far(a) - far(b)).slice(0, NEAREST);
    }
  }

  function small(i, side) {
    const own = document.createElement("canvas");
    own.width = own.height = side * ratio;
    own.style.width = own.style.height = `${side}px`;
    const context = own.getContext("2d");
    context.scale(ratio, ratio);
    if (!thumbnail(context, i, 0, 0, side)) own.className = "waiting";
    return own;
  }
  function lines(i) {
    return captions[i].split("\n").map((text) => { const line = document.createElement("div"); line.textContent = text; return line; });
  }
  function showTip() {
    tip.hidden = hovered < 0;
    if (hovered < 0) return;
    tip.replaceChildren(small(hovered, Math.max(112, edge)), ...lines(hovered));
    const x = toX(hovered), y = toY(hovered);
    tip.style.left = `${Math.max(4, x + 18 + 220 > width ? x - 18 - tip.offsetWidth : x + 18)}px`;
    tip.style.top = `${Math.max(4, Math.min(y - 20, height - tip.offsetHeight - 6))}px`;
  }
  function detail() {
    showTip();
    const panel = $("detail");
    if (picked < 0) { panel.replaceChildren(); return; }
    const near = document.createElement("div");
    near.className = "near";
    near.append(...neighbours(picked).map((i) => {
      const button = document.createElement("button");
      button.type = "button";
      button.title = captions[i];
      button.append(small(i, 56));
      button.onclick = () => pick(i, true);
      return button;
    }));
    const heading = document.createElement("h2");
    heading.textContent = "Nearest on the map";
    panel.replaceChildren(small(picked, 168), ...lines(picked), heading, near);
  }
  function hover(i) { if (i !== hovered) { hovered = i; showTip(); soon(); } }
  function pick(i, centre) {
    picked = i;
    if (i >= 0) {
      live.textContent = captions[i].replaceAll("\n", ", ");
      const x = toX(i), y = toY(i);
      if (centre && (x < 30 || y < 30 || x > width - 30 || y > height - 30)) { left = xs[i] - width / 2 / scale; top = ys[i] - height / 2 / scale; }
    }
    detail();
    draw();
  }
  // The next photo in colour, by place on the map; and the nearest in one direction.
  function step(by) {
    const own = order.filter((i) => rank[i] >= 0);
    if (own.length) { own.sort((a, b) => a - b); const at = own.findIndex((i) => i >= picked); pick(own[(at + (own[at] === picked || by < 0 ? by : 0) + own.length) % own.length], true); }
  }
  function towards(dx, dy) {
    if (picked < 0) { pick(nearest(width / 2, height / 2, width), true); return; }
    let best = -1, least = Infinity;
    for (let i = 0; i < count; i++) {
      const x = xs[i] - xs[picked], y = ys[i] - ys[picked], along = x * dx + y * dy, aside = Math.abs(x * dy) + Math.abs(y * dx);
      if (along > 0 && aside <= along && along + 2 * aside < least && (rank[i] >= 0 || !wanted.size)) { least = along + 2 * aside; best = i; }
    }
    if (best >= 0) pick(best, true);
  }

  const pointers = new Map();
  let moved = 0;
  canvas.onpointerdown = (event) => { pointers.set(event.pointerId, event); moved = 0; canvas.setPointerCapture(event.pointerId); };
  canvas.onpointerup = (event) => { pointers.delete(event.pointerId); if (moved < 5) pick(nearest(event.offsetX, event.offsetY, REACH * 2)); };
  canvas.onpointercancel = (event) => pointers.delete(event.pointerId);
  canvas.onpointerleave = () => hover(-1);
  canvas.onpointermove = (event) => {
    const last = pointers.get(event.pointerId);
    if (!last) { hover(nearest(event.offsetX, event.offsetY, REACH)); return; }
    const others = [...pointers.values()].filter((other) => other !== last);
    if (others.length) { // two fingers
      const apart = (p) => Math.hypot(p.offsetX - others[0].offsetX, p.offsetY - others[0].offsetY);
      zoomAt(others[0].offsetX, others[0].offsetY, apart(event) / Math.max(apart(last), 1));
      moved = 9;
    } else {
      moved += Math.abs(event.offsetX - last.offsetX) + Math.abs(event.offsetY - last.offsetY);
      hover(-1);
      left -= (event.offsetX - last.offsetX) / scale;
      top -= (event.offsetY - last.offsetY) / scale;
      draw();
    }
    pointers.set(event.pointerId, event);
  };
  canvas.addEventListener("wheel", (event) => { event.preventDefault(); zoomAt(event.offsetX, event.offsetY, Math.exp(-event.deltaY / 400)); hover(nearest(event.offsetX, event.offsetY, REACH)); showTip(); }, { passive: false });
  canvas.onkeydown = (event) => {
    const pan = 60 / scale, arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (arrows[event.key]) {
      const [dx, dy] = arrows[event.key];
      if (event.shiftKey) { left += dx * pan; top += dy * pan; draw(); } else towards(dx, dy);
    } else if (event.key === "+" || event.key === "=") zoomAt(width / 2, height / 2, 1.4);
    else if (event.key === "-") zoomAt(width / 2, height / 2, 1 / 1.4);
    else if (event.key === "0" || event.key === "Home") fit();
    else if (event.key === "n") step(1);
    else if (event.key === "p") step(-1);
    else if (event.key === "Escape") { hover(-1); pick(-1); }
    else return;
    event.preventDefault();
  };

  $("colouring").append(...colourings.map((colouring, n) => new Option(colouring.title, n)));
  $("colouring").onchange = (event) => { chosen = Number(event.target.value); wanted.clear(); legend(); };
  $("all").onclick = () => { wanted.clear(); $("find").value = words = ""; recolour(); fit(); };
  $("find").oninput = (event) => { words = event.target.value.toLowerCase(); recolour(); };
  function resize() {
    const before = width ? [left + width / 2 / scale, top + height / 2 / scale, scale / fitted()] : null;
    ratio = window.devicePixelRatio || 1;
    width = canvas.clientWidth;
    height = canvas.clientHeight;
    canvas.width = width * ratio;
    canvas.height = height * ratio;
    restyle();
    if (before) { scale = fitted() * before[2]; left = before[0] - width / 2 / scale; top = before[1] - height / 2 / scale; } else fit();
    legend();
  }
  window.onresize = resize;
  window.matchMedia("(prefers-color-scheme: dark)").onchange = resize;
  resize();
})();
