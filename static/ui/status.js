// @ts-check
/** Status pill, footer facts, and what they tell screen readers. */

import { state, update, watch } from '../store.js';
import { element, setNumber, setText } from './dom.js';
import { formatBytes, formatCount, formatLoss } from './format.js';
import { announce, showError } from './messages.js';

/** @import {Studio} from '../api.js' */

const NAME = 'LoRA Lab';

/** The tab says how far a run is, for whoever works in another one. */
function title() {
  const { run, status } = state;
  const last = run?.steps.at(-1);
  if (!run || !last) return NAME;
  if (run.done) return `${run.done.stopped ? 'Stopped' : 'Finished'} · ${NAME}`;
  if (run.failed || !run.numSteps) return NAME;
  const share = `${Math.floor((100 * last.step) / run.numSteps)} %`;
  return status === 'paused' ? `Paused at ${share} · ${NAME}` : `${share} · ${NAME}`;
}

/** @param {Studio} studio */
export function mountStatus(studio) {
  studio.on('status', ({ status }) => update({ status }));
  studio.on('boot', (boot) => update({ boot }));
  studio.on('memory', ({ allocated_bytes }) => update({ allocatedBytes: allocated_bytes }));
  studio.on('error', ({ message }) => showError(message));
  studio.on('settings', ({ fields, generation, presets }) => update({ fields, answerFields: generation, presets }));
  studio.on('gpu', (gpu) => update({
    gpu, gpuText: gpu.is_software ? `${gpu.name} (software, slow)` : gpu.name,
  }));

  const word = document.querySelector('[data-testid=status]');
  watch(['status'], () => {
    if (word instanceof HTMLElement) setText(word, state.status);
    element('status-pill').dataset['state'] = state.status;
    if (state.status !== 'generating') announce(`Status: ${state.status}`);
  });
  watch(['gpu', 'gpuText'], () => {
    const node = element('gpu-status');
    setText(node, state.gpuText);
    if (!state.gpu) return;
    const { backend, features, variants } = state.gpu;
    const kernels = Object.entries(variants).map(([name, choice]) => `${name}: ${choice}`);
    node.title = [`${backend}; features: ${features.join(', ') || 'none'}`, ...kernels].join('\n');
  });
  watch(['allocatedBytes'], () => setNumber(element('memory-status'), state.allocatedBytes, formatBytes));
  watch(['adapter'], () => {
    const { adapter } = state;
    setText(element('foot-mode'), adapter ? `LoRA adapter, rank ${adapter.rank}` : 'LoRA adapter');
  });
  watch(['run', 'status'], () => {
    document.title = title();
  });
  watch(['run'], () => {
    const last = state.run?.steps.at(-1);
    if (!state.run || !last) return;
    const { done, numSteps } = state.run;
    if (done) announce(`Training finished after ${done.steps} steps. Loss ${formatLoss(done.final_loss)}.`);
    else announce(`Step ${formatCount(last.step)} of ${formatCount(numSteps)}, loss ${formatLoss(last.loss)}.`);
  });
}
