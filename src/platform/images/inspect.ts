import { open } from 'node:fs/promises';
import { fileTypeFromFile } from 'file-type';
import type { Inspection } from './images.ts';
import {
  areFilmsAlike,
  areImagesAlike,
  areOfOtherKinds,
  canonical,
  hasSignature,
  isContainer,
  isTextual,
  MAYBE_TEXT,
  mayContain,
  opensInOldOffice,
} from './mediaTypes.ts';

const UNKNOWN = 'application/octet-stream';
/** Size of the beginning that decides whether a file is a text, in bytes. */
const HEAD_BYTES = 65_536;

/**
 * Returns the media type of a file, and whether its bytes contradict the claimed type:
 *
 * - No claim, or `application/octet-stream`, cannot be contradicted.
 * - Bytes that are no text contradict a claim of a text, such as CSV, JSON or SVG. Signatures do not count, because
 *   short ones such as `BM` also begin texts.
 * - Bytes with a signature contradict a claim of another type with a signature. They agree with a claim of a format
 *   that they may contain, such as ZIP with DOCX, and with a claim in the same format, such as WebM with or without a
 *   picture.
 * - Bytes with a signature contradict a claim of an unknown type only if the claim is of another kind: image, sound or
 *   film, font.
 * - A text contradicts a claim of a type with a signature. Other bytes without a signature contradict a claim of an
 *   image only, because decoders are lenient about the beginning of sounds and PDF files.
 */
export async function inspectFile(path: string, claimedType: string): Promise<Inspection> {
  const claimed = canonical(claimedType);
  const found = await fileTypeFromFile(path);
  const detected = found ? canonical(found.mime) : null;
  if (claimed === '' || claimed === UNKNOWN) return { mediaType: detected ?? UNKNOWN, contradicts: false };
  const isText = await beginsAsText(path);
  if (contradicts(claimed, detected, isText)) return { mediaType: detected ?? UNKNOWN, contradicts: true };
  const isClaimed =
    detected === null || isTextual(claimed) || isContainer(detected) || areFilmsAlike(claimed, detected);
  return { mediaType: isClaimed ? claimed : detected, contradicts: false };
}

function contradicts(claimed: string, detected: string | null, isText: boolean): boolean {
  if (isTextual(claimed)) return !isText;
  if (detected === null) {
    return hasSignature(claimed) && !MAYBE_TEXT.has(claimed) && (isText || claimed.startsWith('image/'));
  }
  if (claimed === detected || areFilmsAlike(claimed, detected) || areImagesAlike(claimed, detected)) return false;
  if (isContainer(detected) || mayContain(detected, claimed)) return !mayContain(detected, claimed);
  if (opensInOldOffice(claimed, detected)) return false;
  return hasSignature(claimed) || areOfOtherKinds(claimed, detected);
}

/** Returns whether the first 64 KB have no control characters that occur in binary formats only. */
async function beginsAsText(path: string): Promise<boolean> {
  const file = await open(path);
  try {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(HEAD_BYTES), 0, HEAD_BYTES, 0);
    const head = buffer.subarray(0, bytesRead);
    const isUtf16 = bytesRead > 1 && [0xfeff, 0xfffe].includes(head.readUInt16BE(0));
    return isUtf16 || !head.some(isBinary);
  } finally {
    await file.close();
  }
}

/** Texts have tabs, line ends, form feeds, backspaces, escapes of terminals and the end mark of DOS. */
function isBinary(byte: number): boolean {
  return byte < 32 && !(byte >= 8 && byte <= 13) && byte !== 0x1a && byte !== 0x1b;
}
