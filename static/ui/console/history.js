// @ts-check
/** Keeps every run in this browser while it goes, and brings earlier ones back. */

import { kept } from '../../kept/kept.js';
import { readDescription, readLog, RecordError } from '../../kept/run-format.js';
import { RunRecorder } from '../../kept/run-recorder.js';
import { MOST_BYTES, RunStore, timeOf, tooMany } from '../../kept/run-store.js';
import { t } from '../../messages/messages.js';
import { onDeleted } from '../../offline/stored.js';
import { state, update, watch } from '../../store.js';
import { input } from '../dom.js';
import { formatBytes } from '../format.js';
import { showError } from '../messages.js';
import { showNotice } from '../notices.js';

/** @import {Studio} from '../../api.js' */
/** @import {Found} from '../../kept/run-files.js' */
/** @import {DamagedRecord, Run} from '../../types.js' */

/** What a crash loses at most. */
const WRITE_EVERY_MS = 2_000;

const store = new RunStore();
const recorder = new RunRecorder(store, () => kept('remember-text') === true);

/** Bytes of a run's record, 0 where none is kept. @param {Run} run */
export const keptBytes = ({ key }) => (key ? store.sizes.get(key) ?? 0 : 0);
/** Bytes of all records. */
export const allBytes = () => store.bytes;

/** @param {Found} found @returns {Run|DamagedRecord} */
function readRecord({ key, about, steps, samples, bytes }) {
  try {
    if (about === null) throw new RecordError('damaged');
    const run = readDescription(about, key);
    const told = readLog(steps);
    const written = readLog(samples);
    if (!told.steps.length) throw new RecordError('damaged');
    return Object.assign(run, told, { samples: written.samples, numLost: told.numLost + written.numLost });
  } catch (error) {
    return { key, kind: error instanceof RecordError ? error.kind : 'damaged', at: timeOf(key), bytes };
  }
}

/** Numbers stay as they were, each once. @param {Run[]} runs */
function numberRuns(runs) {
  const taken = new Set(state.pastRuns.concat(state.run ?? []).map(({ number }) => number));
  let next = 1 + Math.max(0, ...taken, ...runs.map(({ number }) => number));
  for (const run of runs) {
    if (taken.has(run.number)) run.number = next++;
    taken.add(run.number);
  }
}

/** @type {() => void} */
let loaded = () => {};
/** Nothing is written before it is known what is there. @type {Promise<void>} */
const whenLoaded = new Promise((resolve) => {
  loaded = resolve;
});

/** Bring back what earlier visits kept: of the tab that works. */
export async function loadHistory() {
  /** @type {Run[]} */
  const runs = [];
  /** @type {DamagedRecord[]} */
  const damagedRecords = [];
  try {
    for await (const found of store.readAll()) {
      const record = readRecord(found);
      if ('steps' in record) runs.push(record);
      else damagedRecords.push(record);
    }
    const gone = tooMany(store.sizes);
    for (const key of gone) await store.remove(key);
    const staying = runs.filter(({ key }) => !gone.includes(key));
    numberRuns(staying);
    staying.forEach((run) => recorder.adopt(run));
    update({
      pastRuns: [...staying, ...state.pastRuns], damagedRecords: damagedRecords.filter(({ key }) => !gone.includes(key)),
      hiddenRuns: [...state.hiddenRuns, ...staying.map(({ number }) => number)], numRunsGone: state.numRunsGone + gone.length,
    });
  } catch {
    // What is there cannot be listed: it stays where it is, and this visit's runs are kept if they can.
  }
  loaded();
}

let wasTold = false;
/** @param {string} sentence told once a visit */
function tell(sentence) {
  if (!wasTold) showNotice('history', sentence);
  wasTold = true;
}

/**
 * Write what is new of a run. Nothing that goes wrong here touches the run.
 * @param {Run} run
 */
export async function keepRun(run) {
  await whenLoaded;
  try {
    const { gone, isFull, wasDeleted } = await recorder.keep(run);
    if (wasDeleted) showNotice('deleted', t('What this page kept on this device was deleted while it is open. What is on the screen stays: the run goes on, and is kept anew. Settings, texts and adapters of earlier visits are gone, and models are fetched again.'));
    if (gone.length) {
      for (const past of state.pastRuns) if (gone.includes(past.key)) past.key = '';
      update({ numRunsGone: state.numRunsGone + gone.length, damagedRecords: state.damagedRecords.filter(({ key }) => !gone.includes(key)) });
    }
    if (isFull) tell(t('The record of this run has reached {size}: its further steps are shown, but not kept for another visit. Save them as CSV.', { size: formatBytes(MOST_BYTES) }));
  } catch {
    tell(t('The run goes on, but its charts cannot be kept for another visit: the browser’s storage is full or switched off. Save them as CSV or PNG.'));
  }
}

/** @param {Run[]} runs that are no longer listed, nor kept */
function dropRuns(runs) {
  const numbers = runs.map(({ number }) => number);
  update({
    pastRuns: state.pastRuns.filter(({ number }) => !numbers.includes(number)),
    hiddenRuns: state.hiddenRuns.filter((number) => !numbers.includes(number)),
    shownRun: state.shownRun !== null && numbers.includes(state.shownRun) ? null : state.shownRun,
    comparedRun: state.comparedRun !== null && numbers.includes(state.comparedRun) ? null : state.comparedRun,
    ...(state.run && numbers.includes(state.run.number) ? { run: null } : {}),
  });
}

/**
 * Delete runs and damaged records for good.
 * @param {Run[]} runs
 * @param {DamagedRecord[]} records
 */
export async function deleteRuns(runs, records) {
  try {
    for (const { key } of [...runs, ...records]) if (key) await recorder.forget(key);
    dropRuns(runs);
    update({ damagedRecords: state.damagedRecords.filter((record) => !records.includes(record)) });
  } catch {
    showError(t('It could not be deleted: try again, or clear the data of this site in the browser’s settings.'));
  }
}

/** @param {Run} run @param {string} name '' for its number alone */
export function renameRun(run, name) {
  run.name = name;
  update({ pastRuns: [...state.pastRuns], run: state.run });
  void keepRun(run);
}

/** @param {Studio} studio */
export function mountHistory(studio) {
  let timer = 0;
  let writtenAt = 0;
  let [isWriting, isBehind, keptStep] = [false, false, 0];
  const write = () => {
    clearTimeout(timer);
    timer = 0;
    writtenAt = performance.now();
    if (state.run) void keepRun(state.run);
  };
  /** Beside each checkpoint, one after the other: a run that goes on from it has all steps before it. */
  const writeBeside = async () => {
    if (!state.run) return;
    isBehind = isWriting;
    if (isWriting) return;
    isWriting = true;
    await keepRun(state.run);
    isWriting = false;
    if (isBehind) void writeBeside();
  };
  watch(['run'], () => {
    const { run } = state;
    if (!run?.steps.length) return;
    if (run.done || run.failed) write();
    else timer ||= setTimeout(write, WRITE_EVERY_MS);
  });
  // The timers of a tab that nobody looks at may go off once a minute; what the worker says comes at once.
  studio.on('step', () => performance.now() - writtenAt >= WRITE_EVERY_MS && write());
  studio.on('keeping', ({ step }) => {
    if (step !== keptStep) void writeBeside(); // not at every percent of it
    keptStep = step;
  });
  document.addEventListener('visibilitychange', () => document.hidden && write());
  addEventListener('pagehide', write);
  input('remember-text').addEventListener('change', ({ target }) => {
    if (!(/** @type {HTMLInputElement} */ (target).checked)) recorder.forgetSamples().catch(() => {});
    else if (state.run) void keepRun(state.run);
  });
  // Deleted as a whole in the dialog of what is stored: runs of this visit stay until it ends.
  onDeleted('history', async () => {
    await recorder.forgetAll();
    const { run } = state;
    if (run) run.key = '';
    dropRuns(state.pastRuns);
    update({ damagedRecords: [] });
  });
}
