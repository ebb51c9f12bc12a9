// Windows over the page: the confirmation of a click, and the modals that the bot opens.

import { act, avatar, el, iconButton, state } from './dom.js';
import { drawBlocks, inputValue } from './blocks.js';
import { plain, words } from './mrkdwn.js';

/** Ask as Slack asks before a click counts; true for yes. */
export function confirmed(confirm, from) {
  return new Promise((resolve) => {
    const yes = el('button', { type: 'button', class: `button large ${confirm.style ?? 'primary'}` }, plain(confirm.confirm));
    const no = el('button', { type: 'button', class: 'button large' }, plain(confirm.deny));
    const dialog = el('dialog', { class: 'window little', 'aria-labelledby': 'confirm-title' },
      el('header', { class: 'window-head' }, el('h2', { id: 'confirm-title' }, plain(confirm.title)),
        iconButton('close', 'Close', () => dialog.close())),
      el('div', { class: 'window-body text' }, words(confirm.text)),
      el('footer', { class: 'window-foot' }, no, yes));
    let answer = false;
    no.addEventListener('click', () => dialog.close());
    yes.addEventListener('click', () => { answer = true; dialog.close(); });
    dialog.addEventListener('close', () => {
      dialog.remove();
      if (from?.isConnected) from.focus();
      resolve(answer);
    });
    document.body.append(dialog);
    dialog.showModal();
    yes.focus();
  });
}

let shown = null; // the modal on the screen: { dialog, view, back }

/** Show the modal on top of this person's stack, or none. */
export function showModals() {
  const view = state.modals.at(-1);
  if (!view) return close();
  if (shown?.view.id === view.id && shown.view.hash === view.hash) {
    shown.view = view;
    showErrors(view.errors);
    return undefined;
  }
  const kept = shown?.view.id === view.id ? typedSoFar() : {};
  const back = shown?.back ?? document.activeElement;
  close(true);
  draw(view, kept, back);
  return undefined;
}

function close(quietly) {
  if (!shown) return;
  const { dialog, back } = shown;
  shown = null;
  dialog.remove();
  if (!quietly && back?.isConnected) back.focus();
}

function typedSoFar() {
  const values = {};
  for (const [block, field] of fields()) values[block] = inputValue(field);
  return values;
}

function fields() {
  return [...shown.dialog.querySelectorAll('[data-input]')]
    .map((node) => [node.dataset.input, node.querySelector('[data-action]')]).filter(([, field]) => field);
}

function stateValue(entry = {}) {
  return entry.value ?? entry.selected_option?.value ?? entry.selected_options?.map((option) => option.value)
    ?? entry.selected_date ?? entry.selected_time ?? entry.selected_date_time
    ?? entry.selected_user ?? entry.selected_channel ?? entry.selected_conversation ?? undefined;
}

function draw(view, kept, back) {
  const place = {
    values: (block, action) => kept[block] ?? stateValue(view.values?.[block]?.[action]),
    act: (element, index, selected) => act('view_click', {
      view: view.id, action_id: element.action_id, value: element.value, index, selected,
    }),
  };
  const submit = view.submit ? el('button', { type: 'submit', class: 'button large primary' }, plain(view.submit)) : null;
  const cancel = el('button', { type: 'button', class: 'button large', on: { click: leave } }, plain(view.close) || (submit ? 'Cancel' : 'Close'));
  const form = el('form', { novalidate: true, on: { submit: send } },
    el('header', { class: 'window-head' }, avatar(state.bot, 'small'), el('h2', { id: 'modal-title' }, plain(view.title)),
      iconButton('close', 'Close', leave)),
    el('div', { class: 'window-body' }, el('div', { class: 'act-error wide', role: 'alert' }), drawBlocks(view.blocks, place)),
    el('footer', { class: 'window-foot' }, cancel, submit));
  const dialog = el('dialog', { class: 'window', 'aria-labelledby': 'modal-title', on: { cancel: (event) => { event.preventDefault(); leave(); } } }, form);
  document.body.append(dialog);
  shown = { dialog, view, back };
  dialog.showModal();
  (dialog.querySelector('.window-body :is(input, textarea, select, button)') ?? submit ?? cancel).focus();
  showErrors(view.errors);
}

function leave() {
  const { view } = shown;
  act('close', { view: view.id });
  state.modals = state.modals.filter((one) => one.id !== view.id);
  showModals();
}

function showErrors(errors = {}) {
  let first = null;
  for (const [block, field] of fields()) {
    const says = errors[block] ?? '';
    const error = shown.dialog.querySelector(`[data-input="${CSS.escape(block)}"] .error`);
    if (error.textContent !== says) error.textContent = says;
    field.toggleAttribute('aria-invalid', Boolean(says));
    if (says) field.setAttribute('aria-invalid', 'true');
    first ??= says ? field : null;
  }
  first?.focus();
}

async function send(event) {
  event.preventDefault();
  const { dialog, view } = shown;
  const missing = {};
  const values = {};
  for (const [block, field] of fields()) {
    const value = inputValue(field);
    const isEmpty = value === null || value.length === 0 || !String(value).trim();
    if (isEmpty && field.getAttribute('aria-required')) missing[block] = 'Please complete this required field.';
    if (!isEmpty || field.classList.contains('field-input')) (values[block] ??= {})[field.dataset.action] = value;
  }
  showErrors(missing);
  if (Object.keys(missing).length) return;
  const button = dialog.querySelector('[type=submit]');
  button.disabled = true;
  button.classList.add('busy');
  const answer = await act('submit', { view: view.id, values });
  button.disabled = false;
  button.classList.remove('busy');
  dialog.querySelector('.act-error').textContent = answer.ok ? '' : answer.error;
}
