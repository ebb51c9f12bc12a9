// The messages of a channel or a thread in a box that scrolls. They lie in chunks, and only the chunks near what is
// in sight have nodes; the others keep their height. So a long channel costs what a short one does: to scroll, to
// open, to hold, and for each message that comes or changes.

import { el, icon, state } from './dom.js';
import { messageNode, tools } from './messages.js';
import { dayName, midnightAfter } from './mrkdwn.js';

const TOGETHER = 5 * 60; // seconds within which messages of one person stand under one name
const CHUNK = 12; // messages
const GUESS = 52; // pixels of a message that was never drawn
const [DRAW, KEEP] = [1, 2]; // screens above and below within which chunks are drawn, and beyond which they are emptied
const MOST = 2500; // messages kept in a list; older ones are fetched again when somebody scrolls up
const NEAR_END = 60;
const FETCH_FROM = 2; // screens below the first message

/** Where the message of that time stands among sorted ones, or would stand. */
export function placeOf(messages, ts) {
  return firstOf(messages, (message) => message.ts >= ts);
}

/** The index of the first for which `holds`, given that it holds for all that follow. */
function firstOf(rows, holds) {
  let [low, high] = [0, rows.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (holds(rows[middle])) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** It stays at its end unless somebody scrolled up. `latest()` has the newest messages after it fell behind. */
export class MessageList {
  constructor({ label, inThread = false, openThread = () => {}, older = null, intro = null, latest = null }) {
    Object.assign(this, { inThread, openThread, older, intro, latest });
    this.list = el('div', { class: 'list', role: 'feed', 'aria-label': label });
    this.node = el('div', { class: 'scroller', tabindex: '0', role: 'region', 'aria-label': label }, this.list);
    this.jump = el('button', { type: 'button', class: 'jump', hidden: true, on: { click: () => this.toEnd() } }, icon('down'), 'New messages');
    this.replies = el('div', { class: 'reply-count', role: 'separator' }, el('span'));
    this.node.addEventListener('scroll', () => this.scrolled(), { passive: true });
    this.node.addEventListener('pointerover', (event) => this.offer(event.target));
    this.node.addEventListener('focusin', (event) => this.offer(event.target));
    this.node.addEventListener('keydown', (event) => this.walk(event));
    const settle = new ResizeObserver(() => (this.atEnd ? this.toEnd() : this.furnish()));
    settle.observe(this.list);
    settle.observe(this.node);
    this.clear();
  }

  clear() {
    Object.assign(this, { chunks: [], drawn: [], known: new Map(), more: false, firstNew: null, fetching: false, behind: false, atEnd: true, top: 0, offered: null });
    this.list.replaceChildren();
  }

  show(messages, more, unreadAfter = null) {
    this.clear();
    this.more = more;
    this.firstNew = unreadAfter && messages.find((one) => one.ts > unreadAfter && one.user !== state.me)?.ts;
    this.jump.hidden = true;
    if (!more && this.intro) this.list.append(this.intro());
    this.addAll(messages);
    this.toEnd();
  }

  get messages() {
    return this.chunks.flatMap((chunk) => chunk.messages);
  }

  get first() {
    return this.chunks[0]?.messages[0];
  }

  get last() {
    return this.chunks.at(-1)?.messages.at(-1);
  }

  // Chunks

  /** A message at the end, in the last chunk or in a new one. */
  add(message) {
    let chunk = this.chunks.at(-1);
    const isNewDay = !this.inThread && !(chunk && message.ts < chunk.midnight);
    const isFirstReply = this.inThread && this.chunks.length === 1;
    if (!chunk || isNewDay || isFirstReply || chunk.messages.length >= CHUNK) {
      chunk = newChunk(isNewDay ? dayRows(message) : [], isNewDay ? midnightAfter(message.ts) : chunk?.midnight);
      if (isFirstReply) chunk.day = [this.replies];
      this.chunks.push(chunk);
      this.list.append(...chunk.day, chunk.node);
    }
    chunk.messages.push(message);
    this.known.set(message.ts, chunk);
    return chunk;
  }

  addAll(messages) {
    for (const message of messages) this.add(message);
    for (const chunk of this.chunks) if (!chunk.isDrawn) empty(chunk);
    if (this.inThread) this.countReplies();
  }

  /** A message as it stands in its chunk, and the line before the first new one. */
  rows(chunk, message) {
    const isFirstNew = message.ts === this.firstNew;
    const previous = chunk.messages[placeOf(chunk.messages, message.ts) - 1];
    const compact = !isFirstNew && Boolean(previous) && belongs(message, previous);
    const node = messageNode(message, { compact, inThread: this.inThread, openThread: this.openThread });
    if (!isFirstNew) return [node];
    return [el('div', { class: 'new-line', role: 'separator', 'aria-label': 'New messages' }, el('span', { text: 'New' })), node];
  }

  draw(chunk) {
    chunk.isDrawn = true;
    chunk.node.style.height = '';
    chunk.node.replaceChildren(...chunk.messages.flatMap((message) => this.rows(chunk, message)));
  }

  /** Draw the chunks near what is in sight, and empty those far away, but never the one in use. */
  furnish() {
    const { scrollTop, clientHeight } = this.node;
    if (!clientHeight) return;
    const near = (screens) => {
      const from = firstOf(this.chunks, ({ node }) => node.offsetTop + node.offsetHeight > scrollTop - screens * clientHeight);
      return this.chunks.slice(from, firstOf(this.chunks, ({ node }) => node.offsetTop > scrollTop + (1 + screens) * clientHeight));
    };
    const [wanted, kept] = [near(DRAW), new Set(near(KEEP))];
    const far = this.drawn.filter((chunk) => !kept.has(chunk) && !chunk.node.contains(document.activeElement));
    for (const chunk of far) chunk.height = chunk.node.offsetHeight;
    far.forEach(empty);
    for (const chunk of wanted) if (!chunk.isDrawn) this.draw(chunk);
    this.drawn = this.chunks.filter((chunk) => chunk.isDrawn);
    this.top = Math.min(this.top, this.node.scrollTop); // shorter than it was taken for: nobody scrolled
  }

  countReplies() {
    const count = this.known.size - 1;
    this.replies.firstChild.textContent = count === 1 ? '1 reply' : `${count} replies`;
  }

  nodeOf(ts) {
    const chunk = this.known.get(ts);
    return chunk?.isDrawn ? chunk.node.querySelector(`[data-ts="${CSS.escape(ts)}"]`) : null;
  }

  // What happens to messages

  /** A new or changed message. */
  put(message) {
    if (this.known.has(message.ts)) this.change(message);
    else if (this.last && message.ts < this.last.ts) this.insert(message);
    else this.append(message);
  }

  append(message) {
    this.behind ||= this.known.size >= MOST && !this.atEnd;
    if (!this.behind) this.addLast(message);
    this.forget();
    if (!this.atEnd) this.jump.hidden = false;
  }

  addLast(message) {
    const chunk = this.add(message);
    if (chunk.isDrawn) chunk.node.append(...this.rows(chunk, message));
    else empty(chunk);
    if (this.inThread) this.countReplies();
  }

  /** Draw it anew in its place; who had a button of it in focus keeps it. */
  change(message) {
    const chunk = this.known.get(message.ts);
    chunk.messages[placeOf(chunk.messages, message.ts)] = message;
    const old = this.nodeOf(message.ts);
    if (!old) return;
    const focus = focusIn(old);
    const node = this.rows(chunk, message).at(-1);
    old.replaceWith(node);
    if (this.offered === old) this.offer(node);
    focus?.(node, this.node);
  }

  /** One that comes late. Before the first of many it comes when somebody scrolls up to it. */
  insert(message) {
    if (this.more && message.ts < this.first.ts) return;
    const at = firstOf(this.chunks, ({ messages }) => messages[0].ts > message.ts);
    const chunk = this.chunks[Math.max(at - 1, 0)];
    chunk.messages.splice(placeOf(chunk.messages, message.ts), 0, message);
    this.known.set(message.ts, chunk);
    this.redraw(chunk);
    if (this.inThread) this.countReplies();
  }

  drop(ts) {
    const chunk = this.known.get(ts);
    if (!chunk) return;
    this.known.delete(ts);
    chunk.messages.splice(placeOf(chunk.messages, ts), 1);
    if (chunk.messages.length) this.redraw(chunk);
    else this.remove(chunk);
    if (this.inThread) this.countReplies();
  }

  redraw(chunk) {
    if (!chunk.isDrawn) return;
    const message = document.activeElement.closest('.message');
    const focus = message && focusIn(message);
    this.draw(chunk);
    if (message && !message.isConnected) focus(this.nodeOf(message.dataset.ts), this.node);
  }

  /** An empty chunk goes; the line of its day stays for what else came on it. */
  remove(chunk) {
    const at = this.chunks.indexOf(chunk);
    const next = this.chunks[at + 1];
    this.chunks.splice(at, 1);
    chunk.node.remove();
    if (next && !next.day.length) next.day = chunk.day;
    else for (const row of chunk.day) row.remove();
  }

  /** Older messages before the first one. */
  prepend(older, more) {
    const { chunks } = this;
    const [first] = chunks;
    this.more = more;
    const rest = document.createDocumentFragment();
    rest.append(...this.list.childNodes);
    this.chunks = [];
    if (!more && this.intro) this.list.append(this.intro());
    this.addAll(older);
    if (first && this.chunks.at(-1)?.midnight === first.midnight) {
      for (const row of first.day) row.remove();
      first.day = [];
    }
    this.chunks.push(...chunks);
    this.list.append(rest);
  }

  /** The oldest chunks of too many go. */
  forget() {
    while (this.known.size > MOST && this.atEnd) {
      const [chunk] = this.chunks;
      for (const { ts } of chunk.messages) this.known.delete(ts);
      this.list.querySelector('.intro')?.remove();
      this.more = true;
      this.remove(chunk);
      this.top = Math.min(this.top, this.node.scrollTop); // the end came up with it, nobody scrolled
    }
  }

  // Scrolling and pointing

  toEnd() {
    if (this.behind) {
      const { messages, more } = this.latest();
      this.show(messages, more);
      return;
    }
    this.stay(true);
    this.jump.hidden = true;
    this.node.scrollTop = this.node.scrollHeight;
    this.furnish();
    this.node.scrollTop = this.node.scrollHeight;
    this.top = this.node.scrollTop;
  }

  /** At the end whatever comes; else with what is in sight, which the browser then holds in its place. */
  stay(atEnd) {
    this.atEnd = atEnd;
    this.node.style.overflowAnchor = atEnd ? 'none' : '';
  }

  async scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.node;
    const isNearEnd = scrollHeight - scrollTop - clientHeight < NEAR_END;
    this.stay(isNearEnd || (this.atEnd && scrollTop >= this.top)); // what came meanwhile leaves nobody behind
    this.top = scrollTop;
    if (this.atEnd && this.behind) this.toEnd();
    else if (this.atEnd) this.jump.hidden = true;
    this.furnish();
    if (scrollTop > FETCH_FROM * clientHeight || !this.more || this.fetching || !this.older) return;
    this.fetching = true;
    const found = await this.older(this.first?.ts);
    const fromEnd = this.node.scrollHeight - this.node.scrollTop;
    this.prepend(found.messages.filter((one) => !this.known.has(one.ts)), found.more);
    this.node.scrollTop = this.node.scrollHeight - fromEnd;
    this.furnish();
    this.fetching = false;
  }

  /** One set of tools for the whole list: it stands in the message that is pointed at. */
  offer(target) {
    const node = target.closest('.message');
    if (!node || (this.offered === node && node.querySelector('.tools'))) return;
    this.offered?.querySelector('.tools')?.remove();
    this.offered = node;
    const { ts } = node.dataset;
    const { messages } = this.known.get(ts);
    node.append(tools(messages[placeOf(messages, ts)], { inThread: this.inThread, openThread: this.openThread }));
  }

  /** Arrow keys go from message to message, as in Slack. */
  walk(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const here = event.target.closest('.message');
    if (!step || (event.target !== here && event.target !== this.node)) return;
    event.preventDefault();
    const nodes = [...this.list.querySelectorAll('.message')];
    const at = here ? nodes.indexOf(here) + step : nodes.length - 1;
    nodes[Math.min(Math.max(at, 0), nodes.length - 1)]?.focus();
  }
}

/** `day` are the rows that stand before it. */
function newChunk(day, midnight) {
  return { messages: [], node: el('div', { class: 'chunk' }), day, midnight, isDrawn: false, height: 0 };
}

/** Without nodes, as high as it was, or will be. */
function empty(chunk) {
  chunk.isDrawn = false;
  chunk.node.replaceChildren();
  chunk.node.style.height = `${chunk.height || chunk.messages.length * GUESS}px`;
}

/** How to give the focus back after this message was drawn anew, if it is in there: to the same button, or near it. */
function focusIn(message) {
  const focused = message.contains(document.activeElement) ? document.activeElement : null;
  if (!focused) return null;
  const { action } = focused.dataset;
  return (node, otherwise) => {
    const same = action && node?.querySelector(`[data-action="${CSS.escape(action)}"]`);
    (same || (focused === message ? node : node?.querySelector('.content :is(button, select)')) || otherwise).focus({ preventScroll: true });
  };
}

function belongs(message, previous) {
  return previous.user === message.user && !previous.ephemeral && !message.ephemeral
    && message.ts - previous.ts < TOGETHER && message.subtype !== 'thread_broadcast';
}

function dayRows({ ts }) {
  const name = dayName(ts);
  return [el('div', { class: 'day-line' }), el('div', { class: 'day', role: 'separator', 'aria-label': name }, el('span', { text: name }))];
}
