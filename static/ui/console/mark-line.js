// @ts-check
/** The colour and dashes of a run's curve, as a short line or as the mark of its held-out points. */

import { markOf } from './specs.js';

const SVG = 'http://www.w3.org/2000/svg';

/** @param {number} number of a run @param {boolean} [isPoint] */
export function markLine(number, isPoint = false) {
  const mark = markOf(number);
  const line = document.createElementNS(SVG, 'svg');
  line.setAttribute('viewBox', isPoint ? '0 0 10 8' : '0 0 34 8');
  line.setAttribute('aria-hidden', 'true');
  line.setAttribute('class', isPoint ? 'run-mark point' : 'run-mark');
  const path = document.createElementNS(SVG, 'path');
  path.setAttribute('d', isPoint ? 'M2 1h6v6h-6z' : 'M1 4h32');
  path.setAttribute('stroke', `var(${mark.colour})`);
  if (isPoint) path.setAttribute('fill', `var(${mark.colour})`);
  else path.setAttribute('stroke-dasharray', mark.dash.join(' '));
  line.append(path);
  return line;
}
