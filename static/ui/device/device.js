// @ts-check
/** The dialog of the device: what it is, what it measures, whether it computes rightly. */

import { StudioError } from '../../api.js';
import { checkGpu } from '../../gpu/check.js';
import { onLanguage, t } from '../../messages/messages.js';
import { state, watch } from '../../store.js';
import { isSelfChecking, mountCheck, stopCheck } from './check.js';
import { showFacts } from './facts.js';
import { mountReport } from './report.js';
import { button, byId, element, make, setText } from '../dom.js';

/** @import {Studio} from '../../api.js' */
/** @import {Diagnosis} from './facts.js' */

/** Words of `status` at which the GPU can be asked for this. */
const IDLE = new Set(['booting', 'ready', 'error']);

/** @type {Diagnosis|null} */
let diagnosis = null;
let isBusy = false;
/** What the dialog says went wrong. */
let problem = '';
/** Write the report anew, where it is shown. */
let refresh = () => {};

/** @param {string} text */
const tell = (text) => setText(element('device-note'), text);

/** @param {string} sentence @param {string[]} [steps] */
function showProblem(sentence, steps = []) {
  problem = sentence;
  setText(element('device-problem-text'), sentence);
  element('device-steps').replaceChildren(...steps.map((text) => make('li', { text })));
  element('device-problem').hidden = !sentence;
  button('device-again').hidden = !state.supported;
}

/** @param {unknown} error */
const fail = (error) => showProblem(error instanceof Error ? error.message : String(error));

function render() {
  const idle = IDLE.has(state.status) && !isBusy;
  const ready = state.supported && diagnosis !== null && (idle || isSelfChecking());
  button('device-check').disabled = !ready;
  button('device-measure').hidden = !diagnosis;
  button('device-measure').disabled = !idle || isSelfChecking();
  element('device-waiting').hidden = !isBusy;
  const waits = state.supported && diagnosis !== null && !IDLE.has(state.status) && !isBusy && !isSelfChecking();
  element('device-busy').hidden = !waits;
  setText(element('device-busy'), waits ? t('The GPU is at work for something else: what has to be measured or checked waits for it.') : '');
}

/** @param {Studio} studio @param {boolean} measure */
async function ask(studio, measure) {
  if (isBusy || isSelfChecking()) return;
  isBusy = true;
  showProblem('');
  setText(element('device-waiting-text'), measure ? t('Measuring, a few seconds…') : state.gpu ? t('Asking the device…') : t('The engine is starting: what it finds appears here.'));
  render();
  try {
    diagnosis = await studio.request('diagnose', { measure });
    if (diagnosis) showFacts(diagnosis);
  } catch (error) {
    // Something else was quicker to take the GPU: `render` says so.
    if (!(error instanceof StudioError && error.kind === 'BusyError')) fail(error);
  } finally {
    isBusy = false;
    render();
    refresh();
  }
}

/** Measure where nothing was measured yet, as soon as the GPU is free. @param {Studio} studio */
async function look(studio) {
  if (!state.supported) {
    const { ok, found, steps } = await checkGpu();
    if (ok) showProblem(t('There is a GPU now: reload the page to use it.'));
    else showProblem(found, steps);
    return;
  }
  await ask(studio, false);
  if (diagnosis && !diagnosis.peaks && IDLE.has(state.status) && state.modelProgress === null) await ask(studio, true);
}

/** @param {Studio} studio */
export function mountDevice(studio) {
  const dialog = byId('device-dialog', HTMLDialogElement);
  const report = mountReport(studio, () => problem, tell);
  refresh = report.refresh;
  mountCheck(studio, { tell, fail, onEnd: refresh });

  button('device-open').addEventListener('click', () => {
    tell('');
    dialog.showModal();
    render();
    void look(studio);
  });
  button('device-measure').addEventListener('click', () => void ask(studio, true));
  button('device-again').addEventListener('click', () => void look(studio));
  dialog.addEventListener('close', () => {
    stopCheck(studio);
    report.close();
  });
  studio.on('model-lost', () => {
    diagnosis = null; // another device may come, or none
    element('device-facts').replaceChildren();
    render();
  });
  onLanguage(() => {
    if (diagnosis) showFacts(diagnosis);
  });
  watch(['gpuText', 'supported'], () => {
    setText(element('device-chip'), state.supported ? state.gpuText : t('no GPU'));
    element('device-check-part').hidden = !state.supported;
    button('device-open').dataset['state'] = !state.supported ? 'error' : state.gpu?.is_software ? 'slow' : '';
  });
  watch(['status', 'supported'], () => {
    render();
    if (dialog.open && diagnosis && !diagnosis.peaks && state.status === 'ready' && !isBusy && !isSelfChecking()) void ask(studio, true);
  });
}
