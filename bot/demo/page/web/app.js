// The page: follows the local Slack's stream, keeps what one person sees, and draws it.

import { act, avatar, el, icon, iconButton, now, personName, popup, setClock, state } from './dom.js';
import { composer } from './composer.js';
import { drawBlocks } from './blocks.js';
import { MessageList, placeOf } from './list.js';
import { spoken } from './messages.js';
import { drawPanel, updatePanel } from './panel.js';
import { showModals } from './dialogs.js';
import { tour, tourIfNew } from './tour.js';

const $ = (id) => document.getElementById(id);
const narrow = matchMedia('(max-width: 760px)');
const roomy = matchMedia('(min-width: 1500px)');
const SILENCE = 15_000; // the stream says something every five seconds
const MOST = 2500; // messages kept of a channel

let view = null; // what the pane shows: { list, write }
let threadView = null; // the same of the thread's pane, with its `ts` and `channel`
let stream = null;
let retry = 500;
let heard = 0;
let after = '';
let marks = loadMarks();

// What was read by whom, as long as this world lasts

function loadMarks() {
  try { return JSON.parse(localStorage.getItem('meshbot-read')) ?? { boot: '', read: {} }; } catch { return { boot: '', read: {} }; }
}

function readUpTo(channel) {
  return marks.read[`${state.me} ${channel}`] ?? '0';
}

function markRead(channel) {
  const last = channel.messages.at(-1)?.ts;
  if (!last || document.hidden || last <= readUpTo(channel.id)) return;
  marks.read[`${state.me} ${channel.id}`] = last;
  localStorage.setItem('meshbot-read', JSON.stringify(marks));
  count(channel);
}

/** What is unread is counted once; afterwards each message that comes adds itself. */
function count(channel) {
  channel.unread = { count: 0, loud: false };
  for (const message of channel.messages.slice(placeOf(channel.messages, readUpTo(channel.id)))) addUnread(channel, message);
}

function addUnread(channel, message) {
  if (message.user === state.me || message.ts <= readUpTo(channel.id)) return;
  channel.unread.count += 1;
  channel.unread.loud ||= channel.direct || message.ephemeral || Boolean(message.text?.includes(`<@${state.me}>`));
}

// The stream

function connect() {
  stream?.close();
  stream = new EventSource(`stream?as=${encodeURIComponent(state.me)}&after=${encodeURIComponent(after)}`);
  const mine = stream;
  const on = (name, listener) => stream.addEventListener(name, (event) => {
    if (mine !== stream) return;
    const data = JSON.parse(event.data);
    heard = performance.now();
    retry = 500;
    after = data.at;
    listener(data);
  });
  on('hello', hello);
  on('back', (world) => { connected(); onWorld(world); });
  on('message', ({ message }) => onMessage(message));
  on('gone', onGone);
  on('views', onViews);
  on('world', onWorld);
  stream.onerror = () => mine === stream && lost();
}

function connected() {
  heard = performance.now();
  $('app').classList.remove('offline');
  if ($('banner').dataset.why === 'lost') banner('');
}

function lost() {
  stream?.close();
  stream = null;
  banner('The local Slack cannot be reached. Trying again…', 'lost');
  setTimeout(connect, retry);
  retry = Math.min(retry * 2, 5000);
}

setInterval(() => { if (stream && performance.now() - heard > SILENCE) lost(); }, 2000);

function banner(text, why = '') {
  $('banner').textContent = text;
  $('banner').dataset.why = why;
  $('banner').hidden = !text;
}

function hello(data) {
  const isFirst = !state.boot;
  const boot = data.at.split('.')[0];
  if (marks.boot !== boot) marks = { boot, read: {} };
  Object.assign(state, {
    me: data.me, bot: data.bot, people: data.people, groups: data.groups, seats: data.seats, modals: data.modals,
    home: data.home, boot, world: data.world, choices: data, channels: new Map(data.channels.map((one) => [one.id, one])),
  });
  for (const channel of state.channels.values()) count(channel);
  setClock(data.world);
  connected();
  closeThread();
  drawSeat();
  drawPanel($('world'), () => showWorld(false), () => { if (!roomy.matches) showWorld(false); tour(); });
  route();
  showModals();
  onWorld(data.world);
  $('app').dataset.ready = state.me;
  if (isFirst) tourIfNew();
}

function onMessage(message) {
  const channel = state.channels.get(message.channel);
  if (!channel) return;
  const isReply = message.thread_ts && message.thread_ts !== message.ts;
  if (threadView?.channel === message.channel && (message.thread_ts ?? message.ts) === threadView.ts) threadView.list.put(message);
  if (isReply && message.subtype !== 'thread_broadcast') return;
  const before = channel.unread.count;
  const isNew = put(channel, message);
  if (state.open === channel.id && state.tab === 'messages') {
    view.list.put(message);
    if (isNew && message.user !== state.me) $('announce').textContent = `${personName(message.user)}: ${spoken(message).slice(0, 300)}`;
    markRead(channel);
  }
  if (channel.unread.count !== before) drawSidebar();
}

/** Keep the message with its channel, in order and not without end; whether it is a new one. */
function put(channel, message) {
  const { messages } = channel;
  const at = placeOf(messages, message.ts);
  const isNew = messages[at]?.ts !== message.ts;
  if (isNew && at === 0 && channel.more) return false;
  if (isNew && at === messages.length) messages.push(message);
  else messages.splice(at, isNew ? 0 : 1, message);
  if (isNew) addUnread(channel, message);
  if (messages.length > MOST) {
    messages.splice(0, MOST / 2);
    channel.more = true;
  }
  return isNew;
}

function onGone({ channel: id, ts }) {
  const channel = state.channels.get(id);
  if (!channel) return;
  const at = placeOf(channel.messages, ts);
  if (channel.messages[at]?.ts === ts) channel.messages.splice(at, 1);
  count(channel);
  if (state.open === id) view?.list?.drop(ts);
  if (threadView?.channel === id) {
    if (threadView.ts === ts) closeThread();
    else threadView.list.drop(ts);
  }
  drawSidebar();
}

function onViews({ modals, home }) {
  Object.assign(state, { modals, home });
  showModals();
  if (state.tab === 'home' && state.channels.get(state.open)?.direct) drawHome();
}

function onWorld(world) {
  state.world = world;
  setClock(world);
  updatePanel(world);
  tick();
  if (!world.bot) banner('Meshbot is not connected to this Slack: commands will not be answered.', 'bot');
  else if ($('banner').dataset.why === 'bot') banner('');
}
state.onWorld = onWorld;

function tick() {
  if (!state.boot) return;
  const time = new Intl.DateTimeFormat(undefined, { weekday: 'short', hour: 'numeric', minute: '2-digit', second: '2-digit' }).format(new Date(now() * 1000));
  $('clock').textContent = state.world.speed === 1 ? time : `${time} · × ${state.world.speed}`;
}
setInterval(tick, 1000);

// The frame: seat, channels

function drawSeat() {
  const role = state.seats.find((one) => one.user === state.me)?.role ?? '';
  const seat = $('seat');
  seat.replaceChildren(avatar(state.me, 'small'), el('span', { class: 'seat-name' }, el('b', { text: personName(state.me) }), el('span', { text: role })), icon('caret'));
  seat.setAttribute('aria-label', `You are ${personName(state.me)}, ${role}. Switch to somebody else`);
  seat.onclick = () => popup(seat, state.seats.map((one) => ({
    checked: one.user === state.me, choose: () => sit(one.user),
    content: [avatar(one.user, 'small'), el('span', { class: 'seat-name' }, el('b', { text: personName(one.user) }), el('span', { text: one.role }))],
  })), 'Be somebody else');
}

function sit(user) {
  if (user === state.me) return;
  state.me = user;
  sessionStorage.setItem('meshbot-seat', user);
  localStorage.setItem('meshbot-seat', user);
  after = '';
  state.modals = [];
  showModals();
  connect();
}

function drawSidebar() {
  const rows = { channels: [], apps: [] };
  let waiting = 0;
  for (const channel of state.channels.values()) {
    const { count: unread, loud } = channel.unread;
    waiting += unread;
    const name = channel.direct ? 'Meshbot' : channel.name;
    const says = unread ? `${name}, ${unread} unread` : name;
    (channel.direct ? rows.apps : rows.channels).push(el('li', {}, el('a', {
      href: `#${channel.id}`, class: `channel${unread ? ' unread' : ''}`, 'aria-label': says,
      'aria-current': state.open === channel.id ? 'page' : null, on: { click: () => drawer(false) },
    }, channel.direct ? avatar(state.bot, 'tiny') : icon(channel.private ? 'lock' : 'hash'), el('span', { class: 'channel-name', text: name }),
    loud ? el('span', { class: 'count', text: unread > 99 ? '99+' : unread }) : null)));
  }
  const focused = document.activeElement?.closest?.('#sidebar a')?.getAttribute('href');
  $('sidebar').replaceChildren(
    el('div', { class: 'sidebar-head' }, el('b', { text: 'Mesh' }), el('span', { class: 'spacer' }),
      iconButton('close', 'Close the channels', () => drawer(false), 'icon-button only-narrow')),
    el('h2', { id: 'channels-title' }, icon('caret'), 'Channels'), el('ul', { 'aria-labelledby': 'channels-title' }, rows.channels),
    el('h2', { id: 'apps-title' }, icon('caret'), 'Apps'), el('ul', { 'aria-labelledby': 'apps-title' }, rows.apps));
  if (focused) $('sidebar').querySelector(`a[href="${focused}"]`)?.focus();
  const open = state.channels.get(state.open);
  document.title = `${waiting ? `(${waiting}) ` : ''}${open ? `${open.direct ? 'Meshbot' : open.name} · ` : ''}Mesh`;
}

function drawer(open) {
  $('app').classList.toggle('drawer', open);
  $('open-drawer').setAttribute('aria-expanded', String(open));
  $('scrim').hidden = !open;
  if (open) $('sidebar').querySelector('[aria-current], a')?.focus();
  else if ($('sidebar').contains(document.activeElement) && narrow.matches) $('open-drawer').focus();
}

// The pane: a channel, or the bot's messages and home

function route() {
  const wanted = location.hash.slice(1);
  const all = [...state.channels.values()];
  const other = wanted.startsWith('D') ? all.find((one) => one.direct) : state.channels.get(state.choices.first);
  const channel = state.channels.get(wanted) ?? other ?? all[0];
  if (threadView && threadView.channel !== channel.id) closeThread();
  const isBot = channel.direct && state.open?.startsWith('D'); // of somebody who sat here before, too
  if (state.open !== channel.id && !isBot) state.tab = 'messages';
  state.open = channel.id;
  drawPane(channel);
}

function drawPane(channel) {
  const name = channel.direct ? 'Meshbot' : `#${channel.name}`;
  const title = el('h1', {}, channel.direct ? avatar(state.bot, 'tiny') : icon(channel.private ? 'lock' : 'hash'), channel.direct ? 'Meshbot' : channel.name,
    channel.direct ? el('span', { class: 'badge', text: 'APP' }) : null);
  const head = el('header', { class: 'pane-head' }, title, el('span', { class: 'quiet topic', text: channel.topic ?? '' }), el('span', { class: 'spacer' }),
    channel.direct ? null : el('span', { class: 'members', 'aria-label': `${channel.members.length} members` },
      channel.members.filter((id) => id !== state.bot).slice(0, 3).map((id) => avatar(id, 'tiny')), String(channel.members.length)));
  const tabs = channel.direct ? drawTabs(channel) : null;
  if (channel.direct && state.tab !== 'messages') {
    const body = el('div', { class: 'home scroller', id: 'home', tabindex: '0', role: 'tabpanel', 'aria-label': state.tab === 'home' ? 'Home' : 'About' });
    $('pane').replaceChildren(head, tabs, body);
    view = null;
    if (state.tab === 'home') {
      drawHome();
      act('home', { tab: 'home' });
    } else body.append(about());
  } else {
    const list = new MessageList({ label: `Messages in ${name}`, openThread: (ts) => openThread(channel.id, ts), older: (ts) => fetchOlder(channel, ts), intro: () => intro(channel), latest: () => channel });
    const write = composer({ label: `Message ${name}`, key: `${state.me} ${channel.id}`, id: 'write', send: (text) => act('say', { channel: channel.id, text }) });
    view = { list, write };
    state.write = (text) => write.write(text);
    const unread = channel.unread.count;
    $('pane').replaceChildren(head, ...(tabs ? [tabs] : []), list.node, el('div', { class: 'pane-foot' }, list.jump, write.node));
    list.show(channel.messages, channel.more, unread ? readUpTo(channel.id) : null);
    markRead(channel);
    if (!narrow.matches && !document.querySelector('dialog[open], .tour')) write.area.focus();
  }
  drawSidebar();
}

function drawTabs(channel) {
  const names = [['home', 'Home'], ['messages', 'Messages'], ['about', 'About']];
  const move = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const at = names.findIndex(([tab]) => tab === state.tab);
    pick(names[(at + step + names.length) % names.length][0]);
    $('pane').querySelector('[role=tab][aria-selected=true]').focus();
  };
  const pick = (tab) => { state.tab = tab; drawPane(channel); };
  return el('div', { class: 'tabs', role: 'tablist', 'aria-label': 'Meshbot', on: { keydown: move } }, names.map(([tab, text]) => el('button', {
    type: 'button', role: 'tab', class: 'tab', 'aria-selected': String(state.tab === tab), tabindex: state.tab === tab ? '0' : '-1',
    on: { click: () => pick(tab) },
  }, text)));
}

function drawHome() {
  const body = $('home');
  if (!body) return;
  const { home } = state;
  if (!home) {
    body.replaceChildren(el('p', { class: 'quiet', text: 'Meshbot has not drawn its home tab for you yet.' }));
    return;
  }
  const top = body.scrollTop;
  const place = {
    act: (element, index, selected) => act('view_click', { view: home.id, action_id: element.action_id, value: element.value, index, selected }),
  };
  const focused = body.contains(document.activeElement) ? document.activeElement.dataset.action : null;
  body.replaceChildren(el('div', { class: 'home-blocks' }, drawBlocks(home.blocks, place)));
  body.scrollTop = top;
  if (focused) body.querySelector(`[data-action="${CSS.escape(focused)}"]`)?.focus();
}

function about() {
  return el('div', { class: 'home-blocks' }, el('h2', {}, 'Meshbot'), el('p', {}, 'Runs a fleet of Meshtech gateways without leaving Slack.'),
    el('p', { class: 'quiet' }, 'This is the bot itself. The Slack and the fleet around it are simulated on this machine.'),
    el('h3', {}, 'Commands'), el('ul', { class: 'commands' }, state.choices.commands.map(([usage, says]) => el('li', {}, el('code', { text: `${state.choices.slash} ${usage}` }), ` ${says}`))));
}

function intro(channel) {
  return el('div', { class: 'intro' }, el('h2', {}, channel.direct ? 'Meshbot' : `#${channel.name}`),
    el('p', {}, channel.direct ? 'This is the very beginning of your direct messages with Meshbot. Files that you ask for come here.'
      : `This is the very beginning of the #${channel.name} channel.`));
}

async function fetchOlder(channel, ts) {
  const query = new URLSearchParams({ as: state.me, channel: channel.id, before: ts ?? '' });
  const found = await (await fetch(`older?${query}`)).json();
  channel.messages.unshift(...found.messages.slice(0, placeOf(found.messages, channel.messages[0]?.ts ?? '~')));
  channel.more = found.more;
  return found;
}

// The thread, the panel, the looks

async function openThread(channelId, ts) {
  const channel = state.channels.get(channelId);
  const list = new MessageList({ label: 'Thread', inThread: true });
  const write = composer({
    label: 'Reply…', key: `${state.me} ${channelId} ${ts}`, id: 'reply', inThread: true,
    send: (text) => act('say', { channel: channelId, thread: ts, text }),
  });
  threadView = { list, ts, channel: channelId, back: document.activeElement };
  $('thread').replaceChildren(
    el('header', { class: 'side-head' }, el('h2', {}, 'Thread ', el('span', { class: 'quiet', text: channel.direct ? 'Meshbot' : `#${channel.name}` })), iconButton('close', 'Close the thread', closeThread)),
    list.node, el('div', { class: 'pane-foot' }, list.jump, write.node));
  $('thread').hidden = false;
  $('app').classList.add('threaded');
  if (!roomy.matches) showWorld(false, true);
  const query = new URLSearchParams({ as: state.me, channel: channelId, ts });
  const found = await (await fetch(`thread?${query}`)).json();
  const meanwhile = list.messages;
  list.show(found.messages, false);
  for (const message of meanwhile) list.put(message);
  write.area.focus();
}

function closeThread() {
  if (!threadView) return;
  const { back } = threadView;
  threadView = null;
  $('thread').hidden = true;
  $('thread').replaceChildren();
  $('app').classList.remove('threaded');
  if (back?.isConnected) back.focus();
}

function showWorld(open, quietly = false) {
  if (open && !roomy.matches) closeThread();
  $('world').hidden = !open;
  $('app').classList.toggle('worldly', open);
  $('open-world').setAttribute('aria-expanded', String(open));
  if (!quietly) localStorage.setItem('meshbot-panel', open ? 'open' : 'closed');
  if (open && !quietly) $('world').querySelector('.segment')?.focus();
  else if (!open && !quietly) $('open-world').focus();
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  const isDark = theme === 'dark';
  $('theme').setAttribute('aria-pressed', String(isDark));
  $('theme').replaceChildren(icon(isDark ? 'sun' : 'moon'));
}

function start() {
  const dark = matchMedia('(prefers-color-scheme: dark)');
  setTheme(localStorage.getItem('meshbot-theme') ?? (dark.matches ? 'dark' : 'light'));
  dark.addEventListener('change', () => localStorage.getItem('meshbot-theme') || setTheme(dark.matches ? 'dark' : 'light'));
  $('theme').addEventListener('click', () => {
    const theme = document.documentElement.dataset.theme === 'dark' ? 'light' : 'dark';
    localStorage.setItem('meshbot-theme', theme);
    setTheme(theme);
  });
  $('open-drawer').append(icon('menu'));
  $('open-drawer').addEventListener('click', () => drawer(true));
  $('scrim').addEventListener('click', () => drawer(false));
  $('open-world').append(icon('spark'), el('span', { class: 'wide-only', text: 'Make things happen' }));
  $('open-world').addEventListener('click', () => showWorld($('world').hidden));
  $('rail').append(el('span', { class: 'workspace', 'aria-hidden': 'true', text: 'M' }),
    railButton('home', 'Home', () => { location.hash = state.channels.keys().next().value; }),
    railButton('chat', 'DMs', () => { location.hash = [...state.channels.values()].find((one) => one.direct).id; }),
    railButton('bell', 'Alerts', () => { location.hash = 'C0ALERTS01'; }));
  addEventListener('hashchange', route);
  document.addEventListener('visibilitychange', () => { const open = state.channels.get(state.open); if (open && view) { markRead(open); drawSidebar(); } });
  document.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape' || event.defaultPrevented || document.querySelector('dialog[open]')) return;
    if ($('app').classList.contains('drawer')) drawer(false);
    else if (threadView && event.target.id !== 'write') closeThread();
    else if ($('world').contains(event.target)) showWorld(false);
  });
  if (localStorage.getItem('meshbot-panel') === 'open' && roomy.matches) showWorld(true, true);
  state.me = sessionStorage.getItem('meshbot-seat') ?? localStorage.getItem('meshbot-seat') ?? 'U0OPERAT01';
  connect();
}

function railButton(name, label, onClick) {
  return el('button', { type: 'button', class: 'rail-button', on: { click: onClick } }, el('span', { class: 'rail-icon' }, icon(name)), el('span', { text: label }));
}

start();
