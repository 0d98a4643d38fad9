// @ts-check
/** The introduction: three steps and how far they are. It goes when a run begins, and comes back when asked. */

import { keep, kept, onReread } from '../../kept/kept.js';
import { onLanguage, t } from '../../messages/messages.js';
import { isRunning, state, watch } from '../../store.js';
import { button, element, make, setText } from '../dom.js';
import { useFirstSample } from '../corpus/corpus.js';
import { describeDevice, describeSteps } from './steps.js';

/** @import {Step} from './steps.js' */

const SEEN = 'introduced';
/** Where each step is done. */
const PLACES = { model: 'model-select', text: 'corpus-text', train: 'train', ask: 'chat-input' };

/** @param {Step['state']} state for those who do not see the colour */
const spoken = (state) => ({ done: t('done'), current: t('your turn'), working: t('under way'), waiting: '', failed: t('needs you') })[state];

/** @param {Step} step */
function showStep({ id, state: how, text }) {
  const item = element('first-steps').querySelector(`[data-step=${id}]`);
  const [words, said] = [item?.querySelector('span'), item?.querySelector('.sr')];
  if (!(item instanceof HTMLElement) || !(words instanceof HTMLElement)) return;
  item.dataset['state'] = how;
  if (how === 'current') item.setAttribute('aria-current', 'step');
  else item.removeAttribute('aria-current');
  setText(words, text);
  if (said instanceof HTMLElement) setText(said, spoken(how) ? `(${spoken(how)})` : '');
}

/** @param {boolean} isShown */
function show(isShown) {
  element('first').hidden = !isShown;
  button('first-open').setAttribute('aria-expanded', String(isShown));
}

/** @param {keyof typeof PLACES} id */
function goTo(id) {
  const place = element(PLACES[id]);
  // A button that cannot be pressed yet cannot be focused either: its card says why.
  const target = place.matches(':disabled') ? place.closest('.card, .panel') : place;
  target?.scrollIntoView({ block: 'center', behavior: 'smooth' });
  place.focus({ preventScroll: true });
}

function render() {
  for (const step of describeSteps(state)) showStep(step);
  button('first-sample').hidden = state.hasCorpus;
  const word = isRunning() || state.run?.done ? '' : describeDevice(state.gpu);
  element('device-word').hidden = !word;
  setText(element('device-word'), word);
}

export function mountFirst() {
  for (const item of element('first-steps').children) {
    if (!(item instanceof HTMLElement)) continue;
    const press = item.querySelector('button');
    press?.append(' ', make('i', { class: 'sr' }));
    press?.addEventListener('click', () => goTo(/** @type {keyof typeof PLACES} */ (item.dataset['step'])));
  }
  show(kept(SEEN) !== true);
  onReread(SEEN, (now) => show(now !== true));
  const leave = () => {
    show(false);
    keep(SEEN, true);
  };
  button('first-open').addEventListener('click', () => {
    show(Boolean(element('first').hidden));
    if (!element('first').hidden) element('first').querySelector('button')?.focus();
  });
  button('first-close').addEventListener('click', () => {
    leave();
    button('first-open').focus();
  });
  button('first-sample').addEventListener('click', () => {
    void useFirstSample();
    goTo('text');
  });
  watch(['supported', 'status', 'boot', 'model', 'modelProgress', 'hasCorpus', 'count', 'plan', 'planProblem', 'run', 'adapter', 'tuned', 'gpu'], render);
  onLanguage(render);
  let wasRunning = false;
  watch(['run'], () => {
    if (isRunning() && !wasRunning) leave();
    wasRunning = isRunning();
  });
}
