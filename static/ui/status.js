// @ts-check
/** Status pill, footer facts, and what they tell screen readers. */

import { plural, t } from '../messages/messages.js';
import { state, update, watch } from '../store.js';
import { element, setNumber, setText } from './dom.js';
import { formatBytes, formatLoss } from './format.js';
import { announce, showError } from './messages.js';

/** @import {Studio} from '../api.js' */
/** @import {Status} from '../types.js' */

const NAME = 'LoRA Lab';

/** The words that `status` may hold, in the language of the page; data-value has the word itself. @type {Record<Status, () => string>} */
const WORDS = {
  booting: () => t('booting'), loading: () => t('loading'), ready: () => t('ready'), training: () => t('training'),
  paused: () => t('paused'), generating: () => t('generating'), checking: () => t('checking'), error: () => t('error'),
};

/** The tab says how far a run is, for whoever works in another one. */
function title() {
  const { run, status } = state;
  const last = run?.steps.at(-1);
  if (!run || !last) return NAME;
  if (run.done) return `${run.done.stopped ? t('Stopped') : t('Finished')} · ${NAME}`;
  if (run.failed || !run.numSteps) return NAME;
  const share = `${Math.floor((100 * last.step) / run.numSteps)} %`;
  return `${status === 'paused' ? t('Paused at {share}', { share }) : share} · ${NAME}`;
}

/** @param {Studio} studio */
export function mountStatus(studio) {
  studio.on('status', ({ status }) => update({ status }));
  studio.on('boot', (boot) => update({ boot }));
  studio.on('memory', ({ allocated_bytes }) => update({ allocatedBytes: allocated_bytes }));
  studio.on('error', ({ message }) => showError(message));
  studio.on('settings', ({ fields, generation, presets }) => update({ fields, answerFields: generation, presets }));
  studio.on('gpu', (gpu) => update({
    gpu, gpuText: gpu.is_software ? t('{name} (software, slow)', { name: gpu.name }) : gpu.name,
  }));

  const word = document.querySelector('[data-testid=status]');
  watch(['status', 'isWaiting'], () => {
    if (word instanceof HTMLElement) {
      setText(word, state.isWaiting ? t('waiting') : WORDS[state.status]());
      word.dataset['value'] = state.status;
    }
    element('status-pill').dataset['state'] = state.status;
    if (state.status !== 'generating' && state.status !== 'checking') announce(t('Status: {word}', { word: WORDS[state.status]() }));
  });
  watch(['gpu', 'gpuText'], () => {
    const node = element('gpu-status');
    setText(node, state.gpuText);
    if (!state.gpu) return;
    const { backend, features, variants } = state.gpu;
    const kernels = Object.entries(variants).map(([name, choice]) => `${name}: ${choice}`);
    node.title = [t('{backend}; features: {features}', { backend, features: features.join(', ') || t('none') }), ...kernels].join('\n');
  });
  watch(['allocatedBytes'], () => setNumber(element('memory-status'), state.allocatedBytes, formatBytes));
  watch(['adapter', 'plan'], () => {
    const { adapter, plan } = state;
    if (plan?.settings['mode'] === 'full') setText(element('foot-mode'), t('All weights'));
    else setText(element('foot-mode'), adapter ? t('LoRA adapter, rank {rank}', { rank: adapter.rank }) : t('LoRA adapter'));
  });
  watch(['run', 'status'], () => {
    document.title = title();
  });
  watch(['run'], () => {
    const last = state.run?.steps.at(-1);
    if (!state.run || !last) return;
    const { done, numSteps } = state.run;
    if (done) announce(plural(done.steps, { one: 'Training finished after {count} step. Loss {loss}.', other: 'Training finished after {count} steps. Loss {loss}.' }, { loss: formatLoss(done.final_loss) }));
    else announce(t('Step {step} of {total}, loss {loss}.', { step: last.step, total: numSteps, loss: formatLoss(last.loss) }));
  });
}
