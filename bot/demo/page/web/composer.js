// The field to write in: slash commands and names are completed, arrow up brings back what was sent before.

import { avatar, el, iconButton, state } from './dom.js';

const MOST_ROWS = 8;
const MOST_SENT = 50;
const sent = new Map(); // person -> what they sent, newest last
const drafts = new Map();

/** A composer. `send(text)` answers `{ok, error}`; `key` tells the drafts of channels and threads apart. */
export function composer({ label, key, send, id, inThread = false }) {
  const area = el('textarea', {
    class: 'write', rows: 1, id, placeholder: label, 'aria-label': label, autocomplete: 'off', spellcheck: 'false',
    role: 'combobox', 'aria-expanded': 'false', 'aria-autocomplete': 'list', 'aria-haspopup': 'listbox',
  });
  const list = el('div', { class: 'completions', role: 'listbox', id: `${id}-list`, 'aria-label': 'Suggestions', hidden: true });
  area.setAttribute('aria-controls', list.id);
  const submit = iconButton('send', 'Send now', () => go(), 'icon-button send');
  const error = el('div', { class: 'act-error', role: 'alert' });
  const insert = (text) => {
    area.setRangeText(text, area.selectionStart, area.selectionEnd, 'end');
    area.focus();
    changed();
  };
  const tools = el('div', { class: 'write-tools' },
    inThread ? null : iconButton('slash', 'Run a command', () => { area.value = ''; insert('/'); }),
    iconButton('at', 'Mention somebody', () => insert('@')),
    el('span', { class: 'spacer' }), el('span', { class: 'write-hint' }, el('b', { text: 'Shift + Enter' }), ' for a new line'), submit);
  const node = el('div', { class: 'composer' }, list, error, el('div', { class: 'write-box' }, area, tools));

  let rows = [];
  let marked = -1;
  let moved = false;
  let back = -1; // how far arrow up went into what was sent

  function changed() {
    drafts.set(key, area.value);
    area.style.height = 'auto';
    area.style.height = `${Math.min(area.scrollHeight, 220)}px`;
    submit.disabled = !area.value.trim();
    suggest();
  }

  function suggest() {
    rows = suggestions(area.value, area.selectionStart, inThread).slice(0, MOST_ROWS);
    marked = rows.length ? 0 : -1;
    moved = false;
    draw();
  }

  function draw() {
    list.hidden = !rows.length;
    area.setAttribute('aria-expanded', String(rows.length > 0));
    list.replaceChildren(...rows.map((row, at) => el('div', {
      class: 'completion', role: 'option', id: `${id}-option-${at}`, 'aria-selected': String(at === marked),
      on: { pointerdown: (event) => { event.preventDefault(); take(row); } },
    }, row.face ? avatar(row.face, 'tiny') : null, el('b', { text: row.shown }), el('span', { class: 'quiet', text: row.says }))));
    if (marked >= 0 && rows.length) area.setAttribute('aria-activedescendant', `${id}-option-${marked}`);
    else area.removeAttribute('aria-activedescendant');
    list.children[marked]?.scrollIntoView({ block: 'nearest' });
  }

  function take(row) {
    area.setSelectionRange(row.from, area.selectionStart);
    area.setRangeText(row.text, row.from, area.selectionEnd, 'end');
    changed();
    area.focus();
  }

  function recall(step) {
    const mine = sent.get(state.me) ?? [];
    const at = Math.min(back + step, mine.length - 1);
    if (at === back) return;
    back = Math.max(at, -1);
    area.value = back < 0 ? '' : mine.at(-1 - back);
    area.setSelectionRange(area.value.length, area.value.length);
    changed();
    rows = [];
    draw();
  }

  async function go() {
    const text = area.value.trim();
    if (!text) return;
    const mine = sent.get(state.me) ?? [];
    if (mine.at(-1) !== text) sent.set(state.me, [...mine, text].slice(-MOST_SENT));
    back = -1;
    area.value = '';
    error.textContent = '';
    changed();
    const answer = await send(text);
    if (!answer.ok) {
      error.textContent = answer.error;
      if (!area.value) { area.value = text; changed(); rows = []; draw(); }
    }
  }

  function onKey(event) {
    if (event.isComposing) return;
    const single = !area.value.includes('\n');
    if (rows.length && event.key === 'Escape') { event.stopPropagation(); rows = []; draw(); }
    else if (rows.length && (event.key === 'ArrowDown' || event.key === 'ArrowUp') && back < 0) {
      event.preventDefault();
      moved = true;
      marked = (marked + (event.key === 'ArrowDown' ? 1 : -1) + rows.length) % rows.length;
      draw();
    } else if (rows.length && event.key === 'Tab' && !event.shiftKey) { event.preventDefault(); take(rows[marked]); }
    else if (event.key === 'Enter' && !event.shiftKey) {
      event.preventDefault();
      if (rows.length && (moved || !rows[marked].whole)) take(rows[marked]);
      else go();
    } else if (event.key === 'ArrowUp' && single && (back >= 0 || !area.value)) { event.preventDefault(); recall(1); }
    else if (event.key === 'ArrowDown' && single && back >= 0) { event.preventDefault(); recall(-1); }
  }

  area.addEventListener('keydown', onKey);
  area.addEventListener('input', () => { back = -1; changed(); });
  area.addEventListener('blur', () => { rows = []; draw(); });
  area.value = drafts.get(key) ?? '';
  queueMicrotask(changed);
  return { node, area, write(text) { area.value = text; area.focus(); changed(); rows = []; draw(); } };
}

/** What may stand where the caret is: `from` is where it begins, `whole` that nothing is missing. */
function suggestions(text, caret, inThread) {
  const before = text.slice(0, caret);
  const slash = state.choices.slash;
  if (!inThread && before.startsWith('/') && caret === text.length) return commands(before, slash);
  const word = /(^|\s)@([^@\n]{0,30})$/u.exec(before);
  return word ? people(word[2].toLowerCase(), caret - word[2].length - 1) : [];
}

function commands(before, slash) {
  if (!before.includes(' ')) {
    return slash.startsWith(before) ? [{ from: 0, text: `${slash} `, shown: slash, says: 'Meshbot: ask and steer the fleet', face: state.bot, whole: false }] : [];
  }
  const typed = new RegExp(`^${slash.replace(/[^\w/]/g, '\\$&')} +(\\S*)$`).exec(before);
  if (!typed) return [];
  const beginning = typed[1].toLowerCase();
  const from = before.length - typed[1].length;
  return state.choices.commands.filter(([usage]) => usage.startsWith(beginning)).map(([usage, says]) => {
    const word = usage.split(' ')[0];
    const more = usage.length > word.length ? ' ' : '';
    return { from, text: word + more, shown: `${slash} ${usage}`, says, whole: word === beginning };
  });
}

function people(beginning, from) {
  const channel = state.channels.get(state.open);
  return Object.entries(state.people)
    .filter(([id, person]) => !person.gone && channel?.members.includes(id)
      && (person.name.toLowerCase().startsWith(beginning) || person.handle.startsWith(beginning)))
    .sort(([one], [other]) => (other === state.bot) - (one === state.bot))
    .map(([id, person]) => ({ from, text: `@${person.name} `, shown: person.name, says: person.bot ? 'APP' : person.handle, face: id, whole: false }));
}
