// Slack's markup as nodes: bold, italics, strike, code, quotes, links, mentions, channels, dates, emoji.
// Also rich text, which says the same with objects. The rules are those of Slack's page on formatting text.

import { el, now, personName, state } from './dom.js';

const EMOJI = {
  smile: '😄', slightly_smiling_face: '🙂', grinning: '😀', joy: '😂', wink: '😉', thinking_face: '🤔', eyes: '👀',
  white_check_mark: '✅', heavy_check_mark: '✔️', x: '❌', warning: '⚠️', no_entry: '⛔', no_entry_sign: '🚫',
  octagonal_sign: '🛑', red_circle: '🔴', large_green_circle: '🟢', large_yellow_circle: '🟡', large_blue_circle: '🔵',
  large_orange_circle: '🟠', white_circle: '⚪', black_circle: '⚫', hourglass_flowing_sand: '⏳', hourglass: '⌛',
  arrows_counterclockwise: '🔄', double_vertical_bar: '⏸️', pause_button: '⏸️', arrow_forward: '▶️', arrow_right: '➡️',
  bell: '🔔', no_bell: '🔕', rotating_light: '🚨', fire: '🔥', boom: '💥', tada: '🎉', rocket: '🚀', wave: '👋',
  '+1': '👍', thumbsup: '👍', '-1': '👎', ok_hand: '👌', clap: '👏', pray: '🙏', raised_hands: '🙌', heart: '❤️',
  ice_cube: '🧊', snowflake: '❄️', zap: '⚡', electric_plug: '🔌', satellite: '🛰️', satellite_antenna: '📡', wrench: '🔧',
  gear: '⚙️', package: '📦', bar_chart: '📊', chart_with_upwards_trend: '📈', calendar: '📅', clock1: '🕐', stopwatch: '⏱️',
  information_source: 'ℹ️', question: '❓', exclamation: '❗', bulb: '💡', memo: '📝', label: '🏷️', pushpin: '📌',
  link: '🔗', lock: '🔒', key: '🔑', mag: '🔍', robot_face: '🤖', point_right: '👉', point_down: '👇', sparkles: '✨',
};

const OPEN = '(?<![\\p{L}\\p{N}\\u2060*_~])';
const CLOSE = '(?![\\p{L}\\p{N}\\u2060])';
const within = (name, mark) => {
  const sign = mark === '*' ? '\\*' : mark;
  return `${OPEN}${sign}(?=[^\\s\\u2060${mark}])(?<${name}>(?:[^${mark}\\n]|\\u2060${sign}\\u2060)*?[^\\s\\u2060${mark}])${sign}${CLOSE}`;
};
const INLINE = new RegExp([
  '`(?<code>[^`\\n]+)`', '<(?<token>[^<>\\n]+)>', within('bold', '*'), within('italic', '_'), within('strike', '~'),
  ':(?<emoji>[a-z0-9_+-]+):', '(?<url>https?://[^\\s<>]+[^\\s<>.,;:!?)\\]"\'])',
].join('|'), 'gu');

const decode = (text) => text.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&');

/** A mrkdwn text as a fragment. `verbatim` leaves addresses that nobody marked as links alone. */
export function mrkdwn(text, { verbatim = false } = {}) {
  const out = document.createDocumentFragment();
  for (const [at, part] of text.split(/```\n?([\s\S]*?)\n?```/).entries()) {
    if (at % 2) out.append(el('pre', { class: 'code-block' }, decode(stripTokens(part))));
    else quotesAndLines(part.replace(at ? /^\n/ : /^$/, ''), out, verbatim);
  }
  return out;
}

/** A plain_text object's words: shown as they are, emoji codes only where it says so. */
export function plain(object) {
  const text = object?.text ?? '';
  return object?.emoji === false ? text : text.replace(/:([a-z0-9_+-]+):/g, (all, name) => EMOJI[name] ?? all);
}

/** A text object of either kind, as nodes. */
export function words(object) {
  if (object.type === 'mrkdwn') return mrkdwn(object.text, { verbatim: object.verbatim });
  const out = document.createDocumentFragment();
  out.append(plain(object));
  return out;
}

function quotesAndLines(text, out, verbatim) {
  let quote = null;
  const lines = text.split('\n');
  lines.forEach((line, at) => {
    const quoted = /^(?:>|&gt;) ?/.exec(line);
    if (quoted) {
      if (!quote) out.append(quote = el('blockquote'));
      else quote.append(el('br'));
      inline(line.slice(quoted[0].length), quote, verbatim);
      return;
    }
    if (!quote && at) out.append(el('br'));
    quote = null;
    inline(line, out, verbatim);
  });
}

function inline(text, out, verbatim) {
  let last = 0;
  for (const match of text.matchAll(INLINE)) {
    const groups = match.groups;
    if (groups.emoji && !EMOJI[groups.emoji]) continue;
    if (groups.url && verbatim) continue;
    out.append(decode(text.slice(last, match.index)));
    last = match.index + match[0].length;
    if (groups.code !== undefined) out.append(el('code', {}, decode(stripTokens(groups.code))));
    else if (groups.token !== undefined) out.append(token(groups.token));
    else if (groups.emoji) out.append(emoji(groups.emoji));
    else if (groups.url) out.append(link(decode(groups.url), decode(groups.url)));
    else {
      const node = el(groups.bold !== undefined ? 'b' : groups.italic !== undefined ? 'i' : 's');
      inline(groups.bold ?? groups.italic ?? groups.strike, node, verbatim);
      out.append(node);
    }
  }
  out.append(decode(text.slice(last)));
}

const stripTokens = (text) => text.replace(/<([^<>|]+)(?:\|([^<>]*))?>/g, (_, target, label) => label ?? target);

function emoji(name) {
  return el('span', { class: 'emoji', role: 'img', 'aria-label': name.replaceAll('_', ' '), text: EMOJI[name] });
}

function token(inner) {
  const at = inner.indexOf('|');
  const target = at < 0 ? inner : inner.slice(0, at);
  const label = at < 0 ? '' : decode(inner.slice(at + 1));
  if (target.startsWith('@')) return mention(`@${label || personName(target.slice(1))}`, target.slice(1) === state.me);
  if (target.startsWith('#')) return channelLink(target.slice(1), label);
  if (target.startsWith('!date^')) return date(target, label);
  if (target.startsWith('!subteam^')) {
    const group = target.slice('!subteam^'.length);
    return mention(label || `@${state.groups[group] ?? group}`, false);
  }
  if (target.startsWith('!')) return mention(`@${target.slice(1)}`, true);
  return link(decode(target), label || decode(target).replace(/^mailto:/, ''));
}

function mention(text, isMe) {
  return el('span', { class: isMe ? 'mention me' : 'mention', text });
}

function channelLink(id, label) {
  const channel = state.channels.get(id);
  const name = `#${channel?.name ?? (label || 'private')}`;
  if (!channel) return el('span', { class: 'mention', text: name });
  return el('a', { class: 'mention', href: `#${id}`, text: name });
}

function link(address, label) {
  if (!/^(https?:|mailto:|tel:)/i.test(address)) return document.createTextNode(label);
  return el('a', { href: address, target: '_blank', rel: 'noopener noreferrer', text: label });
}

function date(target, fallback) {
  const [, seconds, shape, address] = target.split('^');
  if (!/^-?\d{1,10}$/.test(seconds) || !shape) return document.createTextNode(fallback);
  const text = dateText(Number(seconds), decode(shape));
  const when = new Date(Number(seconds) * 1000);
  const full = formatter(undefined, { dateStyle: 'full', timeStyle: 'long' }).format(when);
  const node = el('time', { class: 'date', datetime: when.toISOString(), title: full, text });
  return address ? el('a', { href: address, target: '_blank', rel: 'noopener noreferrer' }, node) : node;
}

const formats = new Map(); // making one costs more than all the rest of a message
function formatter(language, options) {
  const key = `${language} ${JSON.stringify(options)}`;
  if (!formats.has(key)) formats.set(key, new Intl.DateTimeFormat(language, options));
  return formats.get(key);
}
const format = (when, options) => formatter('en-US', options).format(when);
const inWords = formatter(undefined, { dateStyle: 'full', timeStyle: 'medium' });
const hours = formatter(undefined, { hour: 'numeric', minute: '2-digit' });
const clock = (when) => hours.format(when);
const dayOf = (when) => new Date(when.getFullYear(), when.getMonth(), when.getDate()).getTime();

function ordinal(day) {
  const ending = { 1: 'st', 2: 'nd', 3: 'rd' }[day % 10];
  return `${day}${ending && ![11, 12, 13].includes(day % 100) ? ending : 'th'}`;
}

/** `today`, `yesterday`, `tomorrow`, or nothing, in the reader's zone. */
function nearDay(when) {
  const days = Math.round((dayOf(when) - dayOf(new Date(now() * 1000))) / 86_400_000);
  return { 0: 'today', '-1': 'yesterday', 1: 'tomorrow' }[days];
}

export function dateText(seconds, shape) {
  const when = new Date(seconds * 1000);
  const year = `, ${when.getFullYear()}`;
  const long = `${format(when, { month: 'long' })} ${ordinal(when.getDate())}${year}`;
  const short = format(when, { month: 'short', day: 'numeric', year: 'numeric' });
  const whole = `${format(when, { weekday: 'long' })}, ${long}`;
  const known = {
    date_num: `${when.getFullYear()}-${String(when.getMonth() + 1).padStart(2, '0')}-${String(when.getDate()).padStart(2, '0')}`,
    date: long, date_short: short, date_long: whole, time: clock(when), time_secs: formatter(undefined, { hour: 'numeric', minute: '2-digit', second: '2-digit' }).format(when),
    date_pretty: nearDay(when) ?? long, date_short_pretty: nearDay(when) ?? short, date_long_pretty: nearDay(when) ?? whole,
    ago: ago(seconds),
  };
  return shape.replace(/\{([a-z_]+)\}/g, (all, name) => known[name] ?? all);
}

function ago(seconds) {
  const steps = [['day', 86_400], ['hour', 3600], ['minute', 60], ['second', 1]];
  const length = now() - seconds;
  const [unit, size] = steps.find(([, each]) => Math.abs(length) >= each) ?? steps[3];
  return new Intl.RelativeTimeFormat('en', { numeric: 'auto' }).format(-Math.round(length / size), unit);
}

/** The time beside a name, and the words on the line between two days. */
export const timeOf = (ts) => clock(new Date(Number(ts) * 1000));
export function dayName(ts) {
  const when = new Date(Number(ts) * 1000);
  const near = nearDay(when);
  if (near) return near[0].toUpperCase() + near.slice(1);
  return `${format(when, { weekday: 'long', month: 'long' })} ${ordinal(when.getDate())}`;
}
/** When the day of a time stamp ends for the reader, as a time stamp. */
export function midnightAfter(ts) {
  const when = new Date(Number(ts) * 1000);
  return String(new Date(when.getFullYear(), when.getMonth(), when.getDate() + 1).getTime() / 1000);
}
export const fullTime = (ts) => inWords.format(new Date(Number(ts) * 1000));

// Rich text

/** A rich_text block as nodes. */
export function richText(block) {
  const node = el('div', { class: 'rich' });
  for (const part of block.elements ?? []) node.append(richPart(part));
  return node;
}

function richPart(part) {
  if (part.type === 'rich_text_list') {
    const list = el(part.style === 'ordered' ? 'ol' : 'ul', { start: part.offset ? part.offset + 1 : null });
    list.style.marginInlineStart = `${(part.indent ?? 0) * 24}px`;
    for (const item of part.elements) list.append(el('li', {}, richLeaves(item.elements)));
    return list;
  }
  const tag = { rich_text_preformatted: 'pre', rich_text_quote: 'blockquote' }[part.type] ?? 'div';
  return el(tag, { class: tag === 'pre' ? 'code-block' : null }, richLeaves(part.elements));
}

function richLeaves(leaves = []) {
  return leaves.map((leaf) => {
    let node = richLeaf(leaf);
    const style = leaf.style ?? {};
    for (const [name, tag] of [['code', 'code'], ['bold', 'b'], ['italic', 'i'], ['strike', 's'], ['underline', 'u']]) {
      if (style[name]) node = el(tag, {}, node);
    }
    return node;
  });
}

function richLeaf(leaf) {
  switch (leaf.type) {
    case 'link': return link(leaf.url, leaf.text ?? leaf.url);
    case 'user': return mention(`@${personName(leaf.user_id)}`, leaf.user_id === state.me);
    case 'usergroup': return mention(`@${state.groups[leaf.usergroup_id] ?? leaf.usergroup_id}`, false);
    case 'channel': return channelLink(leaf.channel_id, '');
    case 'broadcast': return mention(`@${leaf.range}`, true);
    case 'emoji': return EMOJI[leaf.name] ? emoji(leaf.name) : document.createTextNode(`:${leaf.name}:`);
    case 'date': return date(`!date^${leaf.timestamp}^${leaf.format}`, leaf.fallback ?? '');
    case 'color': return el('code', { text: leaf.value });
    default: return document.createTextNode(leaf.text ?? '');
  }
}
