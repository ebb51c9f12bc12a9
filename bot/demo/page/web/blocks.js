// Block Kit as nodes. Whoever draws says what a click does (`place.act`) and what was typed so far (`place.values`).

import { el, icon, popup, state } from './dom.js';
import { mrkdwn, plain, richText, words } from './mrkdwn.js';
import { confirmed } from './dialogs.js';

/** All blocks of a message or a view. `place.act(element, index, selected, node)` carries out a click or a choice. */
export function drawBlocks(blocks, place) {
  const out = document.createDocumentFragment();
  place.seen = new Map();
  for (const block of blocks) {
    const node = (DRAW[block.type] ?? unknown)(block, place);
    node.dataset.block = block.block_id ?? '';
    out.append(node);
  }
  return out;
}

const DRAW = {
  header: (block) => el('h3', { class: `block header level-${block.level ?? 1}` }, plain(block.text)),
  divider: () => el('hr', { class: 'block' }),
  section, context, actions, context_actions: actions, image, input, table, data_table: table,
  rich_text: (block) => el('div', { class: 'block' }, richText(block)),
  markdown: (block) => el('div', { class: 'block' }, mrkdwn(block.text)),
  data_visualization: chart,
  alert: (block) => el('div', { class: `block alert ${block.level ?? ''}` }, words(block.text)),
};

function unknown(block) {
  return el('div', { class: 'block quiet', text: `(a ${block.type} block)` });
}

function section(block, place) {
  const node = el('div', { class: 'block section' });
  const main = el('div', { class: 'section-text' });
  if (block.text) main.append(el('div', { class: 'text' }, words(block.text)));
  if (block.fields) {
    main.append(el('div', { class: 'fields' }, block.fields.map((field) => el('div', { class: 'field text' }, words(field)))));
  }
  node.append(main);
  if (block.accessory) {
    const kind = block.accessory.type === 'image' ? 'accessory picture' : 'accessory';
    node.append(el('div', { class: kind }, element(block.accessory, place, block)));
  }
  return node;
}

function context(block) {
  return el('div', { class: 'block context' }, block.elements.map((one) => (one.type === 'image'
    ? picture(one, 'context-image')
    : el('span', { class: 'text' }, words(one)))));
}

function actions(block, place) {
  return el('div', { class: 'block actions' }, block.elements.map((one) => element(one, place, block)));
}

function picture(image, className) {
  const file = image.slack_file?.id;
  if (!file) return el('span', { class: 'quiet', role: 'img', 'aria-label': image.alt_text, text: `(${image.alt_text})` });
  return el('img', { class: className, src: `file/${encodeURIComponent(file)}`, alt: image.alt_text, loading: 'lazy' });
}

function image(block) {
  return el('figure', { class: 'block image' },
    block.title ? el('figcaption', { text: plain(block.title) }) : null, picture(block, 'wide-picture'));
}

function table(block) {
  const settings = block.column_settings ?? [];
  const rows = block.rows.map((row, y) => el('tr', {}, row.map((cell, x) => {
    const node = el(y ? 'td' : 'th', { scope: y ? null : 'col', class: settings[x]?.is_wrapped ? 'wrapped' : null });
    node.style.textAlign = settings[x]?.align ?? '';
    node.append(cell.type === 'rich_text' ? richText(cell) : String(cell.text ?? cell.value ?? ''));
    return node;
  })));
  return el('div', { class: 'block table', tabindex: '0', role: 'region', 'aria-label': block.caption ?? 'Table' },
    el('table', {}, el('thead', {}, rows[0]), el('tbody', {}, rows.slice(1))));
}

/** A chart as bars with its numbers: what it says matters, not how Slack would paint it. */
function chart(block) {
  const { type, segments = [], series = [] } = block.chart;
  if (type === 'line' || type === 'area') return lineChart(block);
  const rows = type === 'pie' ? segments : series.flatMap((one) => one.data.map((point) => ({ ...point, of: one.name })));
  const most = Math.max(1, ...rows.map((row) => row.value));
  return el('figure', { class: 'block chart' }, el('figcaption', { text: block.title }), rows.map((row) => {
    const bar = el('span', { class: 'bar' });
    bar.style.width = `${(row.value / most) * 100}%`;
    return el('div', { class: 'chart-row' }, el('span', { text: series.length > 1 ? `${row.label}, ${row.of}` : row.label }), el('span', {}, bar), el('span', { text: row.value }));
  }));
}

const LINES = ['#1264a3', '#b3460e', '#148567', '#8e44ad', '#a15c07', '#c01b4a'];

function lineChart({ title, chart: { series, axis_config: axis } }) {
  const most = Math.max(1, ...series.flatMap((one) => one.data.map((point) => point.value)));
  const across = Math.max(1, axis.categories.length - 1);
  const shape = (name, attributes) => {
    const node = document.createElementNS('http://www.w3.org/2000/svg', name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    return node;
  };
  const canvas = shape('svg', { class: 'line-chart', viewBox: '0 0 100 50', preserveAspectRatio: 'none', role: 'img', 'aria-label': title });
  canvas.append(...series.map((one, at) => shape('polyline', {
    points: one.data.map((point, x) => `${(x / across) * 100},${49 - (point.value / most) * 48}`).join(' '),
    fill: 'none', stroke: LINES[at % LINES.length], 'stroke-width': 2, 'vector-effect': 'non-scaling-stroke',
  })));
  const legend = series.map((one, at) => {
    const name = el('span', { text: one.name });
    name.style.borderColor = LINES[at % LINES.length];
    return name;
  });
  const ends = [axis.categories[0], `highest ${most}`, axis.categories.at(-1)].map((text) => el('span', { text }));
  return el('figure', { class: 'block chart' }, el('figcaption', { text: title }), canvas,
    el('div', { class: 'line-ends' }, ends), el('div', { class: 'line-names' }, legend));
}

// Elements

function element(one, place, block) {
  const draw = ELEMENTS[one.type];
  if (!draw) return el('span', { class: 'quiet', text: `(a ${one.type})` });
  const key = JSON.stringify([one.action_id, one.value]);
  const index = place.seen.get(key) ?? 0;
  place.seen.set(key, index + 1);
  const node = draw(one, { ...place, block, index });
  node.dataset.action = one.action_id ?? '';
  return node;
}

const ELEMENTS = {
  button, overflow, image: (one) => picture(one, 'accessory-image'),
  static_select: (one, place) => select(one, place, one.options),
  users_select: select, channels_select: select, conversations_select: select, external_select: select,
  datepicker: (one, place) => chooser('date', one, place, one.initial_date),
  timepicker: (one, place) => chooser('time', one, place, one.initial_time),
  datetimepicker: (one, place) => chooser('datetime-local', one, { ...place, typed: localTime(place.typed) }, localTime(one.initial_date_time)),
  radio_buttons: (one, place) => options('radio', one, place),
  checkboxes: (one, place) => options('checkbox', one, place),
};

function button(one, place) {
  const props = { type: 'button', class: `button ${one.style ?? ''}`, 'aria-label': one.accessibility_label };
  const node = el('button', props, plain(one.text));
  node.addEventListener('click', async () => {
    if (one.url && /^https?:/i.test(one.url)) window.open(one.url, '_blank', 'noopener,noreferrer');
    if (one.confirm && !(await confirmed(one.confirm, node))) return;
    perform(one, place, undefined, node);
  });
  return node;
}

async function perform(one, place, selected, node) {
  node.classList.add('busy');
  node.setAttribute('aria-busy', 'true');
  const answer = await place.act(one, place.index, selected);
  node.classList.remove('busy');
  node.removeAttribute('aria-busy');
  node.parentElement?.querySelector('.act-error')?.remove();
  if (!answer.ok) {
    node.after(el('span', { class: 'act-error', role: 'alert' }, icon('warn'), answer.error));
  }
}

function overflow(one, place) {
  const node = el('button', { type: 'button', class: 'button overflow', 'aria-label': 'More actions', 'aria-haspopup': 'menu', 'aria-expanded': 'false' }, icon('dots'));
  node.addEventListener('click', () => popup(node, one.options.map((option) => ({
    text: plain(option.text),
    choose: async () => {
      if (!one.confirm || await confirmed(one.confirm, node)) perform(one, place, option.value, node);
    },
  })), 'More actions'));
  return node;
}

/** A menu of options, grouped or not. In a form its value is read on submission, elsewhere a choice is a click. */
function select(one, place, given) {
  const groups = one.option_groups ?? [{ options: given ?? one.options ?? listed(one.type) }];
  const chosen = place.typed ?? one.initial_option?.value ?? one.initial_user ?? one.initial_channel ?? one.initial_conversation ?? '';
  const node = el('select', { class: 'select', 'aria-label': place.labelled ? null : plain(one.placeholder) || 'Choose' },
    el('option', { value: '', disabled: !place.optional, hidden: !place.optional }, plain(one.placeholder) || 'Choose an option'));
  for (const group of groups) {
    const rows = group.options.map((option) => el('option', { value: option.value }, plain(option.text)));
    node.append(...(group.label ? [el('optgroup', { label: plain(group.label) }, rows)] : rows));
  }
  node.value = chosen;
  if (!place.form) {
    node.addEventListener('change', async () => {
      if (!one.confirm || await confirmed(one.confirm, node)) perform(one, place, node.value, node);
      else node.value = chosen;
    });
  }
  return node;
}

/** What stands in a menu of people or channels, which Slack fills in by itself. */
function listed(type) {
  const text = (words) => ({ type: 'plain_text', emoji: false, text: words });
  if (type.startsWith('users')) return Object.entries(state.people).map(([id, one]) => ({ value: id, text: text(one.name) }));
  return [...state.channels.values()].map((one) => ({ value: one.id, text: text(one.direct ? one.name : `#${one.name}`) }));
}

/** A moment as seconds, as the field shows it in the reader's zone. */
function localTime(seconds) {
  if (!seconds) return undefined;
  const moment = new Date(seconds * 1000);
  return new Date(moment - moment.getTimezoneOffset() * 60000).toISOString().slice(0, 16);
}

function chooser(type, one, place, initial) {
  const node = el('input', { type, class: 'field-input short', value: place.typed ?? initial ?? '', 'aria-label': place.labelled ? null : plain(one.placeholder) || type });
  if (!place.form) node.addEventListener('change', () => node.value && perform(one, place, node.value, node));
  return node;
}

function options(type, one, place) {
  const initial = (one.initial_options ?? [one.initial_option]).filter(Boolean).map((option) => option.value);
  const chosen = place.typed ?? initial;
  const name = `${place.block.block_id}-${one.action_id}`;
  const node = el('div', { class: 'options', role: type === 'radio' ? 'radiogroup' : 'group' }, one.options.map((option) => {
    const box = el('input', { type, name, value: option.value });
    box.checked = chosen.includes(option.value);
    return el('label', {}, box, el('span', {}, words(option.text), option.description ? el('small', {}, words(option.description)) : null));
  }));
  if (!place.form) {
    node.addEventListener('change', () => {
      const values = [...node.querySelectorAll(':checked')].map((box) => box.value);
      perform(one, place, type === 'radio' ? values[0] : values, node);
    });
  }
  return node;
}

// Inputs of a form

let numbers = 0;

function input(block, place) {
  const one = block.element;
  const id = `input-${++numbers}`;
  const typed = place.values?.(block.block_id, one.action_id);
  const field = inputField(one, { ...place, block, typed, form: !block.dispatch_action, labelled: true, optional: block.optional });
  const isGroup = field.classList.contains('options');
  field.id = id;
  field.dataset.action = one.action_id;
  if (!block.optional) field.setAttribute('aria-required', 'true');
  const hint = block.hint ? el('div', { class: 'hint', id: `${id}-hint`, text: plain(block.hint) }) : null;
  const label = el(isGroup ? 'div' : 'label', { class: 'label', for: isGroup ? null : id, id: `${id}-label` }, plain(block.label),
    block.optional ? el('span', { class: 'quiet', text: ' (optional)' }) : null);
  if (isGroup) field.setAttribute('aria-labelledby', label.id);
  field.setAttribute('aria-describedby', `${id}-error${hint ? ` ${id}-hint` : ''}`);
  return el('div', { class: 'block input', data: { input: block.block_id } }, label, field,
    el('div', { class: 'error', id: `${id}-error`, role: 'alert' }), hint);
}

const SINGLE_LINE = { plain_text_input: 'text', email_text_input: 'email', url_text_input: 'url', number_input: 'number' };

function inputField(one, place) {
  const type = SINGLE_LINE[one.type];
  if (!type) return element(one, place, place.block);
  const props = {
    class: 'field-input', placeholder: one.placeholder ? plain(one.placeholder) : null, maxlength: one.max_length,
    value: place.typed ?? one.initial_value ?? '',
  };
  return one.multiline ? el('textarea', { ...props, rows: 4 }) : el('input', { ...props, type });
}

/** What stands in one input of a form: a text, an option's value, a list, or null for nothing. */
export function inputValue(field) {
  if (field.type === 'datetime-local') return field.value ? Math.floor(new Date(field.value) / 1000) : null;
  if (!field.classList.contains('options')) {
    return field.value === '' && !field.classList.contains('field-input') ? null : field.value;
  }
  const values = [...field.querySelectorAll(':checked')].map((box) => box.value);
  return field.getAttribute('role') === 'radiogroup' ? values[0] ?? null : values;
}
