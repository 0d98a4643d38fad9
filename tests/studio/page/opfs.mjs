// A private file system in memory, and a server that breaks off when told to.

import { createHash } from 'node:crypto';
import * as hashwasm from 'hash-wasm';

// The build puts it into the page as a script that takes this name.
globalThis.hashwasm = hashwasm;

export const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

class Handle {
  kind = 'file';

  constructor(folder, name) {
    this.folder = folder;
    this.name = name;
  }

  async getFile() {
    return new File([this.folder.files.get(this.name)], this.name);
  }

  async createWritable() {
    const parts = [];
    return {
      write: async (part) => parts.push(part),
      close: async () => this.folder.files.set(this.name, Buffer.from(parts.join(''))),
    };
  }

  async move(name) {
    this.folder.files.set(name, this.folder.files.get(this.name));
    this.folder.files.delete(this.name);
    this.name = name;
  }

  async createSyncAccessHandle() {
    const { folder, name } = this;
    if (folder.locked.has(name)) throw new DOMException('in use', 'NoModificationAllowedError');
    folder.locked.add(name);
    return {
      getSize: () => folder.files.get(name).length,
      read(bytes, { at }) {
        bytes.set(folder.files.get(name).subarray(at, at + bytes.length));
        folder.reads.push([name, at, bytes.length]);
        return bytes.length;
      },
      truncate: (size) => folder.files.set(name, folder.files.get(name).subarray(0, size)),
      write(chunk, { at }) {
        folder.writes += 1;
        if (folder.used - folder.files.get(name).length + at + chunk.length > folder.room) throw new DOMException('full', 'QuotaExceededError');
        const gap = Math.max(0, at - folder.files.get(name).length);
        const before = Buffer.concat([folder.files.get(name), Buffer.alloc(gap)]);
        folder.files.set(name, Buffer.concat([before.subarray(0, at), chunk, before.subarray(at + chunk.length)]));
        return chunk.length;
      },
      flush() {},
      close: () => folder.locked.delete(name),
    };
  }
}

export class Folder {
  kind = 'directory';

  constructor(room = Infinity) {
    this.files = new Map();
    this.folders = new Map();
    this.locked = new Set();
    this.reads = [];
    this.writes = 0;
    this.room = room;
  }

  get used() {
    return [...this.files].reduce((sum, [name, bytes]) => sum + (name.endsWith('.json') ? 0 : bytes.length), 0);
  }

  // The folder of models is this one itself; a model of several files has one of its own.
  async getDirectoryHandle(name, { create = false } = {}) {
    if (name === 'models') return this;
    if (!this.folders.has(name)) {
      if (!create) throw new DOMException(name, 'NotFoundError');
      this.folders.set(name, new Folder(this.room));
    }
    return this.folders.get(name);
  }

  async getFileHandle(name, { create = false } = {}) {
    if (!this.files.has(name)) {
      if (!create) throw new DOMException(name, 'NotFoundError');
      this.files.set(name, Buffer.alloc(0));
    }
    return new Handle(this, name);
  }

  async removeEntry(name) {
    if (!this.files.delete(name) && !this.folders.delete(name)) throw new DOMException(name, 'NotFoundError');
  }

  async *entries() {
    for (const name of [...this.files.keys()]) yield [name, new Handle(this, name)];
    for (const [name, folder] of [...this.folders]) yield [name, folder];
  }

  async *keys() {
    for await (const [name] of this.entries()) yield name;
  }
}

// `folder` null: a browser without a private file system.
export function useFolder(folder, { quota = 1e12, usage = 0, onLine = true } = {}) {
  const storage = {
    getDirectory: async () => {
      if (!folder) throw new DOMException('no', 'SecurityError');
      return folder;
    },
    estimate: async () => ({ quota, usage }),
  };
  Object.defineProperty(globalThis, 'navigator', { value: { storage, onLine }, configurable: true });
}

// Serves bytes; `breaks` says after how many bytes each answer breaks off.
export class Server {
  constructor(bytes, { breaks = [], status = 200, etag = '"one"', resumes = true, type = 'application/octet-stream', headers = {} } = {}) {
    Object.assign(this, { bytes, breaks: [...breaks], status, etag, resumes, type, headers, requests: [] });
    globalThis.fetch = async (url, init = {}) => this.answer(String(url), init);
  }

  // A host of several files, by their paths.
  bytesOf(url) {
    return this.bytes instanceof Map ? this.bytes.get(new URL(url).pathname + new URL(url).search) : this.bytes;
  }

  async answer(url, { headers = {}, method = 'GET', signal }) {
    signal?.throwIfAborted();
    this.requests.push({ method, url, range: headers['Range'] ?? '', headers: Object.keys(headers) });
    const bytes = this.bytesOf(url);
    const status = bytes ? this.status : 404;
    if (status !== 200) return new Response('', { status });
    const start = !this.resumes ? 0 : Number(/bytes=(\d+)-/.exec(headers['Range'] ?? '')?.[1] ?? 0);
    if (start && start >= bytes.length) return new Response('', { status: 416 });
    const part = bytes.subarray(start);
    const answered = { 'content-length': String(part.length), 'content-type': this.type, ...(this.etag ? { etag: this.etag } : {}), ...this.headers };
    if (method === 'HEAD') return new Response(null, { headers: answered });
    const end = this.breaks.shift() ?? Infinity;
    let at = 0;
    const body = new ReadableStream({
      pull(controller) {
        if (signal?.aborted) return controller.error(new DOMException('aborted', 'AbortError'));
        if (at >= end) return controller.error(new TypeError('network error'));
        if (at >= part.length) return controller.close();
        const next = Math.min(at + 1000, end, part.length);
        controller.enqueue(new Uint8Array(part.subarray(at, next)));
        at = next;
      },
    }, { highWaterMark: 0 });
    return new Response(body, { status: start ? 206 : 200, headers: answered });
  }

  get ranges() {
    return this.requests.filter(({ method }) => method === 'GET').map(({ range }) => range);
  }
}
