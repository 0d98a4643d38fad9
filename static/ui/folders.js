// @ts-check
/** Models of several files: what is one, and how a dropped folder is read. */

const WEIGHTS = /\.safetensors$/i;
const PARTS = /\.(json|jinja|safetensors)$/i;

/**
 * Whether files are a HuggingFace model rather than an adapter or a text.
 * @param {File[]} files
 */
export function isModelFolder(files) {
  return files.some((file) => file.name === 'config.json') && files.some((file) => WEIGHTS.test(file.name));
}

/**
 * The files of a model: those directly in its folder, of the kinds that are read.
 * @param {File[]} files
 */
export function modelParts(files) {
  return files.filter((file) => PARTS.test(file.name) && file.webkitRelativePath.split('/').length <= 2);
}

/**
 * The folder's name, where the files come from one.
 * @param {File[]} files
 */
export function folderName(files) {
  return files[0]?.webkitRelativePath.split('/')[0] || 'model';
}

/**
 * What was dropped: files, and of folders the files directly in them.
 * @param {DataTransfer} transfer
 * @returns {Promise<{files: File[], name: string}>}
 */
export async function droppedFiles(transfer) {
  // The transfer is emptied as soon as this function waits: everything is taken out first.
  const files = [...transfer.files];
  const folders = [...transfer.items]
    .map((item) => item.webkitGetAsEntry?.())
    .filter((entry) => entry?.isDirectory)
    .map((entry) => /** @type {FileSystemDirectoryEntry} */ (entry));
  if (!folders.length) return { files, name: 'model' };
  const names = new Set(folders.map((folder) => folder.name));
  const inside = await Promise.all(folders.map(filesIn));
  return { files: [...files.filter((file) => !names.has(file.name)), ...inside.flat()], name: folders[0]?.name ?? 'model' };
}

/** @param {FileSystemDirectoryEntry} folder @returns {Promise<File[]>} */
async function filesIn(folder) {
  const reader = folder.createReader();
  /** @type {FileSystemEntry[]} */
  const entries = [];
  for (;;) {
    /** @type {FileSystemEntry[]} */
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) break;
    entries.push(...some);
  }
  const inside = entries.filter((entry) => entry.isFile).map((entry) => /** @type {FileSystemFileEntry} */ (entry));
  return Promise.all(inside.map((entry) => new Promise((resolve, reject) => entry.file(resolve, reject))));
}
