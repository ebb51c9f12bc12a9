// The tour for somebody's first visit: five steps, each beside what it is about.

import { el, state } from './dom.js';

const DONE = 'meshbot-tour';

// The README's "Try it" has the same steps, with the same words to type.
const STEPS = [
  { title: 'A Slack of your own', at: '#sidebar', text: () => 'Everything here runs on this machine: a local Slack, a make-believe fleet of gateways, and the real bot between them. No account, nothing to break. An alert is open in #fleet-alerts, and an update runs in #rollouts.' },
  { title: 'Ask the bot', at: '#pane .composer', text: () => `${state.choices.slash} devices is:offline lists what is offline; ${state.choices.slash} alone shows what the bot can do.`, type: () => `${state.choices.slash} devices is:offline` },
  { title: 'Update firmware', at: '#pane .composer', text: () => 'Draw a plan, and press Request approval.', type: () => `${state.choices.slash} update tag:bergen model:2011 to 3.5.0` },
  { title: 'Be somebody else', at: '#seat', text: () => 'A viewer looks, an operator changes, an approver approves. Become Ana Moe, approve the update on its card in #rollouts, and promote it when its canary is done.' },
  { title: 'Make things happen', at: '#open-world', text: () => `Let a site go offline, and watch its card come to #fleet-alerts, and its end; an update of it waits, and follows as it comes back. What goes offline in a window that ${state.choices.slash} maintenance plans is held until its end. ${state.choices.slash} sites lists all sites; the card of the alert says whom to call for its own, out of the site book. ${state.choices.slash} policy want 3.5.0 for model:2011 tells who is behind, with a button that plans the update. Firmware 3.6.0 to 3.6.5 is bad, each in a way of its own: watch a rollout stop.`, type: () => `${state.choices.slash} update tag:oslo model:2011 to 3.6.1` },
];

let card = null;
let about = '';
addEventListener('resize', () => card && place());

export function tourIfNew() {
  if (!localStorage.getItem(DONE)) tour();
}

export function tour() {
  end();
  step(0);
}

function end() {
  card?.remove();
  card = null;
  for (const node of document.querySelectorAll('.toured')) node.classList.remove('toured');
}

function finish() {
  localStorage.setItem(DONE, 'done');
  end();
}

function step(at) {
  end();
  const { title, text, type } = STEPS[at];
  about = STEPS[at].at;
  const isLast = at === STEPS.length - 1;
  const next = el('button', { type: 'button', class: 'button primary', on: { click: () => (isLast ? finish() : step(at + 1)) } }, isLast ? 'Done' : 'Next');
  card = el('div', { class: 'tour', role: 'dialog', 'aria-labelledby': 'tour-title', 'aria-describedby': 'tour-text', on: { keydown: (event) => { if (event.key === 'Escape') finish(); } } },
    el('p', { class: 'quiet small', text: `${at + 1} of ${STEPS.length}` }),
    el('h2', { id: 'tour-title', text: title }), el('p', { id: 'tour-text', text: text() }),
    el('div', { class: 'row' },
      type ? el('button', { type: 'button', class: 'button', on: { click: () => state.write(type()) } }, 'Type it for me') : null,
      el('span', { class: 'spacer' }),
      el('button', { type: 'button', class: 'button quiet-button', on: { click: finish } }, 'Skip'),
      at ? el('button', { type: 'button', class: 'button', on: { click: () => step(at - 1) } }, 'Back') : null, next));
  document.body.append(card);
  place();
  next.focus();
}

/** Beside what the step is about, and always on the screen. */
function place() {
  const target = document.querySelector(about);
  const box = target?.getBoundingClientRect();
  const [width, height] = [card.offsetWidth, card.offsetHeight];
  if (!box || innerWidth < 700 || box.right <= 0) {
    card.style.left = `${Math.max(8, (innerWidth - width) / 2)}px`;
    card.style.top = `${Math.max(8, (innerHeight - height) / 3)}px`;
    return;
  }
  target.classList.add('toured');
  const isSide = box.height > innerHeight / 2;
  const left = isSide ? box.right + 16 : Math.min(box.left, innerWidth - width - 16);
  const top = isSide ? 90 : box.bottom + height + 24 < innerHeight ? box.bottom + 12 : box.top - height - 12;
  card.style.left = `${Math.max(8, left)}px`;
  card.style.top = `${Math.max(8, top)}px`;
}
