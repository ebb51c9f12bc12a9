// Builds elements from texts and attributes. Nothing from outside ever becomes HTML: text goes in as text.

export const state = {
  me: '', bot: '', people: {}, groups: {}, channels: new Map(), seats: [], modals: [], home: null,
  world: {}, choices: {}, boot: '', open: '', tab: 'messages', clockAt: { now: Date.now() / 1000, seen: 0, speed: 1 },
};

/** Seconds since the epoch in the make-believe world, which may run faster than ours. */
export function now() {
  const { now: at, seen, speed } = state.clockAt;
  return seen ? at + ((performance.now() - seen) / 1000) * speed : at;
}

export function setClock(world) {
  state.clockAt = { now: world.now, seen: performance.now(), speed: world.speed };
}

/** An element: `on` holds listeners, `class` and `text` are what they say, everything else is an attribute. */
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === 'on') for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
    else if (name === 'text') node.textContent = value;
    else if (name === 'class') node.className = value;
    else if (name === 'data') Object.assign(node.dataset, value);
    else if (name === 'value') node.value = value;
    else node.setAttribute(name, value === true ? '' : String(value));
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

const STROKES = {
  hash: 'M4 9h16M4 15h16M10 4 8 20M16 4l-2 16',
  lock: 'M6 11h12v9H6zM8.500 11V8a3.500 3.500 0 0 1 7 0v3',
  home: 'M4 11.500 12 4l8 7.500V20h-5.500v-5h-5v5H4z',
  bell: 'M6 17V11a6 6 0 0 1 12 0v6l1.500 1.500h-15zM10 21h4',
  chat: 'M4 5h16v11H11l-4.500 4V16H4z',
  close: 'M6 6l12 12M18 6 6 18',
  menu: 'M4 7h16M4 12h16M4 17h16',
  sun: 'M12 8a4 4 0 1 0 .01 0zM12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.400 1.400M17.600 17.600 19 19M19 5l-1.400 1.400M6.400 17.600 5 19',
  moon: 'M19.500 14.500A8 8 0 0 1 9.500 4.500a8 8 0 1 0 10 10z',
  spark: 'M13 3 5 14h6l-1 7 9-12h-6z',
  eye: 'M2.500 12S6 5.500 12 5.500 21.500 12 21.500 12 18 18.500 12 18.500 2.500 12 2.500 12zM12 9.500a2.500 2.500 0 1 0 .01 0z',
  file: 'M6 3h8l4 4v14H6zM14 3v4h4',
  down: 'M12 4v11M7 11l5 5 5-5M5 20h14',
  send: 'M4 4l17 8-17 8 3-8zM7 12h8',
  at: 'M12 8.500a3.500 3.500 0 1 0 .01 0zM15.500 8.500V13a2.500 2.500 0 0 0 5 0v-1a8.500 8.500 0 1 0-3.500 7',
  slash: 'M4 4h16v16H4zM14.500 8l-5 8',
  trash: 'M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13',
  dots: 'M5 12h.01M12 12h.01M19 12h.01',
  warn: 'M12 4 2.500 20h19zM12 10v5M12 17.500v.01',
  caret: 'M7 10l5 5 5-5',
  back: 'M15 5l-7 7 7 7',
  reply: 'M9 7 4 12l5 5M4 12h10a6 6 0 0 1 6 6v1',
  play: 'M7 4l13 8-13 8z',
};

export function icon(name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('class', `icon icon-${name}`);
  svg.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
  path.setAttribute('d', STROKES[name]);
  svg.append(path);
  return svg;
}

export function iconButton(name, label, onClick, className = 'icon-button') {
  return el('button', { type: 'button', class: className, 'aria-label': label, title: label, on: { click: onClick } }, icon(name));
}

export function personName(id) {
  return state.people[id]?.name ?? id;
}

const COLOURS = ['#c0392b', '#8e44ad', '#1f6fb2', '#0f7b6c', '#a15c07', '#b03a76', '#4b5bbf', '#5d6d1e'];

export function avatar(id, size = '') {
  if (id === state.bot) return el('img', { class: `avatar ${size}`, src: 'web/meshbot.svg', alt: '' });
  const name = personName(id);
  const node = el('span', { class: `avatar letters ${size}`, 'aria-hidden': 'true', text: name.slice(0, 1) || '?' });
  let sum = 0;
  for (const letter of id) sum = (sum * 31 + letter.charCodeAt(0)) % 9973;
  node.style.backgroundColor = COLOURS[sum % COLOURS.length];
  return node;
}

/** A menu below (or above) a button; arrows move, Escape closes, focus comes back. */
export function popup(button, items, label) {
  const close = (refocus) => {
    menu.remove();
    button.setAttribute('aria-expanded', 'false');
    document.removeEventListener('pointerdown', outside, true);
    if (refocus) button.focus();
  };
  const outside = (event) => { if (!menu.contains(event.target) && !button.contains(event.target)) close(false); };
  const move = (event) => {
    const rows = [...menu.querySelectorAll('[role^=menuitem]')];
    const at = rows.indexOf(document.activeElement);
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) { event.preventDefault(); rows[(at + step + rows.length) % rows.length].focus(); }
    else if (event.key === 'Home' || event.key === 'End') { event.preventDefault(); rows.at(event.key === 'Home' ? 0 : -1).focus(); }
    else if (event.key === 'Escape') { event.stopPropagation(); event.preventDefault(); close(true); }
    else if (event.key === 'Tab') close(false);
  };
  const menu = el('div', { class: 'menu', role: 'menu', 'aria-label': label, on: { keydown: move } },
    items.map((item) => el('button', {
      type: 'button', class: 'menu-item', role: item.checked === undefined ? 'menuitem' : 'menuitemradio',
      'aria-checked': item.checked === undefined ? null : String(item.checked), tabindex: '-1',
      on: { click: () => { close(true); item.choose(); } },
    }, item.content ?? item.text)));
  (button.closest('dialog') ?? document.body).append(menu);
  const box = button.getBoundingClientRect();
  menu.style.left = `${Math.max(8, Math.min(box.left, innerWidth - menu.offsetWidth - 8))}px`;
  const below = box.bottom + 4 + menu.offsetHeight < innerHeight;
  menu.style.top = `${Math.max(8, below ? box.bottom + 4 : box.top - menu.offsetHeight - 4)}px`;
  button.setAttribute('aria-expanded', 'true');
  document.addEventListener('pointerdown', outside, true);
  (menu.querySelector('[aria-checked=true]') ?? menu.querySelector('[role^=menuitem]'))?.focus();
}

export async function post(path, body) {
  const answer = await fetch(path, {
    method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`);
  return answer.json();
}

/** An act of the person whose seat this is; what goes wrong comes back as `{ok: false, error}`. */
export async function act(what, detail) {
  try {
    return await post('act', { as: state.me, do: what, ...detail });
  } catch (error) {
    return { ok: false, error: error instanceof TypeError ? 'The local Slack cannot be reached.' : error.message };
  }
}
