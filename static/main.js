// @ts-check
/** Put the page together: mount the parts, look for a GPU, start the worker. */

import { Studio } from './api.js';
import { checkGpu } from './gpu/check.js';
import { keepForReload, takeOver } from './early.js';
import { holdBack, writeAgain } from './kept/kept.js';
import { t } from './messages/messages.js';
import { isolate } from './offline/register.js';
import { isRunning, state, update } from './store.js';
import { loadAdapter, mountAdapter } from './ui/adapter/adapter.js';
import { mountNewest } from './ui/adapter/newest.js';
import { mountAwake } from './ui/run/awake.js';
import { mountCharts } from './ui/console/charts.js';
import { mountCompare } from './ui/console/compare.js';
import { mountExport } from './ui/console/export.js';
import { loadHistory, mountHistory } from './ui/console/history.js';
import { mountRuns } from './ui/console/run-list.js';
import { mountTable } from './ui/console/table.js';
import { mountChat } from './ui/chat/chat.js';
import { mountCorpus, useCorpusFiles } from './ui/corpus/corpus.js';
import { mountDevice } from './ui/device/device.js';
import { mountLost } from './ui/device/lost.js';
import { mountDrops, sortFiles } from './ui/drops.js';
import { mountEvaluate } from './ui/run/evaluate.js';
import { mountFirst } from './ui/first/first.js';
import { mountPrivacy } from './ui/first/privacy.js';
import { mountFindRate } from './ui/plan/find-rate.js';
import { mountFullModel } from './ui/full/model.js';
import { mountMessages, showError } from './ui/messages.js';
import { loadFirstModel, loadModelFile, loadModelFolder, mountModel } from './ui/model/model.js';
import { mountModels } from './ui/model/dialog.js';
import { mountOffline } from './ui/offline.js';
import { mountPlan } from './ui/plan/plan.js';
import { mountPreview } from './ui/corpus/preview.js';
import { mountRemember } from './ui/corpus/remember.js';
import { mountResume } from './ui/run/resume.js';
import { mountFinish } from './ui/run/finish.js';
import { mountRun } from './ui/run/run.js';
import { mountRunText } from './ui/run/run-text.js';
import { mountRunEvents } from './ui/run/events.js';
import { mountRunFacts } from './ui/run/facts.js';
import { mountShare } from './ui/plan/share.js';
import { mountShelf } from './ui/adapter/shelf.js';
import { mayLoseAdapter } from './ui/adapter/shelf-kept.js';
import { mountStatus } from './ui/status.js';
import { mountStorage } from './ui/storage.js';
import { showNoGpu } from './ui/device/support.js';
import { waitForTurn } from './ui/tabs.js';

// Before anything is begun, or taken from the address, that a reload would end.
if (await isolate(keepForReload)) await new Promise(() => {});

holdBack(); // until it is clear that no other tab works
const studio = new Studio();

mountMessages();
mountStatus(studio);
mountModel(studio);
mountModels(studio);
mountCorpus(studio);
mountPlan(studio);
mountFindRate(studio);
mountPreview(studio);
mountFinish(studio); // what it shows is where the focus goes
mountRun(studio);
mountRunText();
mountRunFacts();
mountRuns();
mountCompare();
mountHistory(studio);
mountTable();
mountExport();
mountRemember();
mountShare(studio);
mountRunEvents(studio);
mountResume(studio);
mountEvaluate(studio);
mountAdapter(studio);
mountShelf(studio);
mountFullModel(studio);
mountNewest();
mountChat(studio);
/** @type {import('./ui/drops.js').Targets} */
const targets = {
  corpus: useCorpusFiles,
  model: (file) => loadModelFile(studio, file),
  modelFolder: (files, name) => loadModelFolder(studio, files, name),
  adapter: (files) => loadAdapter(studio, files),
};
mountDrops(targets);
mountFirst();
mountPrivacy(studio);
mountOffline();
mountAwake();
mountStorage();
mountCharts().catch(() => showError(t('The chart could not be fetched: training works without it. Reload the page to try again.')));
mountDevice(studio);
mountLost(studio);

addEventListener('beforeunload', (event) => {
  const mayLoseModel = state.tuned?.is_saved === false && !state.tuned.is_kept && !state.resumable;
  if (isRunning() || mayLoseAdapter() || mayLoseModel) event.preventDefault();
});
takeOver((files) => void sortFiles(files, targets));

const support = await checkGpu();
if (support.ok) {
  await waitForTurn();
  writeAgain();
  void loadHistory();
  update({ gpuText: support.isFallback ? t('software adapter (slow)') : t('looking…') });
  studio.start();
  loadFirstModel(studio);
} else {
  writeAgain();
  showNoGpu(support);
  void loadHistory();
}
