// @ts-check
/** The charts of a run as one picture: titles, axes, legend, on a solid ground. */

import { plural, t } from '../../messages/messages.js';
import { differencesInWords, titleOf } from './runs.js';
import { dateOf } from './csv.js';
import { colour, Plot } from './plot.js';
import { LOSS, SMALL } from './specs.js';

/** @import {Run} from '../../types.js' */
/** @import {View} from './plot.js' */
/** @import {Spec} from './specs.js' */

const WIDTH = 1200;
const MARGIN = 28;
const HEAD = 96;
const LOSS_HEIGHT = 420;
const SMALL_HEIGHT = 210;
const TITLE = 26;

/** @typedef {{text: string, colour: string, dash: number[], width: number}} Key */

/** @param {View} view @param {Run} run @returns {Key[]} */
function legend({ evaluations, others }, run) {
  const runs = [run, ...others.map((other) => other.run)];
  const differing = differencesInWords(runs);
  return [
    { text: t('each step'), colour: '--curve-raw', dash: [], width: 1.5 },
    { text: t('smoothed'), colour: '--accent', dash: [], width: 2.5 },
    ...(evaluations.length ? [{ text: t('held-out'), colour: '--ink', dash: [4, 4], width: 1.5 }] : []),
    ...others.flatMap(({ run: other, evaluations: judged, colour: name, dash }) => {
      const words = differing[runs.indexOf(other)];
      const values = { run: titleOf(other), settings: words };
      return [
        { text: words ? t('{run}, smoothed ({settings})', values) : t('{run}, smoothed', values), colour: name, dash, width: 1.5 },
        ...(judged.length ? [{ text: t('{run}, held-out', values), colour: name, dash: [6, 22], width: 6 }] : []),
      ];
    }),
  ];
}

/**
 * @param {any} UPlot
 * @param {Run} run
 * @param {View} view
 * @returns {Promise<Blob>} PNG
 */
export async function pictureOf(UPlot, run, view) {
  const small = SMALL.filter(({ column }) => view.track.columns[column].some((value) => !Number.isNaN(value)));
  const keys = legend(view, run);
  const ratio = devicePixelRatio;
  const canvas = document.createElement('canvas');
  const top = HEAD + 20 * Math.max(0, keys.length - 3);
  canvas.width = WIDTH * ratio;
  canvas.height = (top + LOSS_HEIGHT + (small.length ? TITLE + SMALL_HEIGHT : 0) + MARGIN) * ratio;
  const ctx = canvas.getContext('2d');
  if (!ctx) throw new Error(t('This browser gave no canvas to draw on.'));
  ctx.scale(ratio, ratio);
  ctx.fillStyle = colour('--surface');
  ctx.fillRect(0, 0, WIDTH, canvas.height);
  const font = colour('--font');
  /** @param {string} text @param {number} x @param {number} y @param {string} style @param {string} [ink] */
  const write = (text, x, y, style, ink = '--ink') => {
    ctx.font = `${style} ${font}`;
    ctx.fillStyle = colour(ink);
    ctx.fillText(text, x, y, WIDTH - x - MARGIN);
  };
  write(t('Training loss of {model}', { model: run.model }), MARGIN, 40, '640 21px');
  write(plural(run.steps.length, { one: '{run}, {date}, {count} step', other: '{run}, {date}, {count} steps' }, { run: titleOf(run), date: dateOf(run.startedAt) }), MARGIN, 62, '400 14px', '--muted');
  let x = MARGIN, y = 84;
  keys.forEach(({ text, colour: name, dash, width }, index) => {
    if (index >= 3) [x, y] = [MARGIN, 84 + 20 * (index - 2)];
    ctx.strokeStyle = colour(name);
    ctx.lineWidth = width;
    ctx.setLineDash(dash);
    ctx.beginPath();
    ctx.moveTo(x, y - 4);
    ctx.lineTo(x + 34, y - 4);
    ctx.stroke();
    ctx.setLineDash([]);
    write(text, x + 42, y, '400 13px');
    x += 42 + ctx.measureText(text).width + 26;
  });
  /** @param {Spec} spec @param {number} left @param {number} above @param {number} width @param {number} height */
  const chart = async (spec, left, above, width, height) => {
    const box = document.createElement('div');
    box.className = 'off-screen';
    document.body.append(box);
    const plot = new Plot(UPlot, box, spec, view, { width, height, isPicture: true });
    await Promise.resolve(); // it draws in a microtask
    ctx.drawImage(plot.plot.ctx.canvas, left, above, width, height);
    plot.destroy();
    box.remove();
  };
  await chart(LOSS, MARGIN, top, WIDTH - 2 * MARGIN, LOSS_HEIGHT);
  const width = (WIDTH - 2 * MARGIN) / Math.max(1, small.length);
  for (const [index, spec] of small.entries()) {
    const left = MARGIN + index * width;
    write(t(spec.title), left + 8, top + LOSS_HEIGHT + 18, '600 13px');
    await chart(spec, left, top + LOSS_HEIGHT + TITLE, Math.floor(width) - 10, SMALL_HEIGHT);
  }
  return await new Promise((resolve, reject) => {
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error(t('The browser could not write the picture.')))), 'image/png');
  });
}
