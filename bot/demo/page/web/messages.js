// One message as a node, and what is offered for it.

import { act, avatar, el, icon, iconButton, personName, state } from './dom.js';
import { drawBlocks } from './blocks.js';
import { dayName, fullTime, mrkdwn, timeOf } from './mrkdwn.js';

/** The plain words of a message, as a screen reader or a notification says them. */
export function spoken(message) {
  const node = el('div');
  node.append(mrkdwn(message.text || ''));
  for (const end of node.querySelectorAll('br')) end.replaceWith(' ');
  return node.textContent.replaceAll('\u2060', '');
}

/** `compact`: without a face and a name, below another one of the same person. */
export function messageNode(message, { compact, inThread, openThread }) {
  const props = {
    class: `message${message.ephemeral ? ' ephemeral' : ''}${compact ? ' compact' : ''}`,
    data: { ts: message.ts }, role: 'article', tabindex: '-1', 'aria-label': `${personName(message.user)}, ${fullTime(message.ts)}`,
  };
  return el('div', props, note(message, inThread, openThread),
    el('div', { class: 'gutter' }, compact ? el('time', { class: 'quiet', text: timeOf(message.ts) }) : avatar(message.user)),
    el('div', { class: 'message-main' },
      compact ? null : head(message),
      content(message),
      !inThread && message.thread ? threadBar(message, openThread) : null));
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
    }));
  } else if (message.text) node.append(el('div', { class: 'text' }, mrkdwn(message.text)));
  if (message.edited) node.append(el('span', { class: 'quiet edited', text: ' (edited)' }));
  for (const file of message.files ?? []) node.append(fileNode(file));
  return node;
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
  return noteRow('reply', 'replied to a thread:', el('button', {
    type: 'button', class: 'link', on: { click: () => openThread(message.thread_ts) },
    text: spoken({ text: message.root_text }).slice(0, 200) || 'see the thread',
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

/** The buttons beside the message that somebody points at. */
export function tools(message, { inThread, openThread }) {
  const rows = [];
  if (message.ephemeral) rows.push(iconButton('close', 'Dismiss message', () => act('dismiss', { channel: message.channel, ts: message.ts })));
  else if (!inThread) rows.push(iconButton('chat', 'Reply in thread', () => openThread(message.thread_ts ?? message.ts)));
  const isAdmin = state.seats.find((seat) => seat.user === state.me)?.role === 'admin';
  if (!message.ephemeral && (isAdmin || message.user === state.me)) {
    rows.push(iconButton('trash', 'Delete message', () => act('delete', { channel: message.channel, ts: message.ts })));
  }
  return el('div', { class: 'tools' }, rows);
}
