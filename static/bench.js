// @ts-check
/** The benchmark's page: start the worker, ask it to measure, show each figure as it comes. */

import { Studio } from './api.js';
import { checkGpu } from './gpu/check.js';
import { plural, t } from './messages/messages.js';
import { mountControls } from './ui/bench/controls.js';
import { showDevice, showGpu } from './ui/bench/device.js';
import { mountBenchLost } from './ui/bench/lost.js';
import { addFigure, clearFigures, figures } from './ui/bench/table.js';
import { element, setProgress, setText, byId } from './ui/dom.js';
import { announce, clearError, mountMessages, showError, showFailure } from './ui/messages.js';

/** @import {BenchFigure} from './ui/bench/table.js' */
/** @typedef {'booting'|'ready'|'measuring'|'stopping'|'error'} Word */

const studio = new Studio();
const bar = byId('bench-progress', HTMLProgressElement);

/** @type {Word} */
let word = 'booting';

/** @type {Record<Word, () => string>} */
const WORDS = {
  booting: () => t('booting'), ready: () => t('ready'), measuring: () => t('measuring'), stopping: () => t('stopping'), error: () => t('error'),
};

const controls = mountControls({ run, stop, figures });
const lost = mountBenchLost(studio, {
  hasFigures: () => figures().length > 0,
  again: controls.again,
  onLost: () => {
    if (word === 'ready') show('error'); // else what was under way ends by itself
  },
});

/** @param {Word} next */
function show(next) {
  word = next;
  setText(element('status'), WORDS[word]());
  element('status').dataset['value'] = word;
  const isBusy = word === 'measuring' || word === 'stopping';
  element('status-pill').dataset['state'] = isBusy ? 'training' : word;
  if (!isBusy) setProgress(bar, word === 'booting' ? null : 0);
  controls.show({ canRun: studio.worker !== null && (word === 'ready' || word === 'error'), canStop: word === 'measuring', isBusy });
  if (word !== 'booting') announce(t('Status: {word}', { word: WORDS[word]() }));
}

/** @param {string} text */
const stage = (text) => setText(element('bench-stage'), text);

/** @param {object} what shapes or source, profile, curves */
async function run(what) {
  clearError();
  lost.clear();
  clearFigures();
  show('measuring');
  const started = performance.now();
  try {
    const { stopped, report } = await studio.request('bench', what);
    controls.finish(report);
    const seconds = Math.round((performance.now() - started) / 1e3);
    const summary = stopped
      ? plural(figures().length, { one: 'Stopped after {seconds} s, {count} figure', other: 'Stopped after {seconds} s, {count} figures' }, { seconds })
      : plural(figures().length, { one: 'Done after {seconds} s, {count} figure', other: 'Done after {seconds} s, {count} figures' }, { seconds });
    stage(summary);
    show('ready');
    announce(summary);
  } catch (error) {
    controls.finish('');
    stage(t('Nothing is being measured'));
    if (!lost.tells(error)) showFailure(error);
    show('error');
  }
}

function stop() {
  show('stopping');
  stage(t('Stopping after what is being measured now'));
  studio.request('bench-stop').catch(showFailure);
}

mountMessages();
studio.on('boot', ({ text }) => stage(t(text)));
studio.on('error', ({ message }) => {
  showError(message);
  show('error');
});
studio.on('gpu', (gpu) => {
  showGpu(gpu);
  stage(t('Ready'));
  if (word === 'booting') show('ready');
});
studio.on('model-progress', ({ stage: where, loaded_bytes: loaded, total_bytes: total }) => {
  if (where === 'download' && total) stage(t('Fetching the model, {percent} %', { percent: Math.floor((100 * loaded) / total) }));
});
studio.on('bench-stage', ({ text, fraction }) => {
  if (word !== 'measuring') return;
  setProgress(bar, fraction);
  stage(t('{percent} %, measuring {what}', { percent: Math.floor(100 * fraction), what: t(text) }));
});
studio.on('bench-figure', (/** @type {BenchFigure} */ event) => {
  addFigure(event);
  if (event.figure['bench'] === 'device') showDevice(event.figure);
});

setText(element('bench-browser'), navigator.userAgent);
const support = await checkGpu();
if (support.ok) {
  studio.start();
} else {
  setText(element('gpu-status'), t('none available'));
  showError(t('{sentence} The benchmark needs one.', { sentence: support.found }));
  for (const step of support.steps) {
    const item = document.createElement('li');
    item.textContent = step;
    element('help-steps').append(item);
  }
  element('webgpu-help').hidden = false;
  stage(t('No GPU to measure'));
  show('error');
}
