// @ts-check
/** What an address may mean: a file, a folder of files, a repository of models. */

/**
 * @typedef {object} Repository of a host that keeps models as huggingface.co does
 * @property {string} owner
 * @property {string} name
 * @property {string} revision a branch, a tag or a commit
 * @property {string} inside folder in it, '' or ending in a slash
 */

/**
 * In the order in which they are tried.
 * @typedef {object} Meanings
 * @property {Repository|null} repository
 * @property {URL[]} folders whose config.json may be there
 * @property {URL|null} file
 */

const PART_OF_FOLDER = /\.(json|jinja|safetensors)$/i;
const GGUF = /\.gguf$/i;

/** Whether an address names a single file beyond doubt. @param {URL} url */
export const isFileAddress = (url) => GGUF.test(url.pathname) && !/^\/[^/]+\/[^/]+\/blob\//.test(url.pathname);

/** @param {URL} url @param {string[]} parts of a path */
const at = (url, ...parts) => new URL(`/${parts.join('/')}`, url.origin);

/**
 * @param {URL} url
 * @returns {Meanings}
 */
export function readAddress(url) {
  const parts = url.pathname.split('/').filter(Boolean);
  const last = parts.at(-1) ?? '';
  const [owner = '', name = '', verb = '', revision = '', ...rest] = parts;
  if (revision && ['tree', 'blob', 'resolve'].includes(verb)) {
    const path = at(url, owner, name, 'resolve', revision, ...rest);
    if (GGUF.test(last)) return { repository: null, folders: [], file: verb === 'blob' ? path : url };
    const inside = PART_OF_FOLDER.test(last) ? rest.slice(0, -1) : rest;
    return {
      repository: { owner, name, revision, inside: inside.map((part) => `${part}/`).join('') },
      folders: [at(url, owner, name, 'resolve', revision, ...inside, '')], file: null,
    };
  }
  if (GGUF.test(last)) return { repository: null, folders: [], file: url };
  if (PART_OF_FOLDER.test(last)) return { repository: null, folders: [at(url, ...parts.slice(0, -1), '')], file: null };
  const folder = at(url, ...parts, '');
  const file = url.pathname.endsWith('/') ? null : url;
  if (parts.length !== 2) return { repository: null, folders: [folder], file };
  return { repository: { owner, name, revision: 'main', inside: '' }, folders: [at(url, owner, name, 'resolve', 'main', ''), folder], file };
}
