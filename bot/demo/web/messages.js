// Messages: one of them as a node, and the list of a channel or a thread, which grows, changes and forgets.

import { act, avatar, el, icon, iconButton, personName, state } from './dom.js';
import { drawBlocks } from './blocks.js';
import { dayName, fullTime, mrkdwn, sameDay, timeOf } from './mrkdwn.js';

const TOGETHER = 5 * 60; // seconds within which messages of one person stand under one name
const MOST = 2500; // messages kept in a list; older ones are fetched again when somebody scrolls up
const NEAR_END = 60;

/** The plain words of a message, as a screen reader or a notification says them. */
export function spoken(message) {
  const node = el('div');
  node.append(mrkdwn(message.text || ''));
  return node.textContent.replaceAll('\u2060', '');
}

function messageNode(message, compact, inThread, openThread) {
  const props = {
    class: `message${message.ephemeral ? ' ephemeral' : ''}${compact ? ' compact' : ''}`,
    data: { ts: message.ts }, role: 'article', 'aria-label': `${personName(message.user)}, ${fullTime(message.ts)}`,
  };
  return el('div', props, note(message, inThread, openThread),
    el('div', { class: 'gutter' }, compact ? el('time', { class: 'quiet', text: timeOf(message.ts) }) : avatar(message.user)),
    el('div', { class: 'message-main' },
      compact ? null : head(message),
      content(message),
      !inThread && message.thread ? threadBar(message, openThread) : null),
    tools(message, inThread, openThread));
}

function head(message) {
  const person = state.people[message.user];
  return el('div', { class: 'message-head' }, el('b', { class: 'author', text: personName(message.user) }),
    person?.bot ? el('span', { class: 'badge', text: 'APP' }) : null,
    el('time', { class: 'quiet', datetime: new Date(message.ts * 1000).toISOString(), title: fullTime(message.ts), text: timeOf(message.ts) }));
}

function content(message) {
  const node = el('div', { class: 'content' });
  if (message.blocks?.length && message.user === state.bot) {
    node.append(drawBlocks(message.blocks, {
      act: (element, index, selected) => act('click', {
        channel: message.channel, ts: message.ts, action_id: element.action_id, value: element.value, index, selected,
      }),
      choices: listed,
    }));
  } else if (message.text) node.append(el('div', { class: 'text' }, mrkdwn(message.text)));
  if (message.edited) node.append(el('span', { class: 'quiet edited', text: ' (edited)' }));
  for (const file of message.files ?? []) node.append(fileNode(file));
  return node;
}

/** What stands in a menu of people or channels. */
function listed(type) {
  const text = (words) => ({ type: 'plain_text', emoji: false, text: words });
  if (type.startsWith('users')) return Object.entries(state.people).map(([id, one]) => ({ value: id, text: text(one.name) }));
  return [...state.channels.values()].map((one) => ({ value: one.id, text: text(one.direct ? one.name : `#${one.name}`) }));
}

function fileNode(file) {
  const address = `file/${encodeURIComponent(file.id)}`;
  const size = file.size < 1000 ? `${file.size} B` : `${(file.size / 1000).toFixed(file.size < 10_000 ? 1 : 0)} kB`;
  const name = el('figcaption', { class: 'file-name', text: file.title });
  if (file.mimetype.startsWith('image/')) {
    return el('figure', { class: 'file-picture' }, name,
      el('a', { href: address, target: '_blank', rel: 'noopener' }, el('img', { src: address, alt: file.alt_txt || file.title, loading: 'lazy' })));
  }
  return el('a', { class: 'file', href: `${address}?download=1`, download: file.name, 'aria-label': `Download ${file.name}` },
    el('span', { class: 'file-icon' }, icon('file')),
    el('span', {}, el('b', { text: file.title }), el('span', { class: 'quiet', text: `${file.pretty_type} · ${size}` })), icon('down'));
}

/** The line above a message that says why it is here. */
function note(message, inThread, openThread) {
  if (message.ephemeral) return noteRow('eye', 'Only visible to you');
  if (message.subtype !== 'thread_broadcast') return null;
  if (inThread) return noteRow('reply', 'Also sent to the channel');
  return noteRow('reply', 'replied to a thread: ', el('button', {
    type: 'button', class: 'link', on: { click: () => openThread(message.thread_ts) },
    text: spoken({ text: message.root_text }).slice(0, 80) || 'see the thread',
  }));
}

function noteRow(name, ...says) {
  return el('div', { class: 'note' }, icon(name), el('span', { class: 'note-text' }, says));
}

function threadBar(message, openThread) {
  const { count, users, latest } = message.thread;
  const replies = count === 1 ? '1 reply' : `${count} replies`;
  return el('button', { type: 'button', class: 'thread-bar', on: { click: () => openThread(message.ts) } },
    users.map((user) => avatar(user, 'tiny')), el('b', { text: replies }),
    el('span', { class: 'quiet', text: `Last reply ${dayName(latest).toLowerCase()} at ${timeOf(latest)}` }), icon('caret'));
}

function tools(message, inThread, openThread) {
  const rows = [];
  if (message.ephemeral) rows.push(iconButton('close', 'Dismiss message', () => act('dismiss', { channel: message.channel, ts: message.ts })));
  else if (!inThread) rows.push(iconButton('chat', 'Reply in thread', () => openThread(message.thread_ts ?? message.ts)));
  const isAdmin = state.seats.find((seat) => seat.user === state.me)?.role === 'admin';
  if (!message.ephemeral && (isAdmin || message.user === state.me)) {
    rows.push(iconButton('trash', 'Delete message', () => act('delete', { channel: message.channel, ts: message.ts })));
  }
  return el('div', { class: 'tools' }, rows);
}

/** The messages of a channel or a thread in a box that scrolls; it stays at its end unless somebody scrolled up. */
export class MessageList {
  constructor({ label, inThread = false, openThread = () => {}, older = null, intro = null }) {
    Object.assign(this, { inThread, openThread, older, intro });
    this.messages = [];
    this.nodes = new Map();
    this.more = false;
    this.unreadAfter = null;
    this.fetching = false;
    this.list = el('div', { class: 'list', role: 'feed', 'aria-label': label });
    this.node = el('div', { class: 'scroller', tabindex: '0', role: 'region', 'aria-label': label, on: { scroll: () => this.scrolled() } }, this.list);
    this.jump = el('button', { type: 'button', class: 'jump', hidden: true, on: { click: () => this.toEnd() } }, icon('down'), 'New messages');
    this.atEnd = true;
    new ResizeObserver(() => { if (this.atEnd) this.toEnd(); }).observe(this.list);
    new ResizeObserver(() => { if (this.atEnd) this.toEnd(); }).observe(this.node);
  }

  show(messages, more, unreadAfter = null) {
    Object.assign(this, { messages: [...messages], more, unreadAfter, atEnd: true });
    this.jump.hidden = true;
    this.redraw();
    this.toEnd();
  }

  redraw() {
    this.nodes.clear();
    const rows = [];
    if (!this.more && this.intro) rows.push(this.intro());
    let previous = null;
    for (const message of this.messages) {
      rows.push(...this.rows(message, previous));
      previous = message;
    }
    this.list.replaceChildren(...rows);
  }

  /** Older messages before the first one, which is drawn anew since it is not the first any more. */
  prepend(older, more) {
    const first = this.messages[0];
    const node = first && this.nodes.get(first.ts);
    while (node && this.list.firstChild !== node) this.list.firstChild.remove();
    node?.remove();
    this.more = more;
    this.messages = [...older, ...this.messages];
    const rows = !more && this.intro ? [this.intro()] : [];
    let previous = null;
    for (const message of first ? [...older, first] : older) {
      rows.push(...this.rows(message, previous));
      previous = message;
    }
    this.list.prepend(...rows);
  }

  /** A message, and the lines that stand before it. */
  rows(message, previous) {
    const rows = [];
    if (!this.inThread && (!previous || !sameDay(previous.ts, message.ts))) {
      rows.push(el('div', { class: 'day-line' }), el('div', { class: 'day', role: 'separator', 'aria-label': dayName(message.ts) }, el('span', { text: dayName(message.ts) })));
    }
    const isFirstNew = this.unreadAfter !== null && message.ts > this.unreadAfter && !(previous && previous.ts > this.unreadAfter);
    if (isFirstNew && message.user !== state.me) {
      rows.push(el('div', { class: 'new-line', role: 'separator', 'aria-label': 'New messages' }, el('span', { text: 'New' })));
    }
    const node = messageNode(message, rows.length === 0 && this.isCompact(message, previous), this.inThread, this.openThread);
    this.nodes.set(message.ts, node);
    rows.push(node);
    if (this.inThread && !previous && this.messages.length > 1) {
      const count = this.messages.length - 1;
      rows.push(el('div', { class: 'reply-count', role: 'separator' }, el('span', { text: count === 1 ? '1 reply' : `${count} replies` })));
    }
    return rows;
  }

  isCompact(message, previous) {
    return Boolean(previous) && previous.user === message.user && previous.ephemeral === message.ephemeral && !message.ephemeral
      && message.ts - previous.ts < TOGETHER && message.subtype !== 'thread_broadcast'
      && !(this.inThread && previous === this.messages[0]);
  }

  /** A new or changed message. */
  put(message) {
    const at = this.messages.findLastIndex((one) => one.ts === message.ts);
    if (at >= 0) {
      this.messages[at] = message;
      return this.replace(message, this.messages[at - 1]);
    }
    const last = this.messages.at(-1);
    if (last && message.ts < last.ts) {
      if (this.more && message.ts < this.messages[0].ts) return undefined; // comes when somebody scrolls up to it
      this.messages.push(message);
      this.messages.sort((one, other) => (one.ts < other.ts ? -1 : 1));
      return this.redraw();
    }
    this.messages.push(message);
    if (this.inThread) this.redraw();
    else this.list.append(...this.rows(message, last));
    this.forget();
    if (this.atEnd) this.toEnd();
    else this.jump.hidden = false;
    return undefined;
  }

  /** Draw it anew in its place; who had a button of it in focus keeps it. */
  replace(message, previous) {
    const old = this.nodes.get(message.ts);
    const focused = old.contains(document.activeElement) ? document.activeElement : null;
    const node = messageNode(message, old.classList.contains('compact') && this.isCompact(message, previous), this.inThread, this.openThread);
    this.nodes.set(message.ts, node);
    old.replaceWith(node);
    if (focused) {
      const same = focused.dataset.action && node.querySelector(`[data-action="${CSS.escape(focused.dataset.action)}"]`);
      (same || node.querySelector('.content :is(button, select)') || this.node).focus({ preventScroll: true });
    }
    if (this.atEnd) this.toEnd();
  }

  drop(ts) {
    const length = this.messages.length;
    this.messages = this.messages.filter((one) => one.ts !== ts);
    if (this.messages.length < length) this.redraw();
  }

  forget() {
    if (this.messages.length <= MOST || !this.atEnd) return;
    this.messages = this.messages.slice(-MOST / 2);
    this.more = true;
    this.redraw();
  }

  toEnd() {
    this.node.scrollTop = this.node.scrollHeight;
    this.atEnd = true;
    this.jump.hidden = true;
  }

  async scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.node;
    this.atEnd = scrollHeight - scrollTop - clientHeight < NEAR_END;
    if (this.atEnd) this.jump.hidden = true;
    if (scrollTop > 600 || !this.more || this.fetching || !this.older) return;
    this.fetching = true;
    const found = await this.older(this.messages[0]?.ts);
    const before = this.node.scrollHeight - this.node.scrollTop;
    const known = new Set(this.messages.map((one) => one.ts));
    this.prepend(found.messages.filter((one) => !known.has(one.ts)), found.more);
    this.node.scrollTop = this.node.scrollHeight - before;
    this.fetching = false;
  }
}
