import { ADTS, FilePathSource, FLAC, Input, MATROSKA, MP3, MP4, MPEG_TS, OGG, QTFF, WAVE, WEBM } from 'mediabunny';

/** Formats whose duration is measured. The library also knows HLS, whose files name URLs to request. */
const FORMATS = [MP4, QTFF, MATROSKA, WEBM, MP3, WAVE, OGG, ADTS, FLAC, MPEG_TS];
/** Maximum duration in milliseconds: that of the type Int. */
const MAX_DURATION_MS = 2 ** 31 - 1;

/**
 * Returns the duration of a sound or film in milliseconds. Null for another file, and for a broken one. Recorders of browsers
 * write no duration into the header, so the last packets decide then. Decodes nothing.
 */
export async function measureDuration(path: string): Promise<number | null> {
  const input = new Input({ source: new FilePathSource(path), formats: FORMATS });
  try {
    const seconds = (await input.getDurationFromMetadata()) || (await input.computeDuration());
    const milliseconds = Math.round(seconds * 1_000);
    return milliseconds > 0 && milliseconds <= MAX_DURATION_MS ? milliseconds : null;
  } catch {
    return null;
  } finally {
    input.dispose();
  }
}
