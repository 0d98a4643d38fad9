// @ts-check
/** The run that is shown as files: all of its numbers, and a picture of its charts. */

import { button, saveFile } from '../dom.js';
import { showFailure } from '../messages.js';
import { fetchUPlot } from './charts.js';
import { csvOf, fileName } from './csv.js';
import { pictureOf } from './picture.js';
import { shownRun } from './runs.js';
import { viewOf } from './view.js';

export function mountExport() {
  button('export-csv').addEventListener('click', () => {
    const run = shownRun();
    if (run) saveFile(new Blob([csvOf(run)], { type: 'text/csv;charset=utf-8' }), fileName(run, 'csv'));
  });
  button('export-png').addEventListener('click', async () => {
    const run = shownRun();
    if (!run) return;
    try {
      saveFile(await pictureOf(await fetchUPlot(), run, viewOf(run)), fileName(run, 'png'));
    } catch (error) {
      showFailure(error);
    }
  });
}
