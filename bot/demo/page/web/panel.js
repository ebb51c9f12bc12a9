// The panel: what a person makes happen to the make-believe fleet, to Meshtech and to Slack.

import { el, icon, iconButton, post, state } from './dom.js';

let said;
let facts;

async function change(what, options = {}) {
  said.textContent = '…';
  try {
    const answer = await post('panel', { do: what, ...options });
    said.textContent = answer.said;
    if (answer.world) state.onWorld(answer.world);
  } catch {
    said.textContent = 'The demo cannot be reached.';
  }
}

const button = (text, what, options, style = '') => el('button', {
  type: 'button', class: `button ${style}`, on: { click: () => change(what, options?.() ?? {}) },
}, text);

function chooser(label, rows) {
  const node = el('select', { class: 'select', 'aria-label': label }, rows.map(([value, text]) => el('option', { value }, text)));
  return node;
}

function toggle(text, what, id) {
  const box = el('input', { type: 'checkbox', role: 'switch', id });
  box.addEventListener('change', () => change(what, { on: box.checked }));
  return el('label', { class: 'switch' }, box, el('span', { text }));
}

/** Draw the panel into its place. */
export function drawPanel(node, close, showTour) {
  const { sites, models, behaviours, speeds } = state.choices;
  const minutes = chooser('For how long', [['5', 'for 5 min'], ['30', 'for 30 min'], ['0', 'until it is mended']]);
  const site = chooser('Site', sites.map((one) => [one, one]));
  const model = chooser('Model', models.map((one) => [one, `model ${one}`]));
  const kind = chooser('Kind of firmware', behaviours.map((one) => [one.value, one.text]));
  const length = () => ({ minutes: Number(minutes.value) });
  said = el('p', { class: 'said', role: 'status', text: said?.textContent });
  facts = el('p', { class: 'facts' });
  const pace = el('div', { class: 'segments', role: 'group', 'aria-label': 'Pace of time' }, speeds.map((factor) => el('button', {
    type: 'button', class: 'segment', 'aria-pressed': 'false', data: { speed: factor }, on: { click: () => change('speed', { factor }) },
  }, `× ${factor}`)));
  node.replaceChildren(
    el('header', { class: 'side-head' }, el('h2', {}, 'Make things happen'), iconButton('close', 'Close the panel', close)),
    el('div', { class: 'side-body', tabindex: '0', role: 'region', 'aria-label': 'What can happen' },
      facts, said,
      group('Time', pace),
      group('Gateways go offline', minutes,
        el('div', { class: 'row' }, button('One gateway', 'gateway', length), button('Half the fleet', 'half', length, 'danger-text')),
        el('div', { class: 'row' }, site, button('Site goes offline', 'site', () => ({ site: site.value, ...length() }))),
        el('div', { class: 'row' }, button('One gateway flaps', 'flap'))),
      group('Trouble outside', toggle('Meshtech is cut off', 'vendor', 'vendor-switch'), toggle('Slack answers 429', 'slack', 'slack-switch'), toggle('Slack without tables', 'old', 'old-switch')),
      group('Upload a firmware to the portal', model, kind,
        button('Upload', 'firmware', () => ({ model: model.value, behaviour: kind.value }))),
      group('Back to normal', el('div', { class: 'row' }, button('Mend everything', 'mend'), button('Start over', 'reset'))),
      group('Times in this demo', el('p', { class: 'quiet small', text: 'The rules are the real ones; these times are shorter, so that you see them at work.' }),
        el('table', { class: 'times' },
          el('thead', {}, el('tr', {}, el('th', { scope: 'col', text: 'What' }), el('th', { scope: 'col', text: 'Here' }), el('th', { scope: 'col', text: 'Usually' }))),
          el('tbody', {}, state.choices.facts.map(([what, here, usual]) => el('tr', {}, el('th', { scope: 'row', text: what }), el('td', { text: here }), el('td', { text: usual }))))),
        el('button', { type: 'button', class: 'button', on: { click: showTour } }, icon('play'), 'Show the tour'))));
  updatePanel(state.world);
}

const group = (title, ...children) => el('section', { class: 'group' }, el('h3', { text: title }), children);

/** What the panel says about the world as it is. */
export function updatePanel(world) {
  if (!facts) return;
  const jobs = world.jobs ? ` · ${world.jobs === 1 ? '1 job' : `${world.jobs} jobs`} running` : '';
  facts.textContent = `${world.gateways} gateways · ${world.offline} offline${jobs}`;
  document.getElementById('vendor-switch').checked = world.vendor_down;
  document.getElementById('slack-switch').checked = world.slack_slow;
  document.getElementById('old-switch').checked = world.slack_old;
  for (const one of document.querySelectorAll('.segment')) one.setAttribute('aria-pressed', String(Number(one.dataset.speed) === world.speed));
}
