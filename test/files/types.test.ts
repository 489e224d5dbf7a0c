import { gzipSync } from 'node:zlib';
import { expect, onTestFinished, test } from 'vitest';
import { createImageProcessor, isImage } from '../../src/platform/images/images.ts';
import { createGauges } from '../../src/platform/observability/gauges.ts';
import { animation, officeDocument, quarters, writeTemporary, zip } from './inputs.ts';

const DOCX = 'application/vnd.openxmlformats-officedocument.wordprocessingml.document';
const XLSX = 'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet';
const ODT = 'application/vnd.oasis.opendocument.text';
const SVG = '<svg xmlns="http://www.w3.org/2000/svg"><circle r="9"/></svg>';

/** Returns the bytes of a hexadecimal signature, filled up with zeros. */
function signature(hex: string): Buffer {
  return Buffer.concat([Buffer.from(hex, 'hex'), Buffer.alloc(600)]);
}

/** Beginning of a file of boxes, such as MP4, with a brand. */
function brand(name: string): Buffer {
  return Buffer.concat([Buffer.from([0, 0, 0, 16]), Buffer.from(`ftyp${name}`), Buffer.alloc(604)]);
}

const EXE = signature('4d5a90000300000004000000ffff');
const OLD_OFFICE = signature('d0cf11e0a1b11ae1');
const WEBM = signature('1a45dfa39f4286810142f7810142f2810442f381084282847765626d');
const UNKNOWN = signature('0102030405060708');
const FILES = {
  jpeg: await quarters(20, 20).jpeg().toBuffer(),
  png: await quarters(20, 20).png().toBuffer(),
  apng: Buffer.from(
    '89504e470d0a1a0a0000000d494844520000000100000001080600000' +
      '01f15c4890000000861' +
      '63544c0000000200000000f38d93700000001a6663544c',
    'hex',
  ),
  gif: await quarters(20, 20).gif().toBuffer(),
  webp: await quarters(20, 20).webp().toBuffer(),
  animatedWebp: await (await animation(2, 20, 20)).webp().toBuffer(),
  avif: await quarters(20, 20).avif().toBuffer(),
  bmp: signature('424d46000000'),
  exe: EXE,
  elf: signature('7f454c460201'),
  pdf: '%PDF-1.7\n%\xff\xff\n1 0 obj',
  rtf: '{\\rtf1 hello}',
  docx: officeDocument('word', DOCX),
  xlsx: officeDocument('xl', XLSX),
  odt: zip({ mimetype: ODT, 'content.xml': '<document/>' }),
  jar: zip({ 'META-INF/MANIFEST.MF': 'Manifest-Version: 1.0', 'Main.class': '' }),
  zip: zip({ 'notes.txt': 'hello' }),
  gzip: gzipSync('hello'),
  oldOffice: OLD_OFFICE,
  webm: WEBM,
  mp4: brand('isom'),
  heic: brand('heic'),
  ogg: signature('4f676753000200000000000000000000000000000000000000004f70757348656164'),
  mp3: signature('494433030000000000'),
  svg: SVG,
  xml: `<?xml version="1.0"?>${SVG}`,
  html: '<!doctype html><script>alert(1)</script>',
  json: '{"a": 1}',
  csv: 'name;city\nann;Köln\n',
  latin1: Buffer.from('name;city\nann;K\xf6ln\n', 'latin1'),
  utf16: Buffer.from('\ufeffname;city\n', 'utf16le'),
  bmw: 'BMW is a car.',
  mz: 'MZ is a name.',
  unknown: UNKNOWN,
  empty: '',
};

/** The bytes, the claimed media type, and the resulting media type. */
const AGREEING: [keyof typeof FILES, string, string][] = [
  // The type and its other names.
  ['jpeg', 'image/jpeg', 'image/jpeg'],
  ['jpeg', 'image/jpg', 'image/jpeg'],
  ['jpeg', 'IMAGE/JPEG; q=1', 'image/jpeg'],
  ['png', 'image/png', 'image/png'],
  ['apng', 'image/png', 'image/apng'],
  ['gif', 'image/gif', 'image/gif'],
  ['webp', 'image/webp', 'image/webp'],
  ['animatedWebp', 'image/webp', 'image/webp'],
  ['avif', 'image/avif', 'image/avif'],
  ['heic', 'image/heif', 'image/heic'],
  ['bmp', 'image/x-ms-bmp', 'image/bmp'],
  ['pdf', 'application/pdf', 'application/pdf'],
  ['exe', 'application/x-msdos-program', 'application/x-msdownload'],
  ['mp3', 'audio/mp3', 'audio/mpeg'],
  // No claim.
  ['png', '', 'image/png'],
  ['exe', 'application/octet-stream', 'application/x-msdownload'],
  ['csv', '', 'application/octet-stream'],
  ['unknown', 'application/octet-stream', 'application/octet-stream'],
  // Containers.
  ['docx', DOCX, DOCX],
  ['docx', 'application/zip', DOCX],
  ['zip', DOCX, DOCX],
  ['zip', 'application/x-zip-compressed', 'application/zip'],
  ['zip', 'application/vnd.apple.pages', 'application/vnd.apple.pages'],
  ['odt', ODT, ODT],
  ['jar', 'application/java-archive', 'application/java-archive'],
  ['gzip', 'application/x-tar', 'application/x-tar'],
  ['oldOffice', 'application/msword', 'application/msword'],
  ['oldOffice', 'application/vnd.ms-excel', 'application/vnd.ms-excel'],
  // Office programs open these files under the older name. Windows names CSV files so.
  ['rtf', 'application/msword', 'application/rtf'],
  ['docx', 'application/msword', DOCX],
  ['csv', 'application/vnd.ms-excel', 'application/vnd.ms-excel'],
  ['html', 'application/vnd.ms-excel', 'application/vnd.ms-excel'],
  // One format for sound and film.
  ['webm', 'audio/webm;codecs=opus', 'audio/webm'],
  ['webm', 'video/webm', 'video/webm'],
  ['mp4', 'audio/mp4', 'audio/mp4'],
  ['mp4', 'video/quicktime', 'video/quicktime'],
  ['ogg', 'audio/ogg; codecs=opus', 'audio/ogg'],
  // Texts have no signature. Some begin like one.
  ['csv', 'text/csv', 'text/csv'],
  ['latin1', 'text/csv', 'text/csv'],
  ['utf16', 'text/plain', 'text/plain'],
  ['json', 'application/json', 'application/json'],
  ['json', 'text/plain', 'text/plain'],
  ['html', 'text/html', 'text/html'],
  ['html', 'text/plain', 'text/plain'],
  ['svg', 'image/svg+xml', 'image/svg+xml'],
  ['xml', 'image/svg+xml', 'image/svg+xml'],
  ['xml', 'application/xml', 'application/xml'],
  ['xml', 'text/plain', 'text/plain'],
  ['bmw', 'text/plain', 'text/plain'],
  ['mz', 'text/markdown', 'text/markdown'],
  ['rtf', 'application/rtf', 'application/rtf'],
  ['empty', 'text/plain', 'text/plain'],
  // Browsers name TypeScript files so.
  ['json', 'video/mp2t', 'video/mp2t'],
  // Types that nobody knows.
  ['unknown', 'application/x-secret', 'application/x-secret'],
  ['csv', 'application/x-secret', 'application/x-secret'],
  ['exe', 'application/x-secret', 'application/x-msdownload'],
];

const CONTRADICTING: [keyof typeof FILES, string, string][] = [
  // Another image.
  ['png', 'image/jpeg', 'image/png'],
  ['jpeg', 'image/png', 'image/jpeg'],
  ['webp', 'image/gif', 'image/webp'],
  ['avif', 'image/webp', 'image/avif'],
  // Not an image.
  ['html', 'image/png', 'application/octet-stream'],
  ['svg', 'image/png', 'application/octet-stream'],
  ['xml', 'image/jpeg', 'application/xml'],
  ['exe', 'image/png', 'application/x-msdownload'],
  ['pdf', 'image/jpeg', 'application/pdf'],
  ['zip', 'image/gif', 'application/zip'],
  ['unknown', 'image/png', 'application/octet-stream'],
  ['empty', 'image/webp', 'application/octet-stream'],
  ['exe', 'image/x-secret', 'application/x-msdownload'],
  // An image, but not claimed.
  ['png', 'application/pdf', 'image/png'],
  ['jpeg', 'video/mp4', 'image/jpeg'],
  ['jpeg', 'font/x-secret', 'image/jpeg'],
  ['png', 'application/msword', 'image/png'],
  // Not a text.
  ['png', 'text/plain', 'image/png'],
  ['exe', 'text/plain', 'application/x-msdownload'],
  ['zip', 'text/csv', 'application/zip'],
  ['jpeg', 'image/svg+xml', 'image/jpeg'],
  ['unknown', 'application/json', 'application/octet-stream'],
  // A text instead of a format with a signature.
  ['html', 'application/pdf', 'application/octet-stream'],
  ['csv', 'application/zip', 'application/octet-stream'],
  ['json', 'video/mp4', 'application/octet-stream'],
  // Another document, or a program.
  ['docx', XLSX, DOCX],
  ['jar', DOCX, 'application/java-archive'],
  ['exe', 'application/pdf', 'application/x-msdownload'],
  ['elf', 'application/zip', 'application/x-elf'],
  ['exe', 'application/msword', 'application/x-msdownload'],
  ['pdf', DOCX, 'application/pdf'],
  ['zip', 'application/pdf', 'application/zip'],
  ['mp4', 'audio/webm', 'video/mp4'],
];

test('the bytes of a file decide about its media type', async () => {
  const images = createImageProcessor({ keepsMetadata: false, gauges: createGauges() });
  onTestFinished(() => images.close());
  const inspect = async ([file, claimed]: [keyof typeof FILES, string, string]) => {
    const bytes = typeof FILES[file] === 'string' ? Buffer.from(FILES[file], 'latin1') : FILES[file];
    const { mediaType, contradicts } = await images.inspect(await writeTemporary(bytes), claimed);
    return [file, claimed, mediaType, contradicts ? 'contradicts' : 'agrees'];
  };
  expect(await Promise.all(AGREEING.map(inspect))).toEqual(AGREEING.map((row) => [...row, 'agrees']));
  expect(await Promise.all(CONTRADICTING.map(inspect))).toEqual(CONTRADICTING.map((row) => [...row, 'contradicts']));
});

test('only images with a known container are processed', () => {
  const types = ['jpeg', 'png', 'apng', 'gif', 'webp', 'avif', 'heic', 'svg+xml', 'bmp', 'tiff'];
  expect(types.filter((type) => isImage(`image/${type}`))).toEqual(types.slice(0, 7));
  expect(isImage('application/pdf')).toBe(false);
});

test('a file that is away fails its inspection', async () => {
  const images = createImageProcessor({ keepsMetadata: false, gauges: createGauges() });
  onTestFinished(() => images.close());
  await expect(images.inspect('/nowhere/upload', 'image/png')).rejects.toThrow('ENOENT');
});
