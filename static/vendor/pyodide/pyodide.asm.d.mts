// build.py puts the real file here in dist/; the package does not declare its one export.
declare const createPyodideModule: (settings: any) => Promise<any>;
export default createPyodideModule;
